//! What a person decides about the elements of an MCP server: yes or no to a definition that waits, or a requirement of
//! their own.

use authz::{
    Entry, EntryState, ListKind, Policy, Requirement, ScopeDeclaration, gravest_scope,
    suggested_scope,
};
use domain::{
    AuditEvent, AuditEventKind, DefinitionState, McpServer, ServerSlug, StoredDefinition,
};
use store::{DecideOutcome, PublishOutcome, Store, StoreError};
use wire::mcp::Json;
use wire::mcp::definition::Definition;
use wire::oauth::ScopeSet;

use crate::Act;

/// How often a policy that somebody else saved meanwhile is read again.
const TRIES_MAX: usize = 5;

/// One element of one definition: what a person looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// Of the definition.
    pub fingerprint: String,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Callers may use it, as its entry says; a new element gets the suggested scope.
    Approve,
    /// It stays hidden, and is not shown as waiting any more.
    Reject,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum DriftError {
    #[error("the MCP server {0} is gone")]
    Gone(ServerSlug),
    #[error(
        "nothing of {0} waits for a decision: what was listed last is accepted, was rejected, or is gone"
    )]
    NothingWaits(String),
    #[error("{0} was changed again since it was looked at; look at it once more")]
    Changed(String),
    #[error("{0} are for whoever may connect; they are approved or rejected, and need nothing")]
    NeedsNothing(String),
    #[error(
        "several definitions of {0} were rejected, and no look has said yet which one is listed; try again after the next look, or approve one by its fingerprint"
    )]
    Unclear(String),
    #[error("a set without a scope would let everybody in; say public")]
    EmptySet,
    #[error("{scope} is no scope of this server; it has: {known}")]
    UnknownScope { scope: String, known: String },
    #[error("the policy of {0} is being changed by somebody else all the time")]
    Contended(ServerSlug),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides about `looked_at`, all of it or nothing, and publishes the policy that follows; says its revision.
///
/// # Errors
/// When one of them is not what waits, or the store refuses.
pub async fn decide(
    store: &Store,
    act: impl Into<Act>,
    slug: &ServerSlug,
    verdict: Verdict,
    looked_at: &[LookedAt],
) -> Result<i64, DriftError> {
    let act = act.into();
    for _ in 0..TRIES_MAX {
        let server = find(store, slug).await?;
        let mut policy = server.policy.clone();
        let mut decided = Vec::new();
        for one in looked_at {
            let waiting = waiting(store, slug, verdict, one).await?;
            decided.push(match verdict {
                Verdict::Reject => waiting.decided(DefinitionState::Rejected, act.at),
                Verdict::Approve => {
                    accept(slug, &mut policy, &waiting, store).await?;
                    waiting.decided(DefinitionState::Accepted, act.at)
                }
            });
        }
        let names: Vec<String> = looked_at
            .iter()
            .take(10)
            .map(|one| one.identity.escape_debug().take(60).collect())
            .collect();
        let word = match verdict {
            Verdict::Approve => "approved",
            Verdict::Reject => "rejected",
        };
        let event = event(&act, slug, format!("{word}: {}", names.join(", ")));
        match store
            .decide_definitions(slug, server.policy_revision, &policy, decided, event)
            .await?
        {
            DecideOutcome::Published(revision) => return Ok(revision),
            DecideOutcome::Stale(_) => {}
            DecideOutcome::Changed(identity) => return Err(DriftError::Changed(identity)),
            DecideOutcome::Unknown => return Err(DriftError::Gone(slug.clone())),
        }
    }
    Err(DriftError::Contended(slug.clone()))
}

