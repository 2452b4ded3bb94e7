use askama::Template;

use super::{assets, filters, render};

/// Asks for e-mail and password. Posts `email`, `password`, `request` and `csrf` to `form_action`.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage<'a> {
    /// The MCP server that the client asks for; empty when somebody signs in for themselves.
    pub server_name: &'a str,
    /// What the client calls itself; empty when there is none.
    pub client_name: &'a str,
    /// Where the form posts to.
    pub form_action: &'a str,
    /// The sealed authorization request; empty when there is none.
    pub sealed_request: &'a str,
    /// The value of the hidden input `csrf`.
    pub csrf: &'a str,
    /// What was typed before.
    pub email: &'a str,
    /// Why the last attempt failed.
    pub error: Option<&'a str>,
    /// Nobody exists yet: point at the link in the terminal.
    pub setup_hint: bool,
}

/// The sign-in page.
pub fn sign_in(page: &SignInPage<'_>) -> String {
    render(page)
}
