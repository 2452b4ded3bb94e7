//! An earlier revision of a policy, published again.

use authz::{Policy, PolicyMistake, RolledBack, RuleWho};
use domain::{AuditEventKind, ClientId, McpServer, UserId};
use store::{RollBack, RollBackOutcome, Store, StoreError};

use crate::input_schemas::mistakes_of;
use crate::{Act, KeptDefinitions};

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
    /// The ids of its rules that concern nobody, each with the id of the group, the person or the machine that is gone.
    pub of_nobody: Vec<(String, String)>,
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
    let kept = KeptDefinitions::load(store, &server.slug).await?;
    let back = authz::roll_back(&earlier, &server.policy, |kind, identity, then| {
        kept.known_now(kind, identity, then)
    });
    // By the definition of each that would be the accepted one.
    let then = McpServer {
        policy: back.policy.clone(),
        ..server.clone()
    };
    let mistakes = mistakes_of(store, &then, &back.policy).await?;
    if !mistakes.is_empty() {
        return Err(RollBackError::Mistakes { revision, mistakes });
    }
    let of_nobody = of_nobody(store, server, &back.policy).await?;
    Ok(PlannedRollBack {
        of_revision: revision,
        expected_revision: server.policy_revision,
        back,
        of_nobody,
    })
}

/// Publishes what was planned, if nobody saved the policy in between and no definition that it depends on has changed.
/// Says the new revision.
///
/// # Errors
/// When one of that happened, or the store fails.
pub async fn publish(
    store: &Store,
    act: impl Into<Act>,
    server: &McpServer,
    planned: PlannedRollBack,
) -> Result<i64, RollBackError> {
    let act = act.into();
    let detail = format!("rolled back to revision {}", planned.of_revision);
    let event = act.event(AuditEventKind::PolicyPublished, Some(&server.slug), detail);
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

/// The rules of `policy` of whom nobody is left.
async fn of_nobody(
    store: &Store,
    server: &McpServer,
    policy: &Policy,
) -> Result<Vec<(String, String)>, StoreError> {
    let groups = store.list_groups().await?;
    let mut found = Vec::new();
    for rule in &policy.subject_rules {
        let (id, is_there) = match &rule.who {
            RuleWho::Group(id) => (id, groups.iter().any(|group| group.id.as_str() == id)),
            RuleWho::Person(id) if id.starts_with("usr_") => {
                let person = store.find_user(&UserId::from_text(id.as_str())).await?;
                (id, person.is_some())
            }
            RuleWho::Person(id) if id.starts_with("cli_") => {
                let machine = ClientId::from_text(id.as_str());
                let machine = store.find_client(&server.slug, &machine).await?;
                (id, machine.is_some())
            }
            RuleWho::Person(_) | RuleWho::Anyone | RuleWho::Role(_) => continue,
        };
        if !is_there {
            found.push((rule.id.clone(), id.clone()));
        }
    }
    Ok(found)
}
