use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::oauth::ScopeSet;

use crate::{
    Condition, Entry, EntryState, LimitWhat, ListKind, ListStepUp, Policy, QuarantineFrom,
    RateLimit,
};
use crate::{Requirement, Role, RoleScopes, RuleWhat, SubjectRule};

/// What the release before cannot read of a policy: it refuses a policy whole for one member that it does not know.
///
/// A policy is kept and sent in two parts, [`Policy::split`]: one that every release reads, in which nobody may use what that
/// release could not judge, and this one beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyRest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_role: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subject_rules: Vec<SubjectRule>,
    #[serde(skip_serializing_if = "QuarantineFrom::is_default")]
    quarantine_from: QuarantineFrom,
    /// They close nothing: a limit is no permission, and a node that knows none does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rate_limits: Vec<RateLimit>,
    /// It opens nothing: a node that does not know it lists as by default.
    #[serde(skip_serializing_if = "ListStepUp::is_default")]
    list_step_up: ListStepUp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tools: BTreeMap<String, EntryRest>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resources: BTreeMap<String, EntryRest>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resource_templates: BTreeMap<String, EntryRest>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    prompts: BTreeMap<String, EntryRest>,
    /// Whole: a release that does not know them passes what a server says, as it did before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    instructions: BTreeMap<String, Entry>,
}

/// The same of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct EntryRest {
    /// What callers need, where the other part says that nobody may.
    #[serde(skip_serializing_if = "Option::is_none")]
    requirement: Option<Requirement>,
    /// Of what was accepted, while something else waits: the release before may write the one of what it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recorded_arguments: Vec<String>,
    #[serde(skip_serializing_if = "EntryState::is_accepted")]
    state: EntryState,
}

impl Policy {
    /// What every release reads of it, and the rest. While there are roles or rules, or for an entry that is quarantined or
    /// has conditions, the first part says that nobody may: a release that cannot judge them must not open it.
    pub fn split(&self) -> (Self, Option<PolicyRest>) {
        // Each member by its name: what is added later does not compile before somebody says in which part it is, and
        // whether a release that does not know it may open anything.
        let Self {
            mode,
            scopes,
            default_scopes,
            tools,
            resources,
            resource_templates,
            prompts,
            instructions,
            roles,
            default_role,
            subject_rules,
            quarantine_from,
            rate_limits,
            list_step_up,
        } = self.clone();
        let is_closed = !roles.is_empty() || !subject_rules.is_empty();
        let mut rest = PolicyRest {
            roles,
            default_role,
            subject_rules,
            quarantine_from,
            rate_limits,
            instructions,
            list_step_up,
            ..PolicyRest::default()
        };
        let mut plain = Self {
            mode,
            scopes,
            default_scopes,
            tools,
            resources,
            resource_templates,
            prompts,
            ..Self::default()
        };
        for (kind, entries) in rest.lists_mut() {
            for (identity, entry) in plain.entries_mut(kind) {
                let kept;
                (*entry, kept) = std::mem::take(entry).split(is_closed);
                if kept != EntryRest::default() {
                    entries.insert(identity.clone(), kept);
                }
            }
        }
        let is_whole = rest == PolicyRest::default();
        (plain, (!is_whole).then_some(rest))
    }

    /// The policy of which `self` is what every release reads. The release before may have changed that part meanwhile: what
    /// it says of needs counts, and nothing that it wrote lifts a quarantine or forgets a condition, a role or a rule.
    #[must_use]
    pub fn join(mut self, rest: Option<PolicyRest>) -> Self {
        let Some(mut rest) = rest else {
            return self;
        };
        for (kind, entries) in rest.lists_mut() {
            for (identity, kept) in std::mem::take(entries) {
                if let Some(entry) = self.entries_mut(kind).get_mut(&identity) {
                    entry.join(kept);
                }
            }
        }
        self.roles = rest.roles;
        self.default_role = rest.default_role;
        self.subject_rules = rest.subject_rules;
        self.quarantine_from = rest.quarantine_from;
        self.rate_limits = rest.rate_limits;
        self.instructions = rest.instructions;
        self.list_step_up = rest.list_step_up;
        self.forget_undeclared();
        self
    }

    /// Of a scope or a tool that the release before took away, roles, rules and limits speak no more: a policy in which they do
    /// cannot be saved.
    fn forget_undeclared(&mut self) {
        let declared = self.declared_scopes();
        let left = |scopes: &ScopeSet| -> ScopeSet {
            let scopes = scopes.iter().filter(|scope| declared.contains(scope));
            scopes.cloned().collect()
        };
        for role in &mut self.roles {
            if let RoleScopes::Only(scopes) = &mut role.scopes {
                *scopes = left(scopes);
            }
        }
        self.subject_rules.retain_mut(|rule| match &mut rule.what {
            RuleWhat::Scopes(scopes) => {
                *scopes = left(scopes);
                !scopes.is_empty()
            }
            RuleWhat::Tools(names) => {
                names.retain(|name| self.tools.contains_key(name));
                !names.is_empty()
            }
            RuleWhat::All => true,
        });
        self.rate_limits.retain_mut(|limit| match &mut limit.what {
            LimitWhat::Tools(names) => {
                names.retain(|name| self.tools.contains_key(name));
                !names.is_empty()
            }
            LimitWhat::All => true,
        });
    }
}

impl Entry {
    fn split(self, is_closed: bool) -> (Self, EntryRest) {
        let Self {
            requirement,
            title,
            description,
            fingerprint,
            pinned,
            conditions,
            recorded_arguments,
            state,
        } = self;
        let is_closed = is_closed || !state.is_accepted() || !conditions.is_empty();
        let (shown, hidden) = match is_closed && requirement != Requirement::Denied {
            true => (Requirement::Denied, Some(requirement)),
            false => (requirement, None),
        };
        let rest = EntryRest {
            requirement: hidden,
            fingerprint: fingerprint.clone().filter(|_| !state.is_accepted()),
            pinned,
            conditions,
            // It opens nothing: the release before records no argument at all.
            recorded_arguments,
            state,
        };
        let plain = Self {
            requirement: shown,
            title,
            description,
            fingerprint,
            ..Self::default()
        };
        (plain, rest)
    }

    fn join(&mut self, rest: EntryRest) {
        if let (Requirement::Denied, Some(requirement)) = (&self.requirement, rest.requirement) {
            self.requirement = requirement;
        }
        if rest.fingerprint.is_some() {
            self.fingerprint = rest.fingerprint;
        }
        self.pinned = rest.pinned;
        self.conditions = rest.conditions;
        self.recorded_arguments = rest.recorded_arguments;
        self.state = rest.state;
    }
}

impl PolicyRest {
    /// Of each list; instructions are kept whole.
    fn lists_mut(&mut self) -> [(ListKind, &mut BTreeMap<String, EntryRest>); ListKind::ALL.len()] {
        [
            (ListKind::Tools, &mut self.tools),
            (ListKind::Resources, &mut self.resources),
            (ListKind::ResourceTemplates, &mut self.resource_templates),
            (ListKind::Prompts, &mut self.prompts),
        ]
    }
}

#[cfg(test)]
mod tests;
