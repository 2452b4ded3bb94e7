//! An earlier revision of a policy, published again.

use std::collections::HashMap;

use authz::{ListKind, Policy, PolicyMistake, RolledBack};
use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, DefinitionState, McpServer};
use store::{RollBack, RollBackOutcome, Store, StoreError};

/// Why a policy is not rolled back.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum RollBackError {
    #[error("revision {0} is not kept")]
    NotKept(i64),
    #[error("revision {0} is the one in force")]
    InForce(i64),
    #[error(
        "at revision {0} nothing was mapped yet: with it, the next look at the server would accept whatever it lists then"
    )]
    Blank(i64),
    #[error("revision {revision} breaks a rule of this release: {}", lines(.mistakes))]
    Mistakes {
        revision: i64,
        mistakes: Vec<PolicyMistake>,
    },
    #[error("{0} was listed with another definition meanwhile; look at it and try again")]
    Changed(String),
    #[error(
        "somebody saved the policy meanwhile, and revision {0} is in force; look at it and try again"
    )]
    Stale(i64),
    #[error("the MCP server was removed meanwhile")]
    Removed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn lines(mistakes: &[PolicyMistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// What a rollback would publish.
#[derive(Debug, Clone)]
pub struct PlannedRollBack {
    of_revision: i64,
    expected_revision: i64,
    /// The policy, with what comes back in it.
    pub back: RolledBack,
}

/// Finds out what would be published if `server` went back to `revision`. Nothing is written.
///
/// # Errors
/// When there is nothing to go back to, or the store fails.
pub async fn plan(
    store: &Store,
    server: &McpServer,
    revision: i64,
) -> Result<PlannedRollBack, RollBackError> {
    if revision == server.policy_revision {
        return Err(RollBackError::InForce(revision));
    }
    let found = store.find_policy_revision(&server.slug, revision).await?;
    let (_, earlier) = found.ok_or(RollBackError::NotKept(revision))?;
    if earlier.is_blank() {
        return Err(RollBackError::Blank(revision));
    }
    let back = rolled_back(store, server, &earlier).await?;
    let mistakes = authz::check(&back.policy, |_| None);
    if !mistakes.is_empty() {
        return Err(RollBackError::Mistakes { revision, mistakes });
    }
    Ok(PlannedRollBack {
        of_revision: revision,
        expected_revision: server.policy_revision,
        back,
    })
}

/// Publishes what was planned, if nobody saved the policy in between and no definition that it depends on has changed.
/// Says the new revision.
///
/// # Errors
/// When one of that happened, or the store fails.
pub async fn publish(
    store: &Store,
    now: Timestamp,
    server: &McpServer,
    planned: PlannedRollBack,
) -> Result<i64, RollBackError> {
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::PolicyPublished,
        server: Some(server.slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail: format!("rolled back to revision {}", planned.of_revision),
    };
    let outcome = store
        .roll_back_policy(RollBack {
            server: server.slug.clone(),
            expected_revision: planned.expected_revision,
            of_revision: planned.of_revision,
            policy: planned.back.policy,
            returning: planned.back.returning,
            event,
        })
        .await?;
    match outcome {
        RollBackOutcome::Published(revision) => Ok(revision),
        RollBackOutcome::Stale(revision) => Err(RollBackError::Stale(revision)),
        RollBackOutcome::Changed(identity) => {
            let named = identity.escape_debug().take(60).collect();
            Err(RollBackError::Changed(named))
        }
        RollBackOutcome::Unknown => Err(RollBackError::Removed),
    }
}

/// `earlier` in the place of the policy in force, held against the definitions that are kept.
async fn rolled_back(
    store: &Store,
    server: &McpServer,
    earlier: &Policy,
) -> Result<RolledBack, StoreError> {
    let mut kept: HashMap<(ListKind, String), Vec<(DefinitionState, String)>> = HashMap::new();
    for one in store.list_definitions(&server.slug).await? {
        let of_element = kept.entry((one.kind, one.identity)).or_default();
        of_element.push((one.state, one.fingerprint));
    }
    let is_other = |kind: ListKind, identity: &str, accepted: &str| {
        let versions = kept.get(&(kind, identity.to_owned()));
        versions
            .into_iter()
            .flatten()
            .any(|(state, fingerprint)| match state {
                DefinitionState::Pending => fingerprint != accepted,
                DefinitionState::Rejected => fingerprint == accepted,
                DefinitionState::Accepted => false,
            })
    };
    Ok(authz::roll_back(earlier, &server.policy, is_other))
}