/// Says what an element needs, and pins it: no suggestion touches it any more. A new one is accepted as it was looked at
/// with that; one in quarantine stays there.
///
/// # Errors
/// When there is no such element, a scope is not declared, or the store refuses.
pub async fn map(
    store: &Store,
    act: impl Into<Act>,
    slug: &ServerSlug,
    (kind, identity): (ListKind, &str),
    requirement: &Requirement,
) -> Result<i64, DriftError> {
    if kind == ListKind::Instructions {
        return Err(DriftError::NeedsNothing(identity.to_owned()));
    }
    let act = act.into();
    // The definition that was listed when it began: another one is for whoever looks again.
    let mut meant: Option<String> = None;
    for _ in 0..TRIES_MAX {
        let server = find(store, slug).await?;
        let mut policy = server.policy.clone();
        declared(&policy, requirement)?;
        let mut decided = Vec::new();
        if !policy.entries(kind).contains_key(identity) {
            let versions = store.list_versions(slug, kind, identity).await?;
            let listed = listed(&versions, identity)?;
            let first = meant.get_or_insert_with(|| listed.fingerprint.clone());
            if *first != listed.fingerprint {
                return Err(DriftError::Changed(identity.to_owned()));
            }
            let entry = entry_of(listed, requirement.clone());
            policy.entries_mut(kind).insert(identity.to_owned(), entry);
            decided.push(listed.clone().decided(DefinitionState::Accepted, act.at));
        }
        if let Some(entry) = policy.entries_mut(kind).get_mut(identity) {
            entry.requirement = requirement.clone();
            entry.pinned = true;
        }
        let named: String = identity.escape_debug().take(60).collect();
        let event = event(&act, slug, format!("mapped by hand: {named}"));
        match store
            .decide_definitions(slug, server.policy_revision, &policy, decided, event)
            .await?
        {
            DecideOutcome::Published(revision) => return Ok(revision),
            DecideOutcome::Stale(_) | DecideOutcome::Changed(_) => {}
            DecideOutcome::Unknown => return Err(DriftError::Gone(slug.clone())),
        }
    }
    Err(DriftError::Contended(slug.clone()))
}

/// Changes the policy by `change` and publishes it, if that changes anything.
///
/// # Errors
/// When the server is gone, or the store refuses.
pub async fn edit(
    store: &Store,
    act: impl Into<Act>,
    slug: &ServerSlug,
    detail: &str,
    change: impl Fn(&mut Policy) + Send,
) -> Result<i64, DriftError> {
    let act = act.into();
    for _ in 0..TRIES_MAX {
        let server = find(store, slug).await?;
        let mut policy = server.policy.clone();
        change(&mut policy);
        if policy == server.policy {
            return Ok(server.policy_revision);
        }
        let event = event(&act, slug, detail.to_owned());
        match store
            .publish_policy(slug, server.policy_revision, &policy, event)
            .await?
        {
            PublishOutcome::Published(revision) => return Ok(revision),
            PublishOutcome::Stale(_) => {}
            PublishOutcome::Unknown => return Err(DriftError::Gone(slug.clone())),
        }
    }
    Err(DriftError::Contended(slug.clone()))
}

/// The definition of an element without an entry that its server lists: what waits, or what was rejected, since a no may be taken
/// back by whoever maps it.
fn listed<'v>(
    versions: &'v [StoredDefinition],
    identity: &str,
) -> Result<&'v StoredDefinition, DriftError> {
    let mut waiting = versions.iter();
    if let Some(waiting) = waiting.find(|one| one.state == DefinitionState::Pending) {
        return Ok(waiting);
    }
    let mut rejected = versions.iter().filter(|one| is_rejected_and_listed(one));
    match (rejected.next(), rejected.next()) {
        (Some(listed), None) => Ok(listed),
        (None, _) => Err(DriftError::NothingWaits(identity.to_owned())),
        // An earlier release did not note which one is listed: the next look does.
        (Some(_), Some(_)) => Err(DriftError::Unclear(identity.to_owned())),
    }
}

fn is_rejected_and_listed(one: &StoredDefinition) -> bool {
    one.state == DefinitionState::Rejected && one.unlisted_at.is_none()
}

async fn find(store: &Store, slug: &ServerSlug) -> Result<McpServer, DriftError> {
    let server = store.find_server(slug).await?;
    server.ok_or_else(|| DriftError::Gone(slug.clone()))
}

/// What waits, when it is what was looked at. The accepted one waits too, when a quarantined element was listed so last. A no
/// may be taken back while the definition is listed.
async fn waiting(
    store: &Store,
    slug: &ServerSlug,
    verdict: Verdict,
    looked_at: &LookedAt,
) -> Result<StoredDefinition, DriftError> {
    let (kind, identity) = (looked_at.kind, looked_at.identity.as_str());
    let versions = store.list_versions(slug, kind, identity).await?;
    let is_pending = |one: &&StoredDefinition| one.state == DefinitionState::Pending;
    let is_rejected =
        |one: &&StoredDefinition| verdict == Verdict::Approve && is_rejected_and_listed(one);
    let mut candidates: Vec<&StoredDefinition> = versions.iter().filter(is_pending).collect();
    if candidates.is_empty() {
        // Several, where an earlier release did not note which one is listed.
        candidates = versions.iter().filter(is_rejected).collect();
    }
    let mut all = candidates.iter();
    match all.find(|one| one.fingerprint == looked_at.fingerprint) {
        Some(found) => Ok((*found).clone()),
        None if candidates.is_empty() => Err(DriftError::NothingWaits(identity.to_owned())),
        None => Err(DriftError::Changed(identity.to_owned())),
    }
}

