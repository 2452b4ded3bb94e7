use std::time::Duration;

use base::{Timestamp, base64url};
use domain::{GrantId, TokenFamily};
use wire::oauth::{AccessTokenClaims, Scope, ScopeSet, TokenResponse};

use crate::server_metadata::OFFLINE_ACCESS;
use crate::standing::Standing;
use crate::{Authority, ServerContext};

/// For whom an access token is, and under which approval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenSubject<'a> {
    /// The `sub`.
    pub subject: &'a str,
    /// The `client_id`.
    pub client: &'a str,
    /// The `grant_id`.
    pub grant: &'a GrantId,
    /// The `auth_time`, which only people have.
    pub authenticated_at: Option<Timestamp>,
}

impl<'a> From<&'a TokenFamily> for TokenSubject<'a> {
    fn from(family: &'a TokenFamily) -> Self {
        Self {
            subject: family.user.as_str(),
            client: family.client.as_str(),
            grant: &family.id,
            authenticated_at: Some(family.authenticated_at),
        }
    }
}

/// Mints and signs an access token with `scopes`, which says what else is known of who asks.
///
/// Spec: RFC 9068 section 2.2.
pub(crate) fn access_token(
    authority: &Authority,
    server: &ServerContext,
    subject: TokenSubject<'_>,
    standing: &Standing,
    scopes: &ScopeSet,
    lifetime: Duration,
    now: Timestamp,
) -> String {
    let mut token_id = [0u8; 16];
    authority.random().fill(&mut token_id);
    let claims = AccessTokenClaims {
        iss: server.issuer.clone(),
        sub: subject.subject.to_owned(),
        aud: server.server.resource.clone(),
        exp: now.after(lifetime).unix_seconds(),
        // Within the second in which an epoch began, a token must not look like one from before.
        iat: now.max(authority.store().epoch().began_at).unix_seconds(),
        jti: base64url(token_id),
        client_id: subject.client.to_owned(),
        scope: scopes.clone(),
        grant_id: subject.grant.as_str().to_owned(),
        auth_time: subject.authenticated_at.map(Timestamp::unix_seconds),
        roles: standing.roles.clone(),
        groups: standing.groups.clone(),
        standing: standing.revision,
        client_vouched: standing.client_vouched,
        client_proven: standing.client_proven,
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

/// The answer to a client that acts for itself.
pub(crate) fn without_refresh_token(
    access_token: String,
    lifetime: Duration,
    scopes: ScopeSet,
) -> TokenResponse {
    TokenResponse {
        access_token,
        token_type: "Bearer".into(),
        expires_in: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
        refresh_token: None,
        scope: scopes,
    }
}
