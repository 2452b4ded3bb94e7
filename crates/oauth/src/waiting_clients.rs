use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use domain::{Client, ClientId, ServerSlug, UserRole};
use tracing::Instrument as _;

use crate::client_decision::{self, ClientDecision};
use crate::client_trust::DecideError;
use crate::find_client::find_client;
use crate::session::SignedIn;
use crate::{Authority, Error, ServerContext, client_id_metadata};

/// The most that are shown at once; the others follow when these are decided.
const SHOWN_MAX: usize = 50;

/// How long the list waits for the documents of those on it, all at once. The fetches go on, for the next look.
const DOCUMENT_PATIENCE: Duration = Duration::from_millis(1500);

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
    let mut asked_for = Vec::new();
    for trust in store.list_waiting_client_trust(SHOWN_MAX).await? {
        if let Some(server) = authority.server(trust.server.as_str()) {
            let describing =
                described(authority.clone(), Arc::clone(&server), trust.client.clone());
            let describing = tokio::spawn(describing.in_current_span());
            asked_for.push((trust, server, describing));
        }
    }
    for (trust, server, describing) in asked_for {
        waiting.push(WaitingClient {
            document_host: client_id_metadata::host(&trust.client),
            client: describing.await.unwrap_or_default(),
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

/// What a client says about itself, when its host tells it soon. Hosts that drip must not keep an owner from deciding
/// about them.
async fn described(
    authority: Authority,
    server: Arc<ServerContext>,
    id: ClientId,
) -> Option<Client> {
    let finding = find_client(&authority, &server, &id);
    let found = tokio::time::timeout(DOCUMENT_PATIENCE, finding).await;
    found.ok()?.ok()?
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
    decision: ClientDecision,
) -> Result<(), Error> {
    if signed_in.user.role != UserRole::Owner {
        return Err(Error::access_denied("only an owner decides about clients"));
    }
    let server = authority
        .server(server)
        .ok_or_else(|| Error::invalid_request("there is no such server"))?;
    let decided = client_decision::decide(
        authority.store(),
        authority.now(),
        &server.server,
        id,
        decision,
        Some(&signed_in.user.id),
    );
    match decided.await {
        Ok(_) => Ok(()),
        Err(DecideError::Store(error)) => Err(error.into()),
        Err(error) => Err(Error::invalid_request(error.to_string())),
    }
}
