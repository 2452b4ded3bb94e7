use wire::mcp::definition::{self, Definition};
use wire::mcp::json::{Json, Object};

use crate::{ListKind, Policy, fingerprint};

/// The most elements that are read of one kind.
const ELEMENTS_MAX: usize = 10_000;

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
#[error("the server lists more than {ELEMENTS_MAX} elements in answer to {method}", method = .0.method())]
pub struct InventoryTooLarge(pub ListKind);

impl Inventory {
    /// Adds one page of a list: the `result` of its method. An element that stands twice counts once, the first time.
    ///
    /// # Errors
    /// When there are more than 10,000 of a kind; what was read stays.
    pub fn add_page(&mut self, kind: ListKind, result: &Object) -> Result<(), InventoryTooLarge> {
        let known = self.of_kind_mut(kind);
        let page = definition::elements(kind, result).unwrap_or_default();
        if known.len() + page.len() > ELEMENTS_MAX {
            return Err(InventoryTooLarge(kind));
        }
        known.extend(page);
        // A stable sort keeps the first of two at the front.
        known.sort_by(|one, two| one.identity().cmp(two.identity()));
        known.dedup_by(|later, earlier| later.identity() == earlier.identity());
        Ok(())
    }

    /// Reads what [`Inventory::to_object`] wrote.
    ///
    /// # Errors
    /// When there are more than 10,000 of a kind.
    pub fn from_object(object: &Object) -> Result<Self, InventoryTooLarge> {
        let mut inventory = Self::default();
        for kind in ListKind::ALL {
            inventory.add_page(kind, object)?;
        }
        Ok(inventory)
    }

    /// One object with a list of each kind, under the member that a list's own answer has it in.
    pub fn to_object(&self) -> Object {
        let list = |kind: ListKind| -> Vec<Json> {
            let elements = self.of_kind(kind).iter();
            elements.map(|element| element.json().clone()).collect()
        };
        ListKind::ALL
            .into_iter()
            .map(|kind| (kind.member(), Json::from(list(kind))))
            .collect()
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

    fn of_kind_mut(&mut self, kind: ListKind) -> &mut Vec<Definition> {
        match kind {
            ListKind::Tools => &mut self.tools,
            ListKind::Resources => &mut self.resources,
            ListKind::ResourceTemplates => &mut self.resource_templates,
            ListKind::Prompts => &mut self.prompts,
        }
    }
}

/// What a later inventory says that differs from the policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InventoryChanges {
    /// Listed, not mapped: hidden and denied until somebody maps it.
    pub new: Vec<(ListKind, String)>,
    /// Mapped, no longer listed.
    pub missing: Vec<(ListKind, String)>,
    /// Listed with another definition than when it was mapped.
    pub changed: Vec<(ListKind, String)>,
}

impl InventoryChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.missing.is_empty() && self.changed.is_empty()
    }
}

/// Holds a policy against a later inventory. The policy that comes back maps nothing new and forgets nothing; it only
/// remembers the fingerprints that it lacked.
pub fn merge_inventory(policy: &Policy, inventory: &Inventory) -> (Policy, InventoryChanges) {
    let mut policy = policy.clone();
    let mut changes = InventoryChanges::default();
    for kind in ListKind::ALL {
        let listed = inventory.of_kind(kind);
        let entries = policy.entries_mut(kind);
        for definition in listed {
            let named = || (kind, definition.identity().to_owned());
            let Some(entry) = entries.get_mut(definition.identity()) else {
                changes.new.push(named());
                continue;
            };
            let now = fingerprint(definition);
            match &entry.fingerprint {
                None => entry.fingerprint = Some(now),
                Some(then) if *then != now => changes.changed.push(named()),
                Some(_) => {}
            }
        }
        let is_listed = |identity: &str| {
            listed
                .iter()
                .any(|definition| definition.identity() == identity)
        };
        changes.missing.extend(
            entries
                .keys()
                .filter(|identity| !is_listed(identity))
                .map(|identity| (kind, identity.clone())),
        );
    }
    (policy, changes)
}
