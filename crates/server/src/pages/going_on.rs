use askama::Template;

use super::{assets, filters, render};

/// Goes on to a client that was allowed the same before. Nothing is asked; still nothing is written until the form is
/// posted, which a script of ours does at once and a button does without scripts.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "going_on.html")]
pub struct GoingOnPage<'a> {
    /// The MCP server's name.
    pub server_name: &'a str,
    /// What the client calls itself.
    pub client_name: &'a str,
    /// Where the code goes.
    pub return_host: &'a str,
    /// Who is signed in.
    pub user_email: &'a str,
    /// Where the form posts `request`, `csrf` and `decision=continue` to.
    pub form_action: &'a str,
    /// The sealed authorization request.
    pub sealed_request: &'a str,
    /// The value of the hidden input `csrf`.
    pub csrf: &'a str,
    /// Where "use another account" posts to.
    pub switch_account_action: &'a str,
}

/// The page that goes on by itself. The one page with a script: see [`super::CONTENT_SECURITY_POLICY_GOING_ON`].
pub fn going_on(page: &GoingOnPage<'_>) -> String {
    render(page)
}
