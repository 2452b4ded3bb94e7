//! What an upstream offers, put into the policy of its MCP server: by whoever looked at it, here or at a gateway elsewhere.

mod room;

use std::collections::HashMap;
use std::time::Duration;

use authz::{
    Inventory, InventoryChanges, ListKind, Policy, fingerprint, first_policy, is_comparable,
    merge_inventory,
};
use base::Timestamp;
use domain::{
    AuditEvent, AuditEventKind, DefinitionState, McpServer, PolicyOrigin, ServerSlug,
    StoredDefinition,
};
use store::{Listing, PublishOutcome, SeenDefinitions, Store, StoreError};
use wire::mcp::definition::Definition;
use wire::oauth::ScopeSet;

use self::room::Room;

/// How often a policy that somebody else saved meanwhile is read again.
const TRIES_MAX: usize = 5;
/// How many changed elements are compared with what they were; the others count as grave.
const COMPARED_MAX: usize = 200;
/// How many definitions one look writes; the next look writes the rest.
const KEPT_AT_ONCE_MAX: usize = 1000;
/// How many definitions one look notes as listed again, or as not listed any more; the next look notes the rest.
const LISTINGS_AT_ONCE_MAX: usize = 2000;
/// How many elements of one kind wait for a person at once, of each server; others are hidden all the same, and not shown.
const WAITING_MAX: usize = 1000;
/// How often looks alone make a new revision of a policy that only takes what is listed.
const REVISION_EVERY: Duration = Duration::from_secs(60);
/// How many elements an event names.
const NAMED_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 60;

/// What came of an inventory.
#[derive(Debug)]
pub struct PublishedInventory {
    /// The policy that is in force now.
    pub policy: Policy,
    /// Its revision.
    pub revision: i64,
    /// What is not as it was mapped.
    pub changes: InventoryChanges,
    /// Whether the same inventory should be published again soon: not all of it was kept.
    pub again: bool,
}

/// Why an inventory was not put into the policy.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum InventoryError {
    #[error("the MCP server {0} is gone")]
    Gone(ServerSlug),
    #[error("the policy of {0} is being changed by somebody else all the time")]
    Contended(ServerSlug),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Maps `inventory` and publishes the policy if that changes it. The first one is mapped whole; `finish` may better its
/// words. Of a later one, only tools among `overrides` are mapped; what changed gravely is quarantined, and its definition
/// is kept for a person to look at, as those of new elements are.
///
/// # Errors
/// When the server is gone, or the store refuses.
pub async fn publish(
    store: &Store,
    now: Timestamp,
    slug: &ServerSlug,
    inventory: &Inventory,
    overrides: &[(String, ScopeSet)],
    finish: impl Fn(&McpServer, &mut Policy) + Send,
) -> Result<PublishedInventory, InventoryError> {
    for _ in 0..TRIES_MAX {
        let server = store.find_server(slug).await?;
        let server = server.ok_or_else(|| InventoryError::Gone(slug.clone()))?;
        let accepted = accepted(store, &server, inventory).await?;
        let (mut policy, changes) =
            next_policy(slug, &server.policy, inventory, overrides, &accepted);
        if server.policy.is_blank() {
            finish(&server, &mut policy);
        }
        let may_wait = may_wait(&server.policy, &policy, &changes, overrides);
        if may_wait
            && let Some(at) = store.inventory_published_at(slug).await?
            // Of a clock that went ahead and was set back, nothing has to wait for.
            && (at..at.after(REVISION_EVERY)).contains(&now)
        {
            return Ok(PublishedInventory {
                policy: server.policy,
                revision: server.policy_revision,
                changes,
                again: true,
            });
        }
        let kept = store.list_definitions(slug).await?;
        let (mut seen, refused) = seen(&kept, &policy, inventory, now);
        seen.took_at = may_wait.then_some(now);
        let again =
            seen.kept.len() >= KEPT_AT_ONCE_MAX || seen.listing.len() >= LISTINGS_AT_ONCE_MAX;
        let mut revision = server.policy_revision;
        let origin = match follows_overrides(&server.policy, &policy, overrides) {
            // What a person asked for is kept among what people saved.
            true => PolicyOrigin::Change,
            false => PolicyOrigin::Inventory,
        };
        let published = (policy != server.policy).then_some((&policy, origin));
        if published.is_some() || !seen.is_empty() {
            let event = AuditEvent {
                at: now,
                kind: AuditEventKind::PolicyPublished,
                server: Some(slug.clone()),
                user: None,
                client: None,
                grant: None,
                detail: detail(&server.policy, &policy, &changes),
            };
            match store
                .publish_inventory(slug, server.policy_revision, published, seen, event)
                .await?
            {
                PublishOutcome::Published(published) => revision = published,
                PublishOutcome::Stale(_) => continue,
                PublishOutcome::Unknown => return Err(InventoryError::Gone(slug.clone())),
            }
        }
        if refused > 0 {
            tracing::warn!(
                server = %slug,
                count = refused,
                "more waits for a decision than is kept: these are hidden all the same, and are shown when others were decided about"
            );
        }
        if !changes.adopted.is_empty() {
            tracing::warn!(
                server = %slug,
                names = named(changes.adopted.iter().map(|(_, name)| name)),
                count = changes.adopted.len(),
                "an earlier release kept nothing to compare these with: they are accepted as they are listed now; look at them"
            );
        }
        return Ok(PublishedInventory {
            policy,
            revision,
            changes,
            again,
        });
    }
    Err(InventoryError::Contended(slug.clone()))
}

