use std::collections::BTreeSet;

use base::Digest;
use wire::mcp::definition::{self, Definition};
use wire::mcp::json::{Json, Object};

use crate::fingerprint::is_same_unmarked;
use crate::{
    DEFINITION_BYTES_MAX, DefinitionChange, Entry, EntryState, ListKind, Policy, Requirement,
    Severity, definition_changes, fingerprint, is_comparable, judged_members, severity,
};

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
    /// What the server says of itself when a client connects, also when that is nothing; empty when nobody looked.
    pub instructions: Vec<Definition>,
    /// The lists that could not be read to their end: what is not among their elements may be there all the same.
    pub unread: BTreeSet<ListKind>,
}

/// The member of [`Inventory::to_object`] that names what could not be read.
const UNREAD: &str = "unread";

/// A server lists more than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server lists more than {ELEMENTS_MAX} elements in answer to {method}", method = .0.method())]
pub struct InventoryTooLarge(pub ListKind);

impl Inventory {
    /// Adds one page of a list: the `result` of its method. An element that stands twice counts once, the first time. What
    /// nobody judges of it, such as icons, is left out.
    ///
    /// # Errors
    /// When there are more than 10,000 of a kind; what was read stays.
    pub fn add_page(&mut self, kind: ListKind, result: &Object) -> Result<(), InventoryTooLarge> {
        let known = self.of_kind_mut(kind);
        let page = definition::elements(kind, result).unwrap_or_default();
        if known.len() + page.len() > ELEMENTS_MAX {
            return Err(InventoryTooLarge(kind));
        }
        let judged = page.into_iter().filter_map(|element| {
            if kind == ListKind::Instructions {
                return Some(Definition::of_instructions(element.description()));
            }
            let members = judged_members(element.json());
            let members = members.map(|(name, value)| (name, value.clone()));
            Definition::read(kind, Json::Object(members.collect()))
        });
        known.extend(judged);
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
        for kind in ListKind::DEFINED {
            inventory.add_page(kind, object)?;
        }
        let unread = object.get(UNREAD).and_then(Json::as_array);
        for name in unread.into_iter().flatten().filter_map(Json::as_str) {
            let mut kinds = ListKind::DEFINED.into_iter();
            inventory
                .unread
                .extend(kinds.find(|kind| kind.member() == name));
        }
        Ok(inventory)
    }

    /// One object with a list of each kind, under the member that a list's own answer has it in.
    pub fn to_object(&self) -> Object {
        let list = |kind: ListKind| -> Vec<Json> {
            let elements = self.of_kind(kind).iter();
            elements.map(|element| element.json().clone()).collect()
        };
        let lists = ListKind::ALL
            .into_iter()
            .map(|kind| (kind.member(), Json::from(list(kind))));
        let mut object: Object = lists.collect();
        if !self.instructions.is_empty() {
            object.insert(
                ListKind::Instructions.member(),
                list(ListKind::Instructions),
            );
        }
        if !self.unread.is_empty() {
            let unread = self.unread.iter().map(|kind| Json::from(kind.member()));
            object.insert(UNREAD, unread.collect::<Vec<_>>());
        }
        object
    }

    /// Leaves out the second half of the longest of its lists, which then counts as not read to its end; false when there is
    /// nothing left to leave out.
    pub fn shorten(&mut self) -> bool {
        // Not what a server says of itself: what is told of that is compared, and what is not told would pass.
        let longest = ListKind::ALL.into_iter().max_by_key(|kind| {
            let elements = self.of_kind(*kind).iter();
            elements
                .map(|element| element.json().to_text().len())
                .sum::<usize>()
        });
        let Some(kind) = longest.filter(|kind| !self.of_kind(*kind).is_empty()) else {
            return false;
        };
        let half = self.of_kind(kind).len() / 2;
        self.of_kind_mut(kind).truncate(half);
        self.unread.insert(kind);
        true
    }

    /// What [`Inventory::shorten`] left out of it to make `shorter`.
    pub fn left_out(&self, shorter: &Self) -> Self {
        let mut rest = Self::default();
        for kind in ListKind::ALL {
            let kept = shorter.of_kind(kind).len();
            let left_out = self.of_kind(kind).get(kept..);
            *rest.of_kind_mut(kind) = left_out.unwrap_or_default().to_vec();
        }
        rest
    }

    /// The same for the same elements, and another one for any others.
    pub fn digest(&self) -> Digest {
        let mut all = Vec::new();
        for kind in ListKind::DEFINED {
            for element in self.of_kind(kind) {
                all.extend(Digest::of(element.json().to_text()).as_bytes());
            }
            all.extend(self.of_kind(kind).len().to_be_bytes());
            all.push(u8::from(self.unread.contains(&kind)));
        }
        Digest::of(all)
    }

