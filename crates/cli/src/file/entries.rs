use std::collections::BTreeMap;

use authz::{ListStepUp, Mode, QuarantineFrom, Requirement, Risk};
use serde::{Deserialize, Serialize};
use wire::oauth::ScopeSet;

/// What a server has, and what each part of it needs. The scopes stand beside it, where people look for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    /// What a client gets asked for when it asks for nothing.
    pub(super) default_scopes: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tools: BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resources: BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resource_templates: BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) prompts: BTreeMap<String, Entry>,
    /// What whoever was given no role has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_role: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<authz::Role>,
    /// Of people, groups and clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<authz::SubjectRule>,
    /// How often somebody may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rate_limits: Vec<authz::RateLimit>,
    /// From which severity on a change waits for a person. Left out, it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quarantine_from: Option<QuarantineFrom>,
    /// Whether what lies behind a step-up is listed. Left out, it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) list_step_up: Option<ListStepUp>,
}

/// One scope, with the words of the consent page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) risk: Risk,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) implies: String,
    /// What a rename of `name` keeps.
    pub(super) id: String,
}

/// One tool, resource, template or prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// All the scopes of at least one of these; or `access` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) needs: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<Access>,
    pub(super) title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// An admin decided on it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) pinned: bool,
    /// On its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conditions: Vec<authz::Condition>,
    /// That stand in the records of calls as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) recorded_arguments: Vec<String>,
}

/// Access that no scope decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Access {
    /// A valid token suffices.
    Public,
    /// Nobody.
    Denied,
}

impl Policy {
    pub(super) fn of(policy: &authz::Policy) -> Self {
        let entries = |of: &BTreeMap<String, authz::Entry>| {
            of.iter()
                .map(|(name, entry)| (name.clone(), Entry::of(entry)))
                .collect()
        };
        Self {
            mode: policy.mode,
            default_scopes: policy.default_scopes.to_string(),
            tools: entries(&policy.tools),
            resources: entries(&policy.resources),
            resource_templates: entries(&policy.resource_templates),
            prompts: entries(&policy.prompts),
            default_role: policy.default_role.clone(),
            roles: policy.roles.clone(),
            rules: policy.subject_rules.clone(),
            rate_limits: policy.rate_limits.clone(),
            quarantine_from: Some(policy.quarantine_from).filter(|from| !from.is_default()),
            list_step_up: Some(policy.list_step_up).filter(|word| !word.is_default()),
        }
    }
}

impl Policy {
    /// Whether it has an element that `policy` does not have.
    pub(super) fn has_more_than(&self, policy: &authz::Policy) -> bool {
        let all = [
            (&self.tools, &policy.tools),
            (&self.resources, &policy.resources),
            (&self.resource_templates, &policy.resource_templates),
            (&self.prompts, &policy.prompts),
        ];
        let mut all = all.iter();
        all.any(|(said, known)| said.keys().any(|name| !known.contains_key(name)))
    }
}

impl Scope {
    pub(super) fn of(scope: &authz::ScopeDeclaration) -> Self {
        Self {
            name: scope.name.to_string(),
            title: scope.title.clone(),
            risk: scope.risk,
            implies: scope.implies.to_string(),
            id: scope.id.clone(),
        }
    }
}

impl Entry {
    fn of(entry: &authz::Entry) -> Self {
        let (needs, access) = match &entry.requirement {
            Requirement::Public => (None, Some(Access::Public)),
            Requirement::Denied => (None, Some(Access::Denied)),
            Requirement::AnyOf(sets) => {
                (Some(sets.iter().map(ScopeSet::to_string).collect()), None)
            }
        };
        Self {
            needs,
            access,
            title: entry.title.clone(),
            description: entry.description.clone(),
            fingerprint: entry.fingerprint.clone(),
            pinned: entry.pinned,
            conditions: entry.conditions.clone(),
            recorded_arguments: entry.recorded_arguments.clone(),
        }
    }
}
