use base::{Digest, Timestamp};

use crate::{ResourceServerId, ServerSlug};

/// With what an MCP server itself asks the authority about its tokens (RFC 7662 section 2.1), as it is kept: by
/// digest. Two are good at once while one replaces the other.
#[derive(Debug, Clone)]
pub struct ResourceServerCredential {
    /// The user name of it; no secret.
    pub id: ResourceServerId,
    /// The MCP server that it speaks for.
    pub server: ServerSlug,
    /// The digest of the secret.
    pub digest: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, once another has replaced it.
    pub expires_at: Option<Timestamp>,
}
