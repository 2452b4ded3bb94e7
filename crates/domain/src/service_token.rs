use base::{Digest, Timestamp};
use wire::oauth::ScopeSet;

use crate::{ClientId, GrantId, ServerSlug, ServiceTokenId, UserId, WithheldScope};

/// A static token for a machine that cannot do OAuth, as it is kept: by digest. The gateway exchanges it for access
/// tokens that live for minutes.
#[derive(Debug, Clone)]
pub struct ServiceToken {
    /// The `client_id` of its access tokens.
    pub id: ServiceTokenId,
    /// The digest of the token.
    pub digest: Digest,
    /// The one MCP server it is good for.
    pub server: ServerSlug,
    /// Whose rights it has; none when it stands for itself.
    pub user: Option<UserId>,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// The `grant_id` of its access tokens; ending it ends them.
    pub grant: GrantId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ServiceToken {
    /// The `sub` of its access tokens: the person it belongs to, or itself.
    pub fn subject(&self) -> &str {
        self.user.as_ref().map_or(self.id.as_str(), UserId::as_str)
    }

    /// Whether it is neither revoked nor over.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What a machine may do without a person: the client credentials grant (RFC 6749 section 4.4) or a service token.
/// It has no refresh tokens; it is kept among the token families, so that its end reaches every gateway.
#[derive(Debug, Clone)]
pub struct ServiceGrant {
    /// The `grant_id` of its access tokens.
    pub id: GrantId,
    /// The MCP server.
    pub server: ServerSlug,
    /// The `client_id` of its access tokens.
    pub client: ClientId,
    /// The `sub` of its access tokens.
    pub subject: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What was asked for besides.
    pub withheld: Vec<WithheldScope>,
    /// When it began.
    pub created_at: Timestamp,
    /// When its last access token ends.
    pub expires_at: Timestamp,
}
