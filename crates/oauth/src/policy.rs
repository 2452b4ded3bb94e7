use authz::{ListKind, Policy, PolicyMistake};
use domain::{AuditEventKind, McpServer};
use store::{PublishOutcome, Store, StoreError};

use crate::input_schemas::mistakes_of;
use crate::{Act, KeptDefinitions};

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
    #[error("{0} is not changed with the policy; it is a setting of the MCP server")]
    Setting(&'static str),
    #[error("an empty policy would have all that the server lists accepted at the next look")]
    Blank,
    #[error("{0}: a set without a scope would let everybody in; say public")]
    EmptySet(String),
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
    act: impl Into<Act>,
    server: &McpServer,
    policy: &Policy,
    detail: String,
) -> Result<i64, PublishError> {
    let mistakes = authz::check(policy, |_| None);
    if !mistakes.is_empty() {
        return Err(PublishError::Mistakes(mistakes));
    }
    put(store, act.into(), server, policy, detail).await
}

/// What would be published if somebody wrote `policy` in the place of the one that `server` has: the definitions of its
/// elements, and what waits, stay as they are.
///
/// # Errors
/// With everything that is wrong with it, or when the store fails.
pub async fn written(
    store: &Store,
    server: &McpServer,
    policy: Policy,
) -> Result<Policy, PublishError> {
    // Enforcing has a gate of its own (`launch`).
    if policy.mode != server.policy.mode {
        return Err(PublishError::Setting("mode"));
    }
    if policy.quarantine_from != server.policy.quarantine_from {
        return Err(PublishError::Setting("quarantine_from"));
    }
    if policy.is_blank() && !server.policy.is_blank() {
        return Err(PublishError::Blank);
    }
    refuse_empty_sets(&policy)?;
    // Whoever leaves an element out and writes it again lifts no quarantine, and approves nothing.
    let kept = KeptDefinitions::load(store, &server.slug).await?;
    let known = |kind, identity: &str, then: Option<&str>| kept.known_now(kind, identity, then);
    let policy = policy
        .written_over(&server.policy)
        .returning_over(&server.policy, known);
    let mistakes = mistakes_of(store, server, &policy).await?;
    match mistakes.is_empty() {
        true => Ok(policy),
        false => Err(PublishError::Mistakes(mistakes)),
    }
}

fn refuse_empty_sets(policy: &Policy) -> Result<(), PublishError> {
    for kind in ListKind::ALL {
        for (identity, entry) in policy.entries(kind) {
            if entry.requirement.has_empty_set() {
                let named = identity.escape_debug().take(60).collect();
                return Err(PublishError::EmptySet(named));
            }
        }
    }
    Ok(())
}

/// Publishes what [`written`] made, if `server` still has the policy that it was made over.
///
/// # Errors
/// When it was changed meanwhile, or the store fails.
pub async fn put(
    store: &Store,
    act: Act,
    server: &McpServer,
    policy: &Policy,
    detail: String,
) -> Result<i64, PublishError> {
    let event = act.event(AuditEventKind::PolicyPublished, Some(&server.slug), detail);
    let published = store
        .publish_policy(&server.slug, server.policy_revision, policy, event)
        .await?;
    match published {
        PublishOutcome::Published(revision) => Ok(revision),
        PublishOutcome::Stale(_) => Err(PublishError::Stale),
        PublishOutcome::Unknown => Err(PublishError::Removed),
    }
}
