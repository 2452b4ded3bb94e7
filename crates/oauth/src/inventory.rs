//! What an upstream offers, put into the policy of its MCP server: by whoever looked at it, here or at a gateway elsewhere.

use authz::{Inventory, InventoryChanges, ListKind, Policy, first_policy, merge_inventory};
use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, McpServer, ServerSlug};
use store::{PublishOutcome, Store, StoreError};
use wire::oauth::ScopeSet;

/// How often a policy that somebody else saved meanwhile is read again.
const TRIES_MAX: usize = 5;

/// What came of an inventory.
#[derive(Debug)]
pub struct PublishedInventory {
    /// The policy that is in force now.
    pub policy: Policy,
    /// What is not as it was mapped.
    pub changes: InventoryChanges,
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
/// words. Of a later one, only tools among `overrides` are mapped.
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
        let (mut policy, changes) = next_policy(slug, &server.policy, inventory, overrides);
        if server.policy.is_blank() {
            finish(&server, &mut policy);
        }
        if policy != server.policy {
            let event = AuditEvent {
                at: now,
                kind: AuditEventKind::PolicyPublished,
                server: Some(slug.clone()),
                user: None,
                client: None,
                grant: None,
                detail: format!("mapped at start: {} tools", policy.tools.len()),
            };
            match store
                .publish_policy(slug, server.policy_revision, &policy, event)
                .await?
            {
                PublishOutcome::Published(_) => {}
                PublishOutcome::Stale(_) => continue,
                PublishOutcome::Unknown => return Err(InventoryError::Gone(slug.clone())),
            }
        }
        return Ok(PublishedInventory { policy, changes });
    }
    Err(InventoryError::Contended(slug.clone()))
}

fn next_policy(
    slug: &ServerSlug,
    current: &Policy,
    inventory: &Inventory,
    overrides: &[(String, ScopeSet)],
) -> (Policy, InventoryChanges) {
    let fresh = first_policy(slug.as_str(), inventory, overrides);
    if current.is_blank() {
        return (fresh, InventoryChanges::default());
    }
    let (mut policy, mut changes) = merge_inventory(current, inventory, |_, _| None);
    for (tool, scopes) in overrides {
        if let Some(entry) = fresh.tools.get(tool) {
            policy.tools.insert(tool.clone(), entry.clone());
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
        changes
            .changed
            .retain(|one| !settled(one.kind, &one.identity));
    }
    (policy, changes)
}
