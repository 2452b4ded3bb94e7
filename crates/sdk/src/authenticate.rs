use std::sync::Arc;
use std::time::Duration;

use authz::{Expected, TokenRefusal, VerifiedToken, verify_access_token};
use base::{Digest, Timestamp};
use http::{HeaderMap, header};

use crate::asked_once::Unanswered;
use crate::challenge::unauthenticated;
use crate::opaque_tokens::is_service_token;
use crate::resource_metadata::AskedAddress;
use crate::{InForce, OpaqueRefusal, ProtectedServer, Refusal, RefusalCause, VerifiedCaller};

/// How far the clocks of authority and enforcement may differ.
const LEEWAY: Duration = Duration::from_secs(5);

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

impl ProtectedServer {
    /// Finds out who calls, whatever the method: issuer, audience, signature, expiry and revocation of the token. A
    /// service token is exchanged first.
    ///
    /// # Errors
    /// 401 with one challenge, for the address that was asked; 503 when a service token cannot be looked up now, or another issuer
    /// cannot be asked.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        asked: &AskedAddress,
        in_force: &InForce,
        now: Timestamp,
    ) -> Result<Arc<VerifiedCaller>, Refusal> {
        let refused = |cause: RefusalCause, description: &str, reason: String| {
            unauthenticated(
                &*self.random,
                in_force.server(),
                asked,
                Some((cause, description, reason)),
            )
        };
        let token = match bearer_token(headers) {
            Presented::Token(token) => token,
            Presented::Nothing => {
                return Err(unauthenticated(
                    &*self.random,
                    in_force.server(),
                    asked,
                    None,
                ));
            }
            Presented::Unusable(why) => {
                return Err(refused(RefusalCause::MalformedToken, why, why.to_owned()));
            }
        };
        let digest = Digest::of(token);
        // What stands for a service token may be stale while the service token is good: it is exchanged anew then.
        let kept = in_force
            .tokens
            .find(&digest, now)
            .filter(|kept| kept.token().is_live(now, LEEWAY) && !in_force.revoked(kept))
            .filter(|kept| kept.is_fresh(now));
        let caller = match (kept, self.other_issuer()) {
            (Some(kept), _) => kept,
            (None, Some(issuer)) => {
                let verified = issuer
                    .verify(token, digest, in_force.server(), now, LEEWAY)
                    .await;
                let caller = verified.map_err(|unverified| match unverified {
                    Unanswered::Refused(refusal) => refused(
                        (&refusal).into(),
                        refusal.description(),
                        refusal.to_string(),
                    ),
                    Unanswered::Unavailable(reason) => self.unavailable(reason),
                })?;
                let caller = Arc::new(caller);
                in_force.tokens.insert(digest, Arc::clone(&caller), now);
                caller
            }
            (None, None) => {
                let exchanged = self.exchanged(token, digest, now).await;
                let exchanged = exchanged.map_err(|refusal| match refusal {
                    OpaqueRefusal::Invalid => refused(
                        RefusalCause::UnknownServiceToken,
                        "The service token is unknown, expired or revoked",
                        refusal.to_string(),
                    ),
                    OpaqueRefusal::Unavailable(reason) => self.unavailable(reason),
                })?;
                let token = exchanged.as_deref().unwrap_or(token);
                let verified = verified(token, in_force, now).map_err(|refusal| {
                    if exchanged.is_some() {
                        // Our own authority made it this moment: its key has not reached us yet.
                        return self.unavailable(format!("of a service token: {refusal}"));
                    }
                    refused(
                        (&refusal).into(),
                        refusal.description(),
                        refusal.to_string(),
                    )
                })?;
                let caller = Arc::new(VerifiedCaller::new(verified));
                in_force.tokens.insert(digest, Arc::clone(&caller), now);
                caller
            }
        };
        if in_force.revoked(&caller) {
            return Err(refused(
                RefusalCause::RevokedToken,
                "The access token was revoked",
                "the token was revoked".to_owned(),
            ));
        }
        Ok(caller)
    }

    /// The access token for a service token; none for anything else.
    async fn exchanged(
        &self,
        token: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Option<String>, OpaqueRefusal> {
        match &self.opaque {
            Some(opaque) if is_service_token(token) => {
                opaque.exchange(token, digest, now).await.map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The token of this issuer for this resource, or of and for what they were before a move, while such tokens may live.
fn verified(
    token: &str,
    in_force: &InForce,
    now: Timestamp,
) -> Result<VerifiedToken, TokenRefusal> {
    let server = in_force.server();
    let verify = |issuer: &str, audience: &str| {
        let expected = Expected {
            issuer,
            audience,
            keys: &in_force.keys,
            now,
            leeway: LEEWAY,
        };
        verify_access_token(token, &expected)
    };
    let refusal = match verify(&server.issuer, &server.resource) {
        Err(refusal @ (TokenRefusal::WrongAudience | TokenRefusal::WrongIssuer)) => refusal,
        verdict => return verdict,
    };
    let issuers = names(&server.issuer, &server.former_issuers, now);
    issuers
        .flat_map(|issuer| {
            let audiences = names(&server.resource, &server.former_resources, now);
            audiences.map(move |audience| (issuer, audience))
        })
        .skip(1)
        .find_map(|(issuer, audience)| verify(issuer, audience).ok())
        .ok_or(refusal)
}

/// What something is called, and then what it was called and may be still.
fn names<'a>(
    name: &'a str,
    former: &'a [(String, Timestamp)],
    now: Timestamp,
) -> impl Iterator<Item = &'a str> {
    let former = former.iter().filter(move |(_, until)| now < *until);
    std::iter::once(name).chain(former.map(|(name, _)| name.as_str()))
}

enum Presented<'a> {
    Nothing,
    Token(&'a str),
    Unusable(&'static str),
}

/// The token in the one `Authorization` header. No other place counts (RFC 6750 section 2, MCP "Token Requirements").
fn bearer_token(headers: &HeaderMap) -> Presented<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Presented::Nothing;
    };
    if values.next().is_some() {
        return Presented::Unusable("The Authorization header stands twice");
    }
    let Ok(value) = value.to_str() else {
        return Presented::Unusable(
            "The Authorization header has characters that it must not have",
        );
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Presented::Unusable("The Authorization header must be Bearer and the token");
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(is_token_byte) {
        return Presented::Unusable("The Authorization header holds no access token");
    }
    Presented::Token(token)
}

/// `b64token` of RFC 6750 section 2.1.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}
