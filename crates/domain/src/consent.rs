use base::Timestamp;
use wire::oauth::ScopeSet;

use crate::{ClientId, ServerSlug, UserId};

/// What one person approved for one client at one MCP server, remembered.
#[derive(Debug, Clone)]
pub struct Consent {
    /// Who approved.
    pub user: UserId,
    /// At which MCP server.
    pub server: ServerSlug,
    /// For which client.
    pub client: ClientId,
    /// Where the answer went: a consent holds for this return host alone.
    pub redirect_uri: String,
    /// What.
    pub scopes: ScopeSet,
    /// When last.
    pub approved_at: Timestamp,
}
