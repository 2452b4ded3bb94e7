use std::sync::Arc;

/// Who stands behind a call: what an MCP session, a child process and a todo list belong to. A refreshed token is the
/// same principal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The `iss` of the token.
    pub issuer: Arc<str>,
    /// The `sub`.
    pub subject: Arc<str>,
    /// The `client_id`.
    pub client: Arc<str>,
}
