//! What an upstream offers, put into the policy of its MCP server.

use anyhow::{Context as _, bail};
use authz::{
    Inventory, InventoryChanges, ListKind, Policy, Requirement, first_policy, merge_inventory,
};
use base::Clock;
use domain::{AuditEvent, AuditEventKind, ServerSlug, Upstream};
use store::{PublishOutcome, Store};
use wire::oauth::ScopeSet;

use crate::failure::usage;

/// How often a policy that somebody else saved meanwhile is read again.
const TRIES_MAX: usize = 5;

/// What was found and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    /// How many tools the upstream lists.
    pub tools: usize,
    /// Elements that are new since the first mapping: hidden until somebody maps them.
    pub hidden: Vec<String>,
    /// Elements whose definition is another one than when they were mapped.
    pub changed: Vec<String>,
    /// Each scope with the tools behind it.
    pub scopes: Vec<(String, Vec<String>)>,
    /// Other kinds of elements, such as `3 prompts`.
    pub also: Vec<String>,
}

/// Maps `inventory` and publishes the policy if that changes it.
///
/// # Errors
/// When an override names a tool that the upstream does not have, or the store refuses.
pub async fn publish(
    store: &Store,
    clock: &dyn Clock,
    slug: &ServerSlug,
    inventory: &Inventory,
    overrides: &[(String, ScopeSet)],
) -> anyhow::Result<Mapped> {
    check_overrides(inventory, overrides)?;
    for _ in 0..TRIES_MAX {
        let server = store
            .find_server(slug)
            .await?
            .with_context(|| format!("the MCP server {slug} is gone"))?;
        let (mut policy, changes) = next_policy(slug, &server.policy, inventory, overrides);
        if server.policy.is_blank() && server.upstream == Upstream::Todo {
            use_the_words_of_todo(&mut policy);
        }
        if policy != server.policy {
            let event = AuditEvent {
                at: clock.now(),
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
                PublishOutcome::Unknown => bail!("the MCP server {slug} is gone"),
            }
        }
        return Ok(mapped(&policy, inventory, &changes));
    }
    bail!("the policy of {slug} is being changed by somebody else all the time")
}

/// What is so without asking the upstream.
pub fn known(policy: &Policy) -> Mapped {
    Mapped {
        tools: policy.tools.len(),
        scopes: scopes(policy),
        ..Mapped::default()
    }
}

/// Refuses a name that would silently guard nothing.
///
/// # Errors
/// Names the tool, and those there are.
pub fn check_overrides(
    inventory: &Inventory,
    overrides: &[(String, ScopeSet)],
) -> anyhow::Result<()> {
    let names: Vec<&str> = inventory.tools.iter().map(|tool| tool.identity()).collect();
    match overrides
        .iter()
        .find(|(tool, _)| !names.contains(&tool.as_str()))
    {
        None => Ok(()),
        Some((tool, _)) => Err(usage(format!(
            "--tool-scope {tool}=…: the MCP server has no such tool; it has: {}",
            names.join(", ")
        ))),
    }
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
    let (mut policy, mut changes) = merge_inventory(current, inventory);
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
        let settled = |(kind, name): &(ListKind, String)| *kind == ListKind::Tools && name == tool;
        changes.new.retain(|change| !settled(change));
        changes.changed.retain(|change| !settled(change));
    }
    (policy, changes)
}

/// The general rule can only say "Read from Todo"; the sample server knows what it is about.
fn use_the_words_of_todo(policy: &mut Policy) {
    for (name, title) in todo::scope_titles() {
        let declared = policy.scopes.iter_mut();
        for scope in declared.filter(|scope| scope.name.as_str() == name) {
            scope.title = title.to_owned();
        }
    }
}

fn mapped(policy: &Policy, inventory: &Inventory, changes: &InventoryChanges) -> Mapped {
    let names = |list: &[(ListKind, String)]| list.iter().map(|(_, name)| name.clone()).collect();
    let counted = [
        (ListKind::Resources, "resource"),
        (ListKind::ResourceTemplates, "resource template"),
        (ListKind::Prompts, "prompt"),
    ];
    Mapped {
        tools: inventory.tools.len(),
        hidden: names(&changes.new),
        changed: names(&changes.changed),
        scopes: scopes(policy),
        also: counted
            .into_iter()
            .filter_map(|(kind, word)| match inventory.of_kind(kind).len() {
                0 => None,
                1 => Some(format!("1 {word}")),
                many => Some(format!("{many} {word}s")),
            })
            .collect(),
    }
}

fn scopes(policy: &Policy) -> Vec<(String, Vec<String>)> {
    policy
        .scopes
        .iter()
        .map(|scope| {
            let needs = |requirement: &Requirement| match requirement {
                Requirement::AnyOf(sets) => sets.iter().any(|set| set.contains(&scope.name)),
                Requirement::Public | Requirement::Denied => false,
            };
            let tools = policy
                .tools
                .iter()
                .filter(|(_, entry)| needs(&entry.requirement))
                .map(|(name, _)| name.clone())
                .collect();
            (scope.name.to_string(), tools)
        })
        .collect()
}
