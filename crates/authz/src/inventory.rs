use wire::mcp::definition::Definition;
use wire::mcp::{Object, definition};
use wire::oauth::ScopeSet;

use crate::{ListKind, Policy};

/// The most elements that are read of one kind.
pub const ELEMENTS_MAX: usize = 10_000;

/// All that a server offers, as its lists said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Of `tools/list`.
    pub tools: Vec<Definition>,
    /// Of `resources/list`.
    pub resources: Vec<Definition>,
    /// Of `resources/templates/list`.
    pub resource_templates: Vec<Definition>,
    /// Of `prompts/list`.
    pub prompts: Vec<Definition>,
}

/// A server lists more than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server lists more than {ELEMENTS_MAX} elements in {method}", method = .0.method())]
pub struct InventoryTooLarge(pub ListKind);

impl Inventory {
    /// Adds one page of a list.
    ///
    /// # Errors
    /// When it becomes too large.
    pub fn add_page(&mut self, kind: ListKind, result: &Object) -> Result<(), InventoryTooLarge> {
        let _ = definition::elements(kind, result);
        todo!()
    }

    /// The elements of one kind.
    pub fn of_kind(&self, kind: ListKind) -> &[Definition] {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Resources => &self.resources,
            ListKind::ResourceTemplates => &self.resource_templates,
            ListKind::Prompts => &self.prompts,
        }
    }
}

/// The policy of a server seen for the first time.
pub fn first_policy(
    _slug: &str,
    _inventory: &Inventory,
    _overrides: &[(String, ScopeSet)],
) -> Policy {
    todo!()
}

/// What a later inventory has that the policy has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InventoryChanges {
    /// Listed, not mapped: hidden and denied.
    pub new: Vec<(ListKind, String)>,
    /// Mapped, no longer listed.
    pub missing: Vec<(ListKind, String)>,
    /// Listed with another definition than when it was mapped.
    pub changed: Vec<(ListKind, String)>,
}

/// Holds a policy against a later inventory.
pub fn merge_inventory(_policy: &Policy, _inventory: &Inventory) -> (Policy, InventoryChanges) {
    todo!()
}
