use base::{Digest, Timestamp};
use wire::oauth::ScopeSet;

use crate::{ClientId, GrantId, ServerSlug, UserId, WithheldScope};

/// One approval by one person for one client, and every refresh token that came of it.
#[derive(Debug, Clone)]
pub struct TokenFamily {
    /// The `grant_id` of its access tokens.
    pub id: GrantId,
    /// The MCP server.
    pub server: ServerSlug,
    /// To whom.
    pub client: ClientId,
    /// On whose behalf.
    pub user: UserId,
    /// Where its code was sent; nothing for a machine, and in families that a release wrote which did not keep it.
    pub redirect_uri: Option<String>,
    /// What was approved; a refresh may narrow an access token, never widen it.
    pub scopes: ScopeSet,
    /// What was asked for besides, with the reasons.
    pub withheld: Vec<WithheldScope>,
    /// When the person proved who they are.
    pub authenticated_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends however much it is used.
    pub expires_at: Timestamp,
    /// When and why it was ended.
    pub ended: Option<(Timestamp, FamilyEnd)>,
}

/// Why a token family was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyEnd {
    /// The client or the person revoked it (RFC 7009).
    Revoked,
    /// A spent refresh token came back after its time.
    RefreshTokenReuse,
    /// The code was redeemed again by the same client with the right verifier.
    CodeReplay,
    /// An admin blocked the client.
    ClientBlocked,
}

impl FamilyEnd {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::RefreshTokenReuse => "refresh-token-reuse",
            Self::CodeReplay => "code-replay",
            Self::ClientBlocked => "client-blocked",
        }
    }

    /// Reads [`FamilyEnd::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Revoked,
            Self::RefreshTokenReuse,
            Self::CodeReplay,
            Self::ClientBlocked,
        ]
        .into_iter()
        .find(|end| end.as_str() == text)
    }
}

/// One refresh token of a family, as it is kept: by digest. Its successor is computed, not stored.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// The digest of the token.
    pub digest: Digest,
    /// Its family.
    pub family: GrantId,
    /// 0 for the one of the code exchange, then counted up.
    pub generation: i64,
    /// When it ends if it lies unused.
    pub expires_at: Timestamp,
    /// When it was spent, with the salt its successor is computed from.
    pub spent: Option<(Timestamp, Vec<u8>)>,
}
