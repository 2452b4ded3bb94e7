use std::time::Duration;

use base::Timestamp;
use domain::{
    AuditEvent, AuditEventKind, ClientId, ClientTrust, McpServer, ServerSlug, TrustDecision, UserId,
};
use store::{AskedFor, Store, StoreError};

use crate::client_id_metadata::url::DocumentUrl;
use crate::revoke::remembered_for;
use crate::{Authority, Error, ServerContext};

/// As many clients of one server may wait for a decision.
const WAITING_MAX: i64 = 200;

/// Why a decision is not written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum DecideError {
    #[error(
        "{client} {problem}; the id of such a client is the https address of its metadata document"
    )]
    NotADocument {
        client: String,
        problem: &'static str,
    },
    #[error("there is no MCP server {0}")]
    NoSuchServer(ServerSlug),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A signed-in person asks the owner to let a client in. Asking twice is asking once.
///
/// # Errors
/// When as many wait as may, or it cannot be written.
pub async fn ask(
    authority: &Authority,
    server: &ServerContext,
    client: &ClientId,
    user: &UserId,
) -> Result<(), Error> {
    DocumentUrl::parse(client.as_str())
        .map_err(|problem| Error::invalid_client(format!("client_id {problem}")))?;
    let asked = trust(
        &server.server.slug,
        client,
        TrustDecision::Waiting,
        authority.now(),
        Some(user),
    );
    let event = event(&asked, AuditEventKind::ClientAskedFor);
    match authority
        .store()
        .ask_for_client(asked, WAITING_MAX, event)
        .await?
    {
        AskedFor::Waits | AskedFor::AlreadyThere => Ok(()),
        AskedFor::TooMany => Err(Error::temporarily_unavailable(
            Duration::from_secs(3600),
            "as many clients as may wait for a decision at this server",
        )),
    }
}

/// When the last access token has expired that a client got from `server` before `now`.
pub fn tokens_remembered_until(server: &McpServer, now: Timestamp) -> Timestamp {
    remembered_for(server.settings.access_token_lifetime(), now)
}

/// Whether something can be decided about this client.
///
/// # Errors
/// When the id is none of a document.
pub fn check_is_a_document(client: &ClientId) -> Result<(), DecideError> {
    DocumentUrl::parse(client.as_str())
        .map(|_| ())
        .map_err(|problem| DecideError::NotADocument {
            client: client.as_str().chars().take(200).collect(),
            problem,
        })
}

/// Writes what the owner decided, also about a client that never came. Blocking ends what the client holds at this
/// server, and the policy feed tells it within a second; says how many token families that ended.
///
/// # Errors
/// When the id is none of a document, or it cannot be written.
pub async fn decide(
    store: &Store,
    now: Timestamp,
    server: &ServerSlug,
    client: &ClientId,
    decision: TrustDecision,
    by: Option<&UserId>,
) -> Result<u64, DecideError> {
    check_is_a_document(client)?;
    let found = store.find_server(server).await?;
    let found = found.ok_or_else(|| DecideError::NoSuchServer(server.clone()))?;
    let decided = trust(server, client, decision, now, by);
    let event = event(
        &decided,
        match decision {
            TrustDecision::Waiting => AuditEventKind::ClientAskedFor,
            TrustDecision::Approved => AuditEventKind::ClientApproved,
            TrustDecision::Blocked => AuditEventKind::ClientBlocked,
        },
    );
    let until = tokens_remembered_until(&found, now);
    Ok(store.decide_client_trust(decided, until, event).await?)
}

fn trust(
    server: &ServerSlug,
    client: &ClientId,
    decision: TrustDecision,
    at: Timestamp,
    by: Option<&UserId>,
) -> ClientTrust {
    ClientTrust {
        server: server.clone(),
        client: client.clone(),
        decision,
        at,
        by: by.cloned(),
    }
}

fn event(trust: &ClientTrust, kind: AuditEventKind) -> AuditEvent {
    AuditEvent {
        at: trust.at,
        kind,
        server: Some(trust.server.clone()),
        user: trust.by.clone(),
        client: Some(trust.client.clone()),
        grant: None,
        detail: String::new(),
    }
}
