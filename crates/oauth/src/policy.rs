use authz::{Policy, PolicyMistake};
use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, McpServer};
use store::{PublishOutcome, Store, StoreError};

/// Why a policy was not published, in words for whoever wrote it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum PublishError {
    #[error("{}", lines(.0))]
    Mistakes(Vec<PolicyMistake>),
    #[error("somebody changed the policy meanwhile; look at it and try again")]
    Stale,
    #[error("the MCP server was removed meanwhile")]
    Removed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn lines(mistakes: &[PolicyMistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Publishes a policy in the place of the one that `server` has, if it still has that one. `detail` says what changed.
///
/// # Errors
/// With everything that is wrong with it, when it was changed meanwhile, or the store fails.
pub async fn publish(
    store: &Store,
    now: Timestamp,
    server: &McpServer,
    policy: &Policy,
    detail: String,
) -> Result<i64, PublishError> {
    let mistakes = authz::check(policy, |_| None);
    if !mistakes.is_empty() {
        return Err(PublishError::Mistakes(mistakes));
    }
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::PolicyPublished,
        server: Some(server.slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail,
    };
    let published = store
        .publish_policy(&server.slug, server.policy_revision, policy, event)
        .await?;
    match published {
        PublishOutcome::Published(revision) => Ok(revision),
        PublishOutcome::Stale(_) => Err(PublishError::Stale),
        PublishOutcome::Unknown => Err(PublishError::Removed),
    }
}
