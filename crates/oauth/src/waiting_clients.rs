use std::time::Duration;

use base::Timestamp;
use domain::{
    AuditEvent, AuditEventKind, Client, ClientId, ServerSlug, TrustDecision, UserId, UserRole,
};
use store::EndClient;

use crate::client_trust::DecideError;
use crate::find_client::find_client;
use crate::session::SignedIn;
use crate::{Authority, Error, client_id_metadata, client_trust};

/// The most that are shown at once; the others follow when these are decided.
const SHOWN_MAX: usize = 50;

/// A client that waits for an owner.
#[derive(Debug)]
pub struct WaitingClient {
    /// At which MCP server.
    pub server: ServerSlug,
    /// That server's name.
    pub server_name: String,
    /// Its id.
    pub id: ClientId,
    /// The host of its metadata document, when it has one.
    pub document_host: Option<String>,
    /// What it says about itself; none when its document cannot be had now.
    pub client: Option<Client>,
    /// Since when.
    pub since: Timestamp,
}

/// What an owner decides about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// People may use it.
    Approve,
    /// It is refused from now on.
    Block,
}

/// Every client that waits, the longest waiting first; none for somebody who is no owner.
///
/// # Errors
/// Our own outage.
pub async fn list(
    authority: &Authority,
    signed_in: &SignedIn,
) -> Result<Vec<WaitingClient>, Error> {
    if signed_in.user.role != UserRole::Owner {
        return Ok(Vec::new());
    }
    let store = authority.store();
    let mut waiting: Vec<WaitingClient> = store
        .list_waiting_clients(SHOWN_MAX)
        .await?
        .into_iter()
        .map(|client| WaitingClient {
            server_name: authority
                .server(client.server.as_str())
                .map(|server| server.server.name.clone())
                .unwrap_or_default(),
            server: client.server.clone(),
            id: client.id.clone(),
            document_host: None,
            since: client.waiting_since.unwrap_or(client.created_at),
            client: Some(client),
        })
        .collect();
    for trust in store.list_waiting_client_trust(SHOWN_MAX).await? {
        let Some(server) = authority.server(trust.server.as_str()) else {
            continue;
        };
        waiting.push(WaitingClient {
            document_host: client_id_metadata::host(&trust.client),
            client: find_client(authority, &server, &trust.client)
                .await
                .unwrap_or_default(),
            server_name: server.server.name.clone(),
            server: trust.server,
            id: trust.client,
            since: trust.at,
        });
    }
    waiting.sort_by_key(|client| client.since);
    waiting.truncate(SHOWN_MAX);
    Ok(waiting)
}

/// Carries out what an owner decided. Deciding again what was decided changes nothing.
///
/// # Errors
/// `access_denied` for somebody who is no owner; `invalid_request` for an unknown server; our own outage.
pub async fn decide(
    authority: &Authority,
    signed_in: &SignedIn,
    server: &str,
    id: &ClientId,
    decision: Decision,
) -> Result<(), Error> {
    if signed_in.user.role != UserRole::Owner {
        return Err(Error::access_denied("only an owner decides about clients"));
    }
    let server = authority
        .server(server)
        .ok_or_else(|| Error::invalid_request("there is no such server"))?;
    let slug = &server.server.slug;
    let by = &signed_in.user.id;
    let now = authority.now();
    if id.is_metadata_document() {
        let decision = match decision {
            Decision::Approve => TrustDecision::Approved,
            Decision::Block => TrustDecision::Blocked,
        };
        let decided = client_trust::decide(authority.store(), now, slug, id, decision, Some(by));
        return match decided.await {
            Ok(_) => Ok(()),
            Err(DecideError::Store(error)) => Err(error.into()),
            Err(error) => Err(Error::invalid_request(error.to_string())),
        };
    }
    match decision {
        Decision::Approve => {
            let event = event(AuditEventKind::ClientApproved, slug, id, by, now);
            authority.store().approve_client(slug, id, event).await?;
        }
        Decision::Block => {
            let seconds = server.server.settings.access_token_seconds;
            let block = EndClient {
                server: slug.clone(),
                client: id.clone(),
                now,
                issued_before: now.after(Duration::from_secs(1)),
                remembered_until: now.after(Duration::from_secs(seconds + 60)),
                event: event(AuditEventKind::ClientBlocked, slug, id, by, now),
            };
            authority.store().block_client(block).await?;
        }
    }
    Ok(())
}

fn event(
    kind: AuditEventKind,
    server: &ServerSlug,
    client: &ClientId,
    by: &UserId,
    now: Timestamp,
) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: Some(server.clone()),
        user: Some(by.clone()),
        client: Some(client.clone()),
        grant: None,
        detail: String::new(),
    }
}
