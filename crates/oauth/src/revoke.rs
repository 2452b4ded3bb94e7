use std::time::Duration;

use base::{Digest, Timestamp};
use domain::{AuditEvent, AuditEventKind, ClientId, FamilyEnd, GrantId};
use store::EndFamily;
use wire::oauth::AccessTokenClaims;

use crate::client_auth::{AuthenticatedClient, BasicCredentials, ClientCredentials};
use crate::{Authority, Error, Parameters, ServerContext, service_tokens, token_text};

/// How much longer than an access token lives a revocation is remembered. A setting that was shortened leaves longer-lived tokens
/// behind, and a clock that was ahead by up to a day leaves some that end, or begin to be good, a day later.
const REMEMBERED_LONGER: Duration = Duration::from_secs(24 * 3600);

/// How much longer than the last access token a revocation is remembered: clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// What a revocation did, for the log; the client is told nothing.
#[derive(Debug)]
pub struct Revocation {
    /// The client, when it is known.
    pub client: Option<ClientId>,
    /// The grant that ended, if the token was the client's and had not ended before.
    pub ended: Option<GrantId>,
}

/// Revokes a refresh or access token of the client that asks. Either way the whole grant ends: its refresh tokens, and
/// within a second its access tokens everywhere. A service token is revoked by whoever has it.
///
/// # Errors
/// `invalid_request`, `invalid_client`, and our own outage; an unknown token is no error (RFC 7009 section 2.2).
///
/// Spec: RFC 7009 section 2.1.
pub async fn revoke(
    authority: &Authority,
    server: &ServerContext,
    form: &Parameters<'_>,
    header: Option<&BasicCredentials>,
) -> Result<Revocation, Error> {
    form.refuse_repeats(&[])?;
    let token = form
        .get("token")
        .ok_or_else(|| Error::invalid_request("token is missing"))?;
    if let Some(digest) = token_text::digest(token, token_text::SERVICE_TOKEN) {
        return revoke_service_token(authority, server, digest).await;
    }
    let credentials = ClientCredentials::read(form, header)?;
    let client = credentials.authenticate(authority, server, None).await?;
    // `token_type_hint` is only a hint, and the two kinds cannot be mistaken for each other.
    let grant = match token_text::digest(token, token_text::REFRESH_TOKEN) {
        Some(digest) => authority
            .store()
            .find_refresh_token(digest)
            .await?
            .filter(|found| {
                found.family.server == server.server.slug && found.family.client == *client.id()
            })
            .map(|found| found.family.id),
        None => grant_of_access_token(authority, server, &client, token),
    };
    let Some(grant) = grant else {
        return Ok(Revocation {
            client: Some(client.id().clone()),
            ended: None,
        });
    };
    let now = authority.now();
    let ended = authority
        .store()
        .end_family(EndFamily {
            family: grant.clone(),
            reason: FamilyEnd::Revoked,
            revocation_until: remembered_until(server, now),
            now,
            event: AuditEvent {
                at: now,
                kind: AuditEventKind::GrantRevoked,
                server: Some(server.server.slug.clone()),
                user: None,
                client: Some(client.id().clone()),
                grant: Some(grant.clone()),
                detail: "by the client".into(),
            },
        })
        .await?;
    Ok(Revocation {
        client: Some(client.id().clone()),
        ended: ended.then_some(grant),
    })
}

/// A machine with a static token is no client; having the token is all that it could prove.
async fn revoke_service_token(
    authority: &Authority,
    server: &ServerContext,
    digest: Digest,
) -> Result<Revocation, Error> {
    let revoked = service_tokens::revoke_by_text(authority, server, digest).await?;
    let client = revoked
        .as_ref()
        .map(|token| ClientId::from_text(token.id.as_str()));
    Ok(Revocation {
        client,
        ended: revoked.map(|token| token.grant),
    })
}

/// The grant of an access token that we issued to this very client; its time may be over.
fn grant_of_access_token(
    authority: &Authority,
    server: &ServerContext,
    client: &AuthenticatedClient,
    token: &str,
) -> Option<GrantId> {
    let claims: AccessTokenClaims = authority.signing_keys().read_own(token)?;
    (server.is_issuer(&claims.iss, authority.now()) && claims.client_id == client.id().as_str())
        .then(|| GrantId::from_text(claims.grant_id))
}

/// Until when gateways must know that a grant ended: until its last access token has expired, which may have been
/// minted when the setting was longer.
pub(crate) fn remembered_until(server: &ServerContext, now: Timestamp) -> Timestamp {
    remembered_for(server.server.settings.access_token_lifetime(), now)
}

/// As [`remembered_until`], for tokens of this lifetime.
pub(crate) fn remembered_for(lifetime: Duration, now: Timestamp) -> Timestamp {
    now.after(lifetime)
        .after(REMEMBERED_LONGER)
        .after(CLOCK_TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_outlives_a_token_that_a_clock_a_day_ahead_has_signed() {
        let (now, hour) = (
            Timestamp::from_unix_seconds(1_000_000),
            Duration::from_secs(3600),
        );
        let day = Duration::from_secs(24 * 3600);
        let signed_ahead = now.after(day);
        assert!(remembered_for(hour, now) > signed_ahead.after(hour));
        assert!(remembered_for(hour, now) < signed_ahead.after(2 * hour));
    }
}
