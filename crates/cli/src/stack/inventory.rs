//! What an upstream offers, put into the policy of its MCP server.

use authz::{Inventory, InventoryChanges, ListKind, Policy, Requirement};
use base::Clock;
use domain::{McpServer, ServerSlug, Upstream};
use store::Store;
use wire::oauth::ScopeSet;

use crate::failure::usage;
use crate::terminal::plain;

/// How much of the names of tools is shown to whoever named one that is not there.
const TOOLS_CHARS_MAX: usize = 2_000;

/// What was found and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Mapped {
    /// How many tools the upstream lists.
    pub tools: usize,
    /// Elements that are new since the first mapping: hidden until somebody maps them.
    pub hidden: Vec<String>,
    /// Elements whose definition is another one than when they were mapped.
    pub changed: Vec<String>,
    /// The revision of the policy that it was held against.
    pub revision: i64,
    /// Whether the same should be told again soon: not all of it was kept.
    pub again: bool,
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
    let use_good_words = |server: &McpServer, policy: &mut Policy| {
        if server.upstream == Upstream::Todo {
            use_the_words_of_todo(policy);
        }
    };
    let now = clock.now();
    let published =
        oauth::inventory::publish(store, now, slug, inventory, overrides, use_good_words).await?;
    Ok(Mapped {
        revision: published.revision,
        again: published.again,
        ..mapped(&published.policy, inventory, &published.changes)
    })
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
            plain(&names.join(", "), TOOLS_CHARS_MAX)
        ))),
    }
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
        changed: (changes.changed.iter())
            .map(|drifted| drifted.identity.clone())
            .collect(),
        scopes: scopes(policy),
        also: counted
            .into_iter()
            .filter_map(|(kind, word)| match inventory.of_kind(kind).len() {
                0 => None,
                1 => Some(format!("1 {word}")),
                many => Some(format!("{many} {word}s")),
            })
            .collect(),
        ..Mapped::default()
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
