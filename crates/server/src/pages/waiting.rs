use askama::Template;

use super::{assets, filters, render};

/// A client is good, and an owner has not decided about it yet.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "waiting.html")]
pub struct WaitingPage<'a> {
    /// The MCP server's name.
    pub server_name: &'a str,
    /// What the client calls itself.
    pub client_name: &'a str,
    /// Finds the reason in the log.
    pub correlation_id: &'a str,
    /// Where the page looks again by itself; none when it should not.
    pub looks_again_at: Option<&'a str>,
    /// The form that tells the owners, while nobody has told them.
    pub ask: Option<AskForm<'a>>,
}

/// Posts `request`, `csrf` and `decision=ask` to `form_action`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AskForm<'a> {
    /// Where the form posts to.
    pub form_action: &'a str,
    /// The sealed authorization request.
    pub sealed_request: &'a str,
    /// The value of the hidden input `csrf`.
    pub csrf: &'a str,
}

/// The page of a client that waits.
pub fn waiting(page: &WaitingPage<'_>) -> String {
    render(page)
}