/// Makes `waiting` the accepted definition. What it needs stays as it was, but when that was the suggestion and the
/// suggestion is another one now, it follows; pinned, it never does.
async fn accept(
    slug: &ServerSlug,
    policy: &mut Policy,
    waiting: &StoredDefinition,
    store: &Store,
) -> Result<(), DriftError> {
    if waiting.kind == ListKind::Instructions {
        let entry = entry_of(waiting, Requirement::Public);
        policy.instructions.insert(waiting.identity.clone(), entry);
        return Ok(());
    }
    let suggested = match waiting.read() {
        Some(definition) => suggested_scope(slug.as_str(), policy, &definition),
        None => gravest_scope(slug.as_str(), policy),
    };
    let entries = policy.entries(waiting.kind);
    let entry = match entries.get(&waiting.identity) {
        Some(old) => {
            let versions = store
                .list_versions(slug, waiting.kind, &waiting.identity)
                .await?;
            let before = versions
                .iter()
                .find(|one| Some(&one.fingerprint) == old.fingerprint.as_ref())
                .and_then(StoredDefinition::read)
                .map(|before| suggested_scope(slug.as_str(), policy, &before));
            let follows = !old.pinned
                && before.is_some_and(|before| {
                    old.requirement == needs(&before) && before.name != suggested.name
                });
            let requirement = match follows {
                true => needs(&suggested),
                false => old.requirement.clone(),
            };
            let shown = entry_of(waiting, requirement);
            // What a person said of it, such as conditions on its arguments, outlives another definition.
            Entry {
                requirement: shown.requirement,
                title: shown.title,
                description: shown.description,
                fingerprint: shown.fingerprint,
                state: EntryState::Accepted,
                ..old.clone()
            }
        }
        None => entry_of(waiting, needs(&suggested)),
    };
    if entry.requirement == needs(&suggested) && policy.declaration(&suggested.name).is_none() {
        policy.default_scopes.insert(suggested.name.clone());
        policy.scopes.push(suggested);
    }
    policy
        .entries_mut(waiting.kind)
        .insert(waiting.identity.clone(), entry);
    Ok(())
}

fn needs(scope: &ScopeDeclaration) -> Requirement {
    Requirement::AnyOf(vec![[scope.name.clone()].into_iter().collect()])
}

fn entry_of(stored: &StoredDefinition, requirement: Requirement) -> Entry {
    Entry {
        fingerprint: Some(stored.fingerprint.clone()),
        ..Entry::of(&definition_of(stored), requirement)
    }
}

/// One that was too large to keep is known by its name alone.
fn definition_of(stored: &StoredDefinition) -> Definition {
    let bare = || {
        let name = Json::from(stored.identity.as_str());
        Definition::read(
            stored.kind,
            Json::object([(stored.kind.identity_member(), name)]),
        )
    };
    stored
        .read()
        .or_else(bare)
        .expect("what was listed had an identity")
}

fn declared(policy: &Policy, requirement: &Requirement) -> Result<(), DriftError> {
    let Requirement::AnyOf(sets) = requirement else {
        return Ok(());
    };
    if requirement.has_empty_set() {
        return Err(DriftError::EmptySet);
    }
    let unknown = sets
        .iter()
        .flat_map(ScopeSet::iter)
        .find(|scope| policy.declaration(scope).is_none());
    match unknown {
        None => Ok(()),
        Some(scope) => Err(DriftError::UnknownScope {
            scope: scope.to_string(),
            known: policy.declared_scopes().to_string(),
        }),
    }
}

fn event(act: &Act, slug: &ServerSlug, detail: String) -> AuditEvent {
    act.event(AuditEventKind::PolicyPublished, Some(slug), detail)
}

#[cfg(test)]
mod tests;
