use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use wire::oauth::{AccessTokenClaims, JwkSet};

use crate::Caller;

/// Public keys, parsed once.
#[derive(Debug, Clone, Default)]
pub struct VerifyingKeys;

impl VerifyingKeys {
    /// Parses the keys that can verify; the others are left out.
    pub fn from_jwks(_jwks: &JwkSet) -> Self {
        todo!()
    }
}

/// What a token must say to be good here.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The one issuer.
    pub issuer: &'a str,
    /// The one audience.
    pub audience: &'a str,
    /// The issuer's keys.
    pub keys: &'a VerifyingKeys,
    /// The present moment.
    pub now: Timestamp,
    /// How far clocks may differ; at most 30 s counts.
    pub leeway: Duration,
}

/// Why a token is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not a token.
    #[error("not a token")]
    Malformed,
}

impl TokenRefusal {
    /// What a client may know.
    pub fn description(&self) -> &'static str {
        todo!()
    }
}

/// The claims of a token whose signature, issuer, audience and time were found good.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    claims: Arc<AccessTokenClaims>,
}

impl VerifiedToken {
    /// Whether it has not expired meanwhile: for a token that was verified earlier.
    pub fn is_live(&self, _now: Timestamp, _leeway: Duration) -> bool {
        todo!()
    }

    /// Who calls.
    pub fn caller(&self) -> Caller {
        todo!()
    }
}

impl Deref for VerifiedToken {
    type Target = AccessTokenClaims;

    fn deref(&self) -> &AccessTokenClaims {
        &self.claims
    }
}

/// Verifies an access token.
///
/// # Errors
/// Why it is no good.
pub fn verify_access_token(
    _token: &str,
    _expected: &Expected<'_>,
) -> Result<VerifiedToken, TokenRefusal> {
    todo!()
}
