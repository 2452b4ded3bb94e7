use std::time::Duration;

use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, ClientId, McpServer, TrustDecision, UserId};
use store::{EndClient, Store};

use crate::client_trust::{self, DecideError};
use crate::revoke::remembered_for;

/// What an admin decides about a client, registered or with a metadata document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientDecision {
    /// People may use it: it need not wait any longer.
    Approve,
    /// It is refused everywhere from now on, and what it holds ends.
    Block,
    /// It is let in again. What it held stays ended.
    Unblock,
    /// It is deleted with what people approved for it, and what it holds ends.
    Forget,
}

/// What came of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is so now; as many sign-ins ended with it.
    Done {
        /// Token families that were ended.
        ended: u64,
    },
    /// There was nothing to change: it was so before, or there is no such client.
    Unchanged,
}

/// Carries out a decision, with its audit event, in one transaction; gateways learn of it within a second.
///
/// # Errors
/// When the id is the address of no document, or it cannot be written.
pub async fn decide(
    store: &Store,
    now: Timestamp,
    server: &McpServer,
    id: &ClientId,
    decision: ClientDecision,
    by: Option<&UserId>,
) -> Result<Decided, DecideError> {
    let kind = match decision {
        ClientDecision::Approve => AuditEventKind::ClientApproved,
        ClientDecision::Block => AuditEventKind::ClientBlocked,
        ClientDecision::Unblock => AuditEventKind::ClientUnblocked,
        ClientDecision::Forget => AuditEventKind::ClientForgotten,
    };
    let event = AuditEvent {
        at: now,
        kind,
        server: Some(server.slug.clone()),
        user: by.cloned(),
        client: Some(id.clone()),
        grant: None,
        detail: String::new(),
    };
    if id.is_metadata_document() {
        return decide_document(store, now, server, id, decision, by, event).await;
    }
    let slug = &server.slug;
    let changed = |changed: bool| changed.then_some(0);
    let ended = match decision {
        ClientDecision::Approve => changed(store.approve_client(slug, id, event).await?),
        ClientDecision::Unblock => changed(store.unblock_client(slug, id, event).await?),
        ClientDecision::Block => store.block_client(end(now, server, id, event)).await?,
        ClientDecision::Forget => store.forget_client(end(now, server, id, event)).await?,
    };
    Ok(ended.map_or(Decided::Unchanged, |ended| Decided::Done { ended }))
}

/// A document is its host's; what is kept here is the decision about it. Without one the server's setting counts.
async fn decide_document(
    store: &Store,
    now: Timestamp,
    server: &McpServer,
    id: &ClientId,
    decision: ClientDecision,
    by: Option<&UserId>,
    event: AuditEvent,
) -> Result<Decided, DecideError> {
    let slug = &server.slug;
    let before = store.find_client_trust(slug, id).await?;
    let before = before.map(|trust| trust.decision);
    let written = match decision {
        ClientDecision::Approve => TrustDecision::Approved,
        ClientDecision::Block => TrustDecision::Blocked,
        ClientDecision::Unblock if before != Some(TrustDecision::Blocked) => {
            return Ok(Decided::Unchanged);
        }
        ClientDecision::Unblock | ClientDecision::Forget => {
            let forgotten = store.forget_client_trust(slug, id, event).await?;
            return Ok(match forgotten {
                true => Decided::Done { ended: 0 },
                false => Decided::Unchanged,
            });
        }
    };
    if before == Some(written) {
        return Ok(Decided::Unchanged);
    }
    let ended = client_trust::decide(store, now, slug, id, written, by).await?;
    Ok(Decided::Done { ended })
}

/// What blocking and forgetting a client write, with the event that tells of it.
pub fn end(now: Timestamp, server: &McpServer, id: &ClientId, event: AuditEvent) -> EndClient {
    EndClient {
        server: server.slug.clone(),
        client: id.clone(),
        now,
        // `iat` counts whole seconds, and an answer may be under way.
        issued_before: now.after(Duration::from_secs(1)),
        remembered_until: remembered_for(server.settings.access_token_lifetime(), now),
        event,
    }
}
