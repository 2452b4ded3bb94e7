use std::time::Duration;

use base::Timestamp;
use domain::{ClientId, GrantId, WithheldReason, WithheldScope};
use store::FoundGrant;
use wire::oauth::{AccessTokenClaims, ErrorCode, IntrospectionResponse, WithheldScopeEntry};

use crate::standing::Standing;
use crate::throttle::{Key, Rate};
use crate::{
    Authority, BasicCredentials, Error, Parameters, ServerContext, resource_server, service_tokens,
    token_text,
};

/// Questions of one MCP server: as many as a busy one has calls, and then as many as we can bear for long.
const QUESTIONS: Rate = Rate {
    burst: 5_000,
    refill: Duration::from_millis(1),
};

/// Tells an MCP server whether an access token or a service token is good for it; of a good service token also the access
/// token that stands for it. A token of another server, a refresh token, and
/// anything else are inactive, all with the same answer.
///
/// # Errors
/// `invalid_request`, `invalid_client`, and our own outage.
///
/// Spec: RFC 7662 section 2.
pub async fn introspect(
    authority: &Authority,
    server: &ServerContext,
    form: &Parameters<'_>,
    header: Option<&BasicCredentials>,
) -> Result<IntrospectionResponse, Error> {
    form.refuse_repeats(&[])?;
    resource_server::authenticate(authority, server, form, header).await?;
    let token = form
        .get("token")
        .ok_or_else(|| Error::invalid_request("token is missing"))?;
    let now = authority.now();
    let key = Key::Introspection(server.slug().to_owned());
    authority
        .throttle()
        .take(&[(key, QUESTIONS)], now)
        .map_err(|wait| {
            Error::temporarily_unavailable(wait, "too many questions of one MCP server")
        })?;
    let exchanged = service_token(authority, server, token).await?;
    let token = exchanged.as_deref().unwrap_or(token);
    let Some(claims) = own_token(authority, server, token, now) else {
        return Ok(IntrospectionResponse::default());
    };
    let grant = GrantId::from_text(claims.grant_id.as_str());
    let grant = authority.store().find_grant(&grant).await?;
    let Some(grant) = grant.filter(|grant| stands(grant, &claims, server)) else {
        return Ok(IntrospectionResponse::default());
    };
    let client = ClientId::from_text(claims.client_id.as_str());
    let proven = claims.client_proven;
    let standing = Standing::of(authority, server, &claims.sub, &client, proven).await?;
    if claims.standing < standing.revision {
        return Ok(IntrospectionResponse::default());
    }
    Ok(IntrospectionResponse {
        access_token: exchanged,
        ..active(server, claims, &grant, &standing)
    })
}

/// The access token that stands for a service token, when it is one that is good here.
async fn service_token(
    authority: &Authority,
    server: &ServerContext,
    token: &str,
) -> Result<Option<String>, Error> {
    if token_text::digest(token, token_text::SERVICE_TOKEN).is_none() {
        return Ok(None);
    }
    match service_tokens::exchange(authority, server, token).await {
        Ok(access_token) => Ok(Some(access_token)),
        Err(error) if error.code() == ErrorCode::InvalidGrant => Ok(None),
        Err(error) => Err(error),
    }
}

/// The claims of an access token that we signed for this very server and that has not expired.
fn own_token(
    authority: &Authority,
    server: &ServerContext,
    token: &str,
    now: Timestamp,
) -> Option<AccessTokenClaims> {
    let claims: AccessTokenClaims = authority.signing_keys().read_own(token)?;
    let for_server = server.is_issuer(&claims.iss, now) && server.is_audience(&claims.aud, now);
    let live = now < Timestamp::from_unix_seconds(claims.exp);
    (for_server && live).then_some(claims)
}

/// Whether what the token came of still holds: the grant, its client, and the person when there is one.
pub(crate) fn stands(
    grant: &FoundGrant,
    claims: &AccessTokenClaims,
    server: &ServerContext,
) -> bool {
    let subject_is_machine = grant.subject == grant.client.as_str();
    let client_stands = grant.client_is_live || is_kept_elsewhere(&grant.client);
    !grant.ended
        && grant.server == server.server.slug
        && grant.client.as_str() == claims.client_id
        && grant.subject == claims.sub
        && (grant.person_is_live || subject_is_machine)
        && client_stands
}

/// Service tokens and clients with a metadata document are not in the table of clients; blocking or revoking one ends
/// its grants.
fn is_kept_elsewhere(client: &ClientId) -> bool {
    client.is_metadata_document() || client.as_str().starts_with("svt_")
}

fn active(
    server: &ServerContext,
    claims: AccessTokenClaims,
    grant: &FoundGrant,
    standing: &Standing,
) -> IntrospectionResponse {
    let declared = claims.scope.intersection(&server.declared_scopes);
    let removed = grant.scopes.difference(&server.declared_scopes);
    let removed = removed.iter().map(|scope| WithheldScope {
        scope: scope.clone(),
        reason: WithheldReason::RemovedSince,
    });
    let kept = grant.withheld.iter();
    // What roles and rules withhold changes with them, and is narrower in each token: asked of what was approved.
    let approved = grant.scopes.intersection(&server.declared_scopes);
    let withheld_now = standing.withheld(server, &approved);
    let withheld_scopes: Vec<_> = kept
        .cloned()
        .chain(removed)
        .chain(withheld_now)
        .map(entry)
        .collect();
    IntrospectionResponse {
        active: true,
        scope: Some(standing.grantable(server, &declared).granted),
        client_id: Some(claims.client_id),
        token_type: Some("Bearer".into()),
        exp: Some(claims.exp),
        iat: Some(claims.iat),
        sub: Some(claims.sub),
        aud: Some(claims.aud),
        iss: Some(claims.iss),
        jti: Some(claims.jti),
        grant_id: Some(claims.grant_id),
        client_proven: claims.client_proven,
        auth_time: claims.auth_time,
        roles: claims.roles,
        access_token: None,
        withheld_scopes,
    }
}

fn entry(withheld: WithheldScope) -> WithheldScopeEntry {
    WithheldScopeEntry {
        scope: withheld.scope,
        reason: withheld.reason.as_str().to_owned(),
        description: withheld.reason.in_words().to_owned(),
    }
}
