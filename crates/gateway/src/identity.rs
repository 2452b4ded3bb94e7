use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base::{Random, Timestamp, base64url};
use http::HeaderValue;
use sdk::VerifiedCaller;
use serde::Serialize;

use crate::settings::{IdentityKey, SettingsError};
use crate::upstream_error::UpstreamError;

/// How long one `Portcullis-Identity` is good.
const LIFETIME: Duration = Duration::from_secs(60);

/// How long one is sent again with the calls of the same token: a signature per call would cost more than the call.
const REUSED_FOR: Duration = Duration::from_secs(30);

/// Tells upstreams who calls: a short JWT with its own `typ`, key and JWKS, so that nobody can take it for an access
/// token, nor an access token for it.
#[derive(Debug)]
pub(crate) struct IdentitySigner {
    key: EcdsaKeyPair,
    /// The first part of each token: the header is always the same.
    header: String,
    key_id: String,
    issuer: String,
}

#[derive(Serialize)]
struct IdentityClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    client_proven: bool,
    grant_id: &'a str,
    scope: &'a wire::oauth::ScopeSet,
    iat: i64,
    exp: i64,
    jti: String,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
}

impl IdentitySigner {
    pub(crate) fn new(key: &IdentityKey, issuer: &str) -> Result<Self, SettingsError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.pkcs8.expose())
            .map_err(|_| SettingsError::IdentityKey)?;
        let header = serde_json::to_vec(&Header {
            typ: "portcullis-identity+jwt",
            alg: "ES256",
            kid: &key.kid,
        })
        .expect("three strings become JSON");
        Ok(Self {
            key: pair,
            header: base64url(header),
            key_id: key.kid.clone(),
            issuer: issuer.to_owned(),
        })
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The header for a call of `caller` to the server `slug`.
    pub(crate) fn header_for(
        &self,
        caller: &VerifiedCaller,
        slug: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<HeaderValue, UpstreamError> {
        caller.derived_header(&self.key_id, now, || {
            let value = self
                .sign(caller, slug, now, random)
                .ok_or_else(|| UpstreamError::bad("The identity of the caller cannot be signed"))?;
            Ok((value, now.after(REUSED_FOR)))
        })
    }

    fn sign(
        &self,
        caller: &VerifiedCaller,
        slug: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Option<HeaderValue> {
        let token = caller.token();
        let mut jti = [0u8; 16];
        random.fill(&mut jti);
        let claims = IdentityClaims {
            iss: &self.issuer,
            aud: slug,
            sub: &token.sub,
            client_id: &token.client_id,
            client_proven: token.client_proven,
            grant_id: &token.grant_id,
            scope: &token.scope,
            iat: now.unix_seconds(),
            exp: now.after(LIFETIME).unix_seconds(),
            jti: base64url(jti),
        };
        let claims = serde_json::to_vec(&claims).ok()?;
        let mut jwt = format!("{}.{}", self.header, base64url(claims));
        let signature = self
            .key
            .sign(&aws_lc_rs::rand::SystemRandom::new(), jwt.as_bytes())
            .ok()?;
        jwt.push('.');
        jwt.push_str(&base64url(signature.as_ref()));
        let mut value = HeaderValue::try_from(jwt).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}