/// Whether `after` differs in what the tools need of which a person said it.
fn follows_overrides(before: &Policy, after: &Policy, overrides: &[(String, ScopeSet)]) -> bool {
    let needs = |policy: &Policy, tool: &str| {
        let entry = policy.tools.get(tool);
        entry.map(|entry| entry.requirement.clone())
    };
    let mut named = overrides.iter();
    named.any(|(tool, _)| needs(before, tool) != needs(after, tool))
}

/// Whether it is soon enough to write this with a later look: it only takes something as it is listed now, which an upstream
/// may bring about as often as it likes. What closes something never waits, nor what a person asked for.
fn may_wait(
    before: &Policy,
    after: &Policy,
    changes: &InventoryChanges,
    overrides: &[(String, ScopeSet)],
) -> bool {
    let mut changed = changes.changed.iter();
    before != after
        && !before.is_blank()
        && overrides.is_empty()
        && !changed.any(|one| {
            let known = before.entries(one.kind).get(&one.identity);
            one.quarantined && known.is_some_and(|known| known.state.is_accepted())
        })
}

/// The accepted definitions of what is listed with another one now.
async fn accepted(
    store: &Store,
    server: &McpServer,
    inventory: &Inventory,
) -> Result<HashMap<(ListKind, String), Definition>, StoreError> {
    let mut found = HashMap::new();
    for kind in ListKind::DEFINED {
        for definition in inventory.of_kind(kind) {
            let identity = definition.identity();
            let entry = server.policy.entries(kind).get(identity);
            let Some(then) = entry.and_then(|entry| entry.fingerprint.as_deref()) else {
                continue;
            };
            if then == fingerprint(definition)
                || !is_comparable(then)
                || found.len() >= COMPARED_MAX
            {
                continue;
            }
            let versions = store.list_versions(&server.slug, kind, identity).await?;
            let accepted = versions.iter().find(|version| version.fingerprint == then);
            if let Some(accepted) = accepted.and_then(StoredDefinition::read) {
                found.insert((kind, identity.to_owned()), accepted);
            }
        }
    }
    Ok(found)
}

/// What of `inventory` is to be kept, beside what is; and how much of what should wait found no room.
fn seen(
    kept: &[StoredDefinition],
    policy: &Policy,
    inventory: &Inventory,
    now: Timestamp,
) -> (SeenDefinitions, usize) {
    let mut room = Room::beside(kept, policy);
    let mut refused = 0;
    let mut known: HashMap<(ListKind, &str), Vec<&StoredDefinition>> = HashMap::new();
    for one in kept {
        let key = (one.kind, one.identity.as_str());
        known.entry(key).or_default().push(one);
    }
    let mut seen = SeenDefinitions::default();
    let mut waiting = [0_usize; ListKind::DEFINED.len()];
    for one in kept {
        waiting[one.kind as usize] += usize::from(one.state == DefinitionState::Pending);
    }
    for kind in ListKind::DEFINED {
        for definition in inventory.of_kind(kind) {
            let identity = definition.identity();
            let versions = known.remove(&(kind, identity)).unwrap_or_default();
            let pending = versions
                .iter()
                .copied()
                .find(|one| one.state == DefinitionState::Pending);
            let fingerprint = fingerprint(definition);
            let mut all = versions.iter().copied();
            let this = all.find(|one| one.fingerprint == fingerprint);
            let came_back = this.is_some_and(|one| one.unlisted_at.is_some());
            note_listings(&mut seen.listing, &versions, Some(&fingerprint), now);
            let state = this.map(|one| one.state);
            let entry = policy.entries(kind).get(identity);
            let is_accepted =
                entry.is_some_and(|entry| entry.fingerprint.as_ref() == Some(&fingerprint));
            let is_quarantined = entry.is_some_and(|entry| !entry.state.is_accepted());
            let wanted = match is_accepted && !is_quarantined {
                true => Some(DefinitionState::Accepted),
                // A no is not asked for again, but for the accepted one when it was gone meanwhile.
                false
                    if state == Some(DefinitionState::Rejected) && !(is_accepted && came_back) =>
                {
                    None
                }
                // Nothing waits of who says nothing.
                false if definition.is_silent() => None,
                // A template says already what it needs.
                false if entry.is_none() && policy.knows(kind, identity) => None,
                false => Some(DefinitionState::Pending),
            };
            if pending.is_some() && wanted != Some(DefinitionState::Pending) {
                seen.settled.push((kind, identity.to_owned()));
            }
            let Some(wanted) = wanted.filter(|wanted| state != Some(*wanted)) else {
                continue;
            };
            if seen.kept.len() >= KEPT_AT_ONCE_MAX || identity.contains('\0') {
                continue;
            }
            let is_new = wanted == DefinitionState::Pending && pending.is_none();
            if is_new && waiting[kind as usize] >= WAITING_MAX {
                refused += 1;
                continue;
            }
            let mut kept = StoredDefinition::seen(definition, wanted, now);
            if !room.take(&kept, this, pending) {
                // What waits without a text could not be looked at. What is accepted so is grave when it changes.
                if wanted == DefinitionState::Pending {
                    refused += 1;
                    seen.settled
                        .extend(pending.map(|_| (kind, identity.to_owned())));
                    continue;
                }
                kept = kept.without_text();
            }
            waiting[kind as usize] += usize::from(is_new);
            if is_accepted && is_quarantined {
                // The server went back to it: it waits as the others do, and stays known as the accepted one.
                kept.decided_at = this.and_then(|one| one.decided_at).or(Some(now));
            }
            seen.kept.push(kept);
        }
    }
    // What is not listed any more cannot be approved.
    known.retain(|(kind, _), _| !inventory.unread.contains(kind));
    for versions in known.values() {
        note_listings(&mut seen.listing, versions, None, now);
    }
    let gone = known.into_values().flatten();
    let gone = gone.filter(|one| one.state == DefinitionState::Pending);
    seen.settled
        .extend(gone.map(|one| (one.kind, one.identity.clone())));
    seen.forgotten = room.into_forgotten();
    (seen, refused)
}

