use base::{Digest, Timestamp};
use wire::oauth::{CodeChallenge, ScopeSet};

use crate::{ClientId, GrantId, ServerSlug, SessionId, UserId, WithheldScope};

/// An authorization code that was handed to a client, as it is kept: by digest.
///
/// The code itself is computed from the sealed request and the session, so a consent form submitted twice gives
/// the same code and one row.
#[derive(Debug, Clone)]
pub struct AuthorizationCode {
    /// The digest of the code.
    pub digest: Digest,
    /// The MCP server whose issuer gave it.
    pub server: ServerSlug,
    /// To whom.
    pub client: ClientId,
    /// On whose behalf.
    pub user: UserId,
    /// In which browser session.
    pub session: SessionId,
    /// The redirect URI as asked, to be repeated at the token endpoint when sent (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
    /// PKCE.
    pub code_challenge: CodeChallenge,
    /// What the person approved.
    pub scopes: ScopeSet,
    /// What was asked for besides, with the reasons.
    pub withheld: Vec<WithheldScope>,
    /// When the person proved who they are.
    pub authenticated_at: Timestamp,
    /// The family its exchange begins.
    pub grant: GrantId,
    /// When it was handed out.
    pub issued_at: Timestamp,
    /// When it ends; 60 seconds later by default.
    pub expires_at: Timestamp,
    /// When it was spent.
    pub redeemed_at: Option<Timestamp>,
}
