use base::{Digest, Timestamp};

use crate::ClientId;

/// A secret of a confidential client (RFC 6749 section 2.3.1), as it is kept: by digest. Two are good at once while
/// one replaces the other.
#[derive(Debug, Clone)]
pub struct ClientSecret {
    /// The digest of the secret.
    pub digest: Digest,
    /// Whose it is.
    pub client: ClientId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, once another has replaced it.
    pub expires_at: Option<Timestamp>,
}

impl ClientSecret {
    /// Whether it has not been replaced for good.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
