use domain::{
    AuditEvent, AuditEventKind, Client, GrantId, ServiceGrant, WithheldReason, WithheldScope,
};
use wire::oauth::ScopeSet;

use crate::client_auth::ClientCredentials;
use crate::issue::{self, TokenSubject};
use crate::server_metadata::OFFLINE_ACCESS;
use crate::standing::Standing;
use crate::token::{Issued, IssuedKind};
use crate::{Authority, Error, Parameters, ServerContext};

/// The most scopes that are remembered as withheld: a form may carry thousands.
const WITHHELD_MAX: usize = 64;

/// Gives a client a token for itself. There is no refresh token: it can ask again whenever it likes.
///
/// Spec: RFC 6749 section 4.4; the MCP extension for OAuth client credentials.
pub(crate) async fn issue(
    authority: &Authority,
    server: &ServerContext,
    credentials: &ClientCredentials<'_>,
    form: &Parameters<'_>,
) -> Result<Issued, Error> {
    let now = authority.now();
    let authenticated = credentials.authenticate(authority, server, None).await?;
    authenticated.may_get_tokens()?;
    let (client, service_scopes) = match authenticated.loaded() {
        Some(client) if authenticated.is_proven() => (client, may_act_for_itself(client)?),
        // RFC 6749 section 4.4: only confidential clients.
        _ => {
            return Err(Error::unauthorized_client(
                "a client without a secret or a key cannot act for itself; send a person through the authorization code flow",
            ));
        }
    };
    server.check_resources(form.all("resource"), now)?;
    let (approved, withheld) = granted(server, service_scopes, form.get("scope"))?;
    let itself = client.id.as_str();
    let standing = Standing::of(authority, server, itself, &client.id, true).await?;
    let scopes = standing.grantable(server, &approved).granted;

    let lifetime = server.server.settings.access_token_lifetime();
    let grant = ServiceGrant {
        id: GrantId::at(now, authority.random()),
        server: client.server.clone(),
        client: client.id.clone(),
        subject: client.id.as_str().to_owned(),
        scopes: approved,
        withheld,
        created_at: now,
        expires_at: now.after(lifetime),
    };
    let subject = TokenSubject {
        subject: &grant.subject,
        client: grant.client.as_str(),
        grant: &grant.id,
        authenticated_at: None,
    };
    let access_token = issue::access_token(
        authority, server, subject, &standing, &scopes, lifetime, now,
    );
    let issued = Issued {
        response: issue::without_refresh_token(access_token, lifetime, scopes.clone()),
        kind: IssuedKind::ActsForItself,
        client: client.id.clone(),
        user: None,
        grant: grant.id.clone(),
        scopes,
    };
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::ClientTokenIssued,
        server: Some(grant.server.clone()),
        user: None,
        client: Some(grant.client.clone()),
        grant: Some(grant.id.clone()),
        detail: issued.scopes.to_string(),
    };
    authority.store().insert_service_grant(grant, event).await?;
    Ok(issued)
}

fn may_act_for_itself(client: &Client) -> Result<&ScopeSet, Error> {
    client.service_scopes.as_ref().ok_or_else(|| {
        Error::unauthorized_client(
            "this client was not given any scope of its own; an admin can add one with `portcullis clients add --service-scope`",
        )
    })
}

/// What was asked for, of what the client may have, of what the server has. Nothing asked means all that the admin gave
/// this client: the list is its declared default (RFC 6749 section 3.3).
fn granted(
    server: &ServerContext,
    service_scopes: &ScopeSet,
    asked: Option<&str>,
) -> Result<(ScopeSet, Vec<WithheldScope>), Error> {
    let allowed = service_scopes.intersection(&server.declared_scopes);
    if allowed.is_empty() {
        return Err(Error::invalid_scope(
            "the server has none of the scopes any more that were given to this client",
        ));
    }
    let Some(asked) = asked else {
        return Ok((allowed, Vec::new()));
    };
    let asked = ScopeSet::parse_lenient(asked);
    let granted = asked.intersection(&allowed);
    if granted.is_empty() {
        return Err(Error::invalid_scope(format!(
            "none of these scopes was given to this client; it may ask for: {allowed}"
        )));
    }
    let withheld = asked
        .iter()
        .filter(|scope| !granted.contains(scope) && scope.as_str() != OFFLINE_ACCESS)
        .take(WITHHELD_MAX)
        .map(|scope| WithheldScope {
            scope: scope.clone(),
            reason: if server.declared_scopes.contains(scope) {
                WithheldReason::NotForThisClient
            } else {
                WithheldReason::Unknown
            },
        })
        .collect();
    Ok((granted, withheld))
}
