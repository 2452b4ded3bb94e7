use base::{Digest, Timestamp};

use crate::{SessionId, UserId};

/// A person signed in with a browser. The cookie is a secret of its own; only its digest is kept.
#[derive(Debug, Clone)]
pub struct LoginSession {
    /// For lists and logs.
    pub id: SessionId,
    /// The digest of the cookie.
    pub cookie_digest: Digest,
    /// Whose it is.
    pub user: UserId,
    /// When they proved who they are: the `auth_time` of their tokens.
    pub authenticated_at: Timestamp,
    /// When it ends however much it is used.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

impl LoginSession {
    /// Whether it holds at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}
