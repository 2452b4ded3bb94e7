use askama::Template;
use authz::Risk;

use super::{assets, filters, render};

/// A person's own service tokens. Forms post `csrf`, `server`, `name`, `scope` (once for each ticked box) and `days` to
/// `create_action`; `csrf` and `id` to `revoke_action`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "tokens.html")]
pub struct TokensPage<'a> {
    /// Who is signed in.
    pub user_name: &'a str,
    /// Their e-mail address.
    pub user_email: &'a str,
    /// Their tokens, the newest first.
    pub tokens: Vec<TokenLine<'a>>,
    /// What a token can be made for.
    pub servers: Vec<TokenServer<'a>>,
    /// Why none was made.
    pub error: Option<&'a str>,
    /// Where a new one is asked for.
    pub create_action: &'a str,
    /// Where one is ended.
    pub revoke_action: &'a str,
    /// Where the sign-out button posts to.
    pub sign_out_action: &'a str,
    /// The value of the hidden input `csrf` of the token forms.
    pub csrf: &'a str,
    /// The same of the sign-out button.
    pub sign_out_csrf: &'a str,
}

/// One service token, without its text.
#[derive(Debug, Clone, Default)]
pub struct TokenLine<'a> {
    /// Its id.
    pub id: &'a str,
    /// What its owner calls it.
    pub name: &'a str,
    /// The MCP server it opens.
    pub server_name: &'a str,
    /// Its scopes.
    pub scopes: String,
    /// When it ends, as a date.
    pub expires: String,
    /// `None` while it works; otherwise "Revoked" or "Expired".
    pub ended: Option<&'static str>,
}

/// One MCP server that a token can be made for.
#[derive(Debug, Clone, Default)]
pub struct TokenServer<'a> {
    /// Its slug.
    pub slug: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its scopes: name, words, risk.
    pub scopes: Vec<(&'a str, &'a str, Risk)>,
}

/// A new service token, on the one page that shows it.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "token_made.html")]
pub struct TokenMadePage<'a> {
    /// What its owner calls it.
    pub name: &'a str,
    /// The token.
    pub token: &'a str,
    /// The MCP server's address.
    pub resource: &'a str,
    /// When it ends, as a date.
    pub expires: &'a str,
    /// The way back to the list.
    pub list_path: &'a str,
}

/// The list of a person's own tokens.
pub fn tokens(page: &TokensPage<'_>) -> String {
    render(page)
}

/// The page that shows a new token.
pub fn token_made(page: &TokenMadePage<'_>) -> String {
    render(page)
}

impl TokensPage<'_> {
    #[allow(clippy::unused_self, reason = "templates call methods")]
    fn risk_words(&self, risk: &Risk) -> Option<(&'static str, &'static str)> {
        match risk {
            Risk::Low => None,
            Risk::Medium => Some(("medium", "Medium risk")),
            Risk::High => Some(("high", "High risk")),
            Risk::Critical => Some(("high", "Critical risk")),
        }
    }
}