/// Of the versions of one element, of which the server lists `listed`.
fn note_listings(
    listings: &mut Vec<Listing>,
    versions: &[&StoredDefinition],
    listed: Option<&String>,
    now: Timestamp,
) {
    for one in versions {
        let is_listed = Some(&one.fingerprint) == listed;
        if is_listed == one.unlisted_at.is_some() && listings.len() < LISTINGS_AT_ONCE_MAX {
            listings.push(Listing {
                kind: one.kind,
                identity: one.identity.clone(),
                fingerprint: one.fingerprint.clone(),
                unlisted_at: (!is_listed).then_some(now),
            });
        }
    }
}

fn detail(before: &Policy, after: &Policy, changes: &InventoryChanges) -> String {
    if before.is_blank() {
        return format!("mapped at start: {} tools", after.tools.len());
    }
    let of = |quarantined: bool| {
        let drifted = changes.changed.iter();
        let drifted = drifted.filter(|one| one.quarantined == quarantined);
        named(drifted.map(|one| &one.identity))
    };
    let adopted = named(changes.adopted.iter().map(|(_, name)| name));
    let parts: Vec<String> = [
        ("quarantined", of(true)),
        ("changed", of(false)),
        (
            "taken as listed, since nothing was kept of how it was",
            adopted,
        ),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what}: {names}"))
    .collect();
    match parts.is_empty() {
        true => format!("looked at again: {} tools", after.tools.len()),
        false => parts.join("; "),
    }
}

/// The first of `names`, for an event or the log.
fn named<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names
        .take(NAMED_MAX)
        .map(|name| name.escape_debug().take(NAME_CHARS_MAX).collect())
        .collect();
    names.join(", ")
}

fn next_policy(
    slug: &ServerSlug,
    current: &Policy,
    inventory: &Inventory,
    overrides: &[(String, ScopeSet)],
    accepted: &HashMap<(ListKind, String), Definition>,
) -> (Policy, InventoryChanges) {
    let overrides: Vec<(String, ScopeSet)> = overrides
        .iter()
        .map(|(tool, scopes)| {
            let scopes = scopes.iter().map(|scope| current.present_name(scope));
            (tool.clone(), scopes.collect())
        })
        .collect();
    let fresh = first_policy(slug.as_str(), inventory, &overrides);
    if current.is_blank() {
        return (fresh, InventoryChanges::default());
    }
    let (mut policy, mut changes) = merge_inventory(current, inventory, |kind, identity| {
        accepted.get(&(kind, identity.to_owned())).cloned()
    });
    for (tool, scopes) in &overrides {
        // What it needs and nothing more: a restart approves nothing and forgets no condition.
        match (policy.tools.get_mut(tool), fresh.tools.get(tool)) {
            (Some(known), Some(wanted)) => known.requirement = wanted.requirement.clone(),
            (None, Some(wanted)) => {
                policy.tools.insert(tool.clone(), wanted.clone());
            }
            (_, None) => {}
        }
        for scope in scopes
            .iter()
            .filter(|scope| current.declaration(scope).is_none())
        {
            if policy.declaration(scope).is_none()
                && let Some(declaration) = fresh.declaration(scope)
            {
                policy.scopes.push(declaration.clone());
                policy.default_scopes.insert(scope.clone());
            }
        }
        let settled = |kind: ListKind, name: &String| kind == ListKind::Tools && name == tool;
        changes.new.retain(|(kind, name)| !settled(*kind, name));
    }
    (policy, changes)
}
