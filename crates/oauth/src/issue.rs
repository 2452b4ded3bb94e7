use base::{Timestamp, base64url};
use domain::TokenFamily;
use wire::oauth::{AccessTokenClaims, Scope, ScopeSet, TokenResponse};

use crate::server_metadata::OFFLINE_ACCESS;
use crate::{Authority, ServerContext};

/// Mints and signs an access token of `family` with `scopes`.
///
/// Spec: RFC 9068 section 2.2.
pub(crate) fn access_token(
    authority: &Authority,
    server: &ServerContext,
    family: &TokenFamily,
    scopes: &ScopeSet,
    now: Timestamp,
) -> String {
    let mut token_id = [0u8; 16];
    authority.random().fill(&mut token_id);
    let lifetime = server.server.settings.access_token_lifetime();
    let claims = AccessTokenClaims {
        iss: server.issuer.clone(),
        sub: family.user.as_str().to_owned(),
        aud: server.server.resource.clone(),
        exp: now.after(lifetime).unix_seconds(),
        iat: now.unix_seconds(),
        jti: base64url(token_id),
        client_id: family.client.as_str().to_owned(),
        scope: scopes.clone(),
        grant_id: family.id.as_str().to_owned(),
        auth_time: Some(family.authenticated_at.unix_seconds()),
        roles: Vec::new(),
        cnf: None,
    };
    authority.signing_keys().sign_access_token(&claims, now)
}

/// The answer of the token endpoint. `offline_access` is echoed since there is a refresh token; it is in no JWT.
pub(crate) fn token_response(
    server: &ServerContext,
    access_token: String,
    refresh_token: String,
    mut scopes: ScopeSet,
) -> TokenResponse {
    scopes.insert(Scope::parse(OFFLINE_ACCESS).expect("a scope name"));
    let lifetime = server.server.settings.access_token_seconds;
    TokenResponse {
        access_token,
        token_type: "Bearer".into(),
        expires_in: i64::try_from(lifetime).unwrap_or(i64::MAX),
        refresh_token: Some(refresh_token),
        scope: scopes,
    }
}
