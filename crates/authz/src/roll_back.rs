use wire::oauth::{Scope, ScopeSet};

use crate::fingerprint::is_same_unmarked;
use crate::{Entry, EntryState, ListKind, Policy, Requirement, is_comparable};

/// An earlier policy as it may be in force again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The policy.
    pub policy: Policy,
    /// What comes back as accepted though the policy in force does not have it.
    pub returning: Vec<Returning>,
    /// What comes back in quarantine, or stays there though the earlier policy has no entry of it.
    pub quarantined: Vec<(ListKind, String)>,
    /// What keeps the entry that it has now, which says something else: it is accepted in another definition than then.
    pub kept: Vec<(ListKind, String)>,
}

/// An element that comes back as accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returning {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// Of the definition that was accepted then; nothing when nobody can compare it.
    pub fingerprint: Option<String>,
}

/// What is known now of an element that an earlier policy calls accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownNow {
    /// Nothing speaks against it; this is the fingerprint of its accepted definition.
    AsAccepted(Option<String>),
    /// It is defined in another way, or somebody said no to it.
    Other,
}

/// The policy `earlier` in the place of `now`. Which definition of an element is the accepted one and whether it waits is
/// no part of what comes back: that was decided where somebody looked at it, and a rollback looks at nothing.
///
/// So an element keeps the state that it has, and what it needs comes back only while it is accepted in the very definition
/// of then: what people said of a tool that reads is not said of one that deletes. One that the policy does not have any more
/// comes back in quarantine where `known` says so of it and the fingerprint that was accepted then. One in quarantine that the
/// earlier policy knows by a template alone keeps its entry.
pub fn roll_back(
    earlier: &Policy,
    now: &Policy,
    known: impl Fn(ListKind, &str, Option<&str>) -> KnownNow,
) -> RolledBack {
    let mut back = RolledBack {
        policy: earlier.clone(),
        returning: Vec::new(),
        quarantined: Vec::new(),
        kept: Vec::new(),
    };
    for kind in ListKind::ALL {
        for (identity, then) in earlier.entries(kind) {
            let entry = match now.entries(kind).get(identity) {
                Some(present) => back.of_known(kind, identity, then, present, now),
                None => back.of_returning(kind, identity, then, &known),
            };
            back.policy
                .entries_mut(kind)
                .insert(identity.clone(), entry);
        }
        // Without its entry, a template of then would say what it needs.
        for (identity, present) in now.entries(kind) {
            if !present.state.is_accepted()
                && !earlier.entries(kind).contains_key(identity)
                && earlier.knows(kind, identity)
            {
                let mut entry = present.clone();
                back.name_as_then(&mut entry, now);
                back.policy
                    .entries_mut(kind)
                    .insert(identity.clone(), entry);
                back.quarantined.push((kind, identity.clone()));
            }
        }
    }
    // All that is said of them is which definition is the accepted one, and whether it waits.
    back.policy.instructions.clone_from(&now.instructions);
    back
}

impl RolledBack {
    fn of_known(
        &mut self,
        kind: ListKind,
        identity: &str,
        then: &Entry,
        present: &Entry,
        now: &Policy,
    ) -> Entry {
        let is_same = match (&then.fingerprint, &present.fingerprint) {
            (Some(then), Some(present)) => then == present || is_same_unmarked(then, present),
            (then, present) => then == present,
        };
        if is_same {
            return Entry {
                state: present.state,
                fingerprint: present.fingerprint.clone(),
                ..then.clone()
            };
        }
        let said = |entry: &Entry| {
            let Entry {
                requirement,
                pinned,
                conditions,
                ..
            } = entry.clone();
            (requirement, pinned, conditions)
        };
        if said(then) != said(present) {
            self.kept.push((kind, identity.to_owned()));
        }
        let mut entry = present.clone();
        // What was declared of either definition alone is recorded of neither.
        let declared = |argument: &String| then.recorded_arguments.contains(argument);
        entry.recorded_arguments.retain(declared);
        if !self.name_as_then(&mut entry, now) {
            entry.state = EntryState::Quarantined;
            self.quarantined.push((kind, identity.to_owned()));
        }
        entry
    }

    /// Calls the scopes that `entry` needs as they were called then; says whether that was possible of all of them.
    fn name_as_then(&mut self, entry: &mut Entry, now: &Policy) -> bool {
        let Requirement::AnyOf(sets) = &mut entry.requirement else {
            return true;
        };
        for set in sets {
            let named = set.iter().map(|scope| self.named_then(scope, now));
            match named.collect::<Option<ScopeSet>>() {
                Some(named) => *set = named,
                None => return false,
            }
        }
        true
    }

    /// How a scope of `now` is called in the policy that comes back, where it is declared again when it is not; nothing when
    /// another scope has its name there.
    fn named_then(&mut self, scope: &Scope, now: &Policy) -> Option<Scope> {
        let then = &mut self.policy.scopes;
        let declared = now.declaration(scope);
        let same = then
            .iter()
            .find(|one| declared.is_some_and(|declared| declared.id == one.id));
        if let Some(same) = same {
            return Some(same.name.clone());
        }
        if then.iter().any(|one| one.name == *scope) {
            return None;
        }
        if let Some(declared) = declared {
            let mut declared = declared.clone();
            // Those may be other ones then.
            declared.implies = ScopeSet::new();
            then.push(declared);
        }
        Some(scope.clone())
    }

    fn of_returning(
        &mut self,
        kind: ListKind,
        identity: &str,
        then: &Entry,
        known: impl Fn(ListKind, &str, Option<&str>) -> KnownNow,
    ) -> Entry {
        let mut entry = then.clone();
        // Of one that an earlier release made nobody can say what it is of.
        let comparable = then.fingerprint.as_deref();
        let comparable = comparable.filter(|one| is_comparable(one));
        match known(kind, identity, comparable) {
            KnownNow::AsAccepted(fingerprint) => {
                entry.fingerprint = fingerprint.or(entry.fingerprint);
            }
            KnownNow::Other => entry.state = EntryState::Quarantined,
        }
        match entry.state {
            EntryState::Quarantined => self.quarantined.push((kind, identity.to_owned())),
            EntryState::Accepted => self.returning.push(Returning {
                kind,
                identity: identity.to_owned(),
                fingerprint: comparable.map(str::to_owned),
            }),
        }
        entry
    }
}

#[cfg(test)]
mod tests;