    /// The elements of one kind.
    pub fn of_kind(&self, kind: ListKind) -> &[Definition] {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Resources => &self.resources,
            ListKind::ResourceTemplates => &self.resource_templates,
            ListKind::Prompts => &self.prompts,
            ListKind::Instructions => &self.instructions,
        }
    }

    fn of_kind_mut(&mut self, kind: ListKind) -> &mut Vec<Definition> {
        match kind {
            ListKind::Tools => &mut self.tools,
            ListKind::Resources => &mut self.resources,
            ListKind::ResourceTemplates => &mut self.resource_templates,
            ListKind::Prompts => &mut self.prompts,
            ListKind::Instructions => &mut self.instructions,
        }
    }
}

/// What a later inventory says that differs from the policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InventoryChanges {
    /// Listed, not mapped, also not by a template: hidden and denied until somebody maps it.
    pub new: Vec<(ListKind, String)>,
    /// Mapped, no longer listed.
    pub missing: Vec<(ListKind, String)>,
    /// Listed with another definition than when it was mapped.
    pub changed: Vec<Drifted>,
    /// Of a fingerprint of an earlier release, which cannot be compared, or of what no release looked at before: accepted as it
    /// is now, once.
    pub adopted: Vec<(ListKind, String)>,
}

/// An element that is not as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// What differs; nothing when nobody knows how it was.
    pub changes: Vec<DefinitionChange>,
    /// The gravest of the differences; what is not known is grave.
    pub severity: Severity,
    /// Whether it is hidden and denied now. Otherwise the new definition is the accepted one.
    pub quarantined: bool,
}

impl InventoryChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty()
            && self.missing.is_empty()
            && self.changed.is_empty()
            && self.adopted.is_empty()
    }
}

/// Holds a policy against a later inventory; `accepted` knows how elements were defined when they were accepted. The policy
/// that comes back maps nothing new and forgets nothing. It remembers the fingerprints that it lacked, quarantines what
/// changed gravely and accepts what did not. Nothing here lifts a quarantine, also not the old definition coming back:
/// a server that shows one face to us and another to people would lift its own.
pub fn merge_inventory(
    policy: &Policy,
    inventory: &Inventory,
    accepted: impl Fn(ListKind, &str) -> Option<Definition>,
) -> (Policy, InventoryChanges) {
    let before = policy;
    let mut policy = before.clone();
    let mut changes = InventoryChanges::default();
    let quarantine_from = policy.quarantine_from;
    for kind in ListKind::DEFINED {
        let listed = inventory.of_kind(kind);
        let entries = policy.entries_mut(kind);
        for definition in listed {
            let identity = definition.identity();
            let Some(entry) = entries.get_mut(identity) else {
                if kind == ListKind::Instructions {
                    // Nobody looked at them before: a server that gives none has an entry that says so.
                    let entry = Entry::of(definition, Requirement::Public);
                    entries.insert(identity.to_owned(), entry);
                    if !definition.is_silent() {
                        changes.adopted.push((kind, identity.to_owned()));
                    }
                } else if !before.knows(kind, identity) {
                    changes.new.push((kind, identity.to_owned()));
                }
                continue;
            };
            // Who says nothing says nothing new.
            if definition.is_silent() {
                continue;
            }
            let now = fingerprint(definition);
            let then = match &entry.fingerprint {
                None => {
                    entry.fingerprint = Some(now);
                    continue;
                }
                Some(then) if *then == now => continue,
                // Nobody kept how it was, so whether it changed cannot be told. Hiding it would hide all at an upgrade.
                Some(then) if !is_comparable(then) && entry.state.is_accepted() => {
                    if !is_same_unmarked(then, &now) {
                        changes.adopted.push((kind, identity.to_owned()));
                    }
                    entry.fingerprint = Some(now);
                    continue;
                }
                Some(then) => then,
            };
            let before = accepted(kind, identity).filter(|before| {
                fingerprint(before) == *then
                    && definition.json().to_text().len() <= DEFINITION_BYTES_MAX
            });
            let differences = match &before {
                Some(before) => definition_changes(before, definition),
                None => Vec::new(),
            };
            let severity = severity(&differences).unwrap_or(Severity::High);
            if quarantine_from.reaches(severity) {
                entry.state = EntryState::Quarantined;
            } else if entry.state.is_accepted() {
                entry.fingerprint = Some(now);
            }
            changes.changed.push(Drifted {
                kind,
                identity: identity.to_owned(),
                changes: differences,
                severity,
                quarantined: !entry.state.is_accepted(),
            });
        }
        if inventory.unread.contains(&kind) || kind == ListKind::Instructions {
            continue;
        }
        changes.missing.extend(
            entries
                .keys()
                .filter(|identity| {
                    listed
                        .binary_search_by(|definition| definition.identity().cmp(identity))
                        .is_err()
                })
                .map(|identity| (kind, identity.clone())),
        );
    }
    (policy, changes)
}
