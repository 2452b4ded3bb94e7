use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wire::oauth::{Scope, ScopeSet};

use crate::{
    Condition, KnownNow, ListKind, ListStepUp, QuarantineFrom, RateLimit, Role, RuleWho,
    SubjectRule, is_comparable, uri_template,
};

/// How many templates a resource that is new is held against: a server chooses how many there are of both.
const TEMPLATES_MATCHED_MAX: usize = 100;

/// Who may call what at one MCP server. Plain data; the default is no.
///
/// What is not named in `tools`, `resources`, `resource_templates` or `prompts` is unmapped: hidden and denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether decisions are enforced or only reported.
    pub mode: Mode,
    /// The scopes of this server, in the order people see them.
    pub scopes: Vec<ScopeDeclaration>,
    /// What a client gets asked for when it asks for nothing.
    pub default_scopes: ScopeSet,
    /// Tools by name.
    pub tools: BTreeMap<String, Entry>,
    /// Resources by URI.
    pub resources: BTreeMap<String, Entry>,
    /// Resource templates by URI template (RFC 6570).
    pub resource_templates: BTreeMap<String, Entry>,
    /// Prompts by name.
    pub prompts: BTreeMap<String, Entry>,
    /// What the server says of itself when a client connects, under [`wire::mcp::definition::INSTRUCTIONS`]; empty until
    /// somebody looked. Its requirement means nothing: whoever may connect hears what was accepted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instructions: BTreeMap<String, Entry>,
    /// What people may have here. While there is none, everybody who may sign in may have every declared scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// The id of the role of whoever was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<String>,
    /// Who may or may not have what, through which client, whatever the roles say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_rules: Vec<SubjectRule>,
    /// From which severity on a changed element waits for a person.
    #[serde(default, skip_serializing_if = "QuarantineFrom::is_default")]
    pub quarantine_from: QuarantineFrom,
    /// How often somebody may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Whether callers are listed what they could call after their client asked for more scope.
    #[serde(default, skip_serializing_if = "ListStepUp::is_default")]
    pub list_step_up: ListStepUp,
}

/// Whether decisions are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Denied is denied.
    #[default]
    Enforce,
    /// Decides, enforces nothing, reports what would have been denied.
    Observe,
}

/// One scope of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeDeclaration {
    /// Immutable; a rename of `name` keeps it.
    pub id: String,
    /// What stands in tokens.
    pub name: Scope,
    /// What a person reads on the consent page, such as "See your todos".
    pub title: String,
    /// How much harm it can do.
    pub risk: Risk,
    /// The scopes it contains (a token with this one has those as well).
    #[serde(default)]
    pub implies: ScopeSet,
}

/// How much harm a scope can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the name says it")]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

/// One tool, resource, template or prompt that the policy knows. By default it is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What a caller needs.
    pub requirement: Requirement,
    /// For people: its title, or its name.
    pub title: String,
    /// For people: the first line of its description, at most 200 characters.
    #[serde(default)]
    pub description: String,
    /// What its definition looked like when it was mapped, see [`crate::fingerprint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// An admin decided on it: what a server says of itself changes nothing any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// What must be true of the arguments of each call, all of it. For tools only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Which arguments stand in the records of calls as they are, each a JSON Pointer (RFC 6901) such as `/path`: somebody
    /// declared that they hold no secret. Of all others there is a digest. For tools only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_arguments: Vec<String>,
    /// Whether it is as it was accepted.
    #[serde(default, skip_serializing_if = "EntryState::is_accepted")]
    pub state: EntryState,
}

/// Whether an entry is as somebody accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// It is; its requirement decides.
    #[default]
    Accepted,
    /// Its definition has become another one: hidden and denied until somebody approves that.
    Quarantined,
}

impl EntryState {
    /// Whether its requirement decides.
    pub fn is_accepted(&self) -> bool {
        *self == Self::Accepted
    }
}

/// What a caller needs for an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// A valid token suffices.
    Public,
    /// All the scopes of at least one of these sets. An empty list is met by nobody.
    AnyOf(Vec<ScopeSet>),
    /// Nobody.
    #[default]
    Denied,
}

impl Requirement {
    /// Whether one of its sets has no scope: a valid token alone would meet it, which [`Requirement::Public`] says in plain sight.
    pub fn has_empty_set(&self) -> bool {
        matches!(self, Self::AnyOf(sets) if sets.iter().any(ScopeSet::is_empty))
    }
}

impl Policy {
    /// All the scopes that this server declares.
    pub fn declared_scopes(&self) -> ScopeSet {
        self.scopes.iter().map(|scope| scope.name.clone()).collect()
    }

    /// Whether decisions are enforced; in observe mode they are only reported.
    pub fn enforced(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Whether it knows nothing at all: no inventory was ever read.
    pub fn is_blank(&self) -> bool {
        self.scopes.is_empty()
            && self.tools.is_empty()
            && self.resources.is_empty()
            && self.resource_templates.is_empty()
            && self.prompts.is_empty()
    }

    /// The entries of one kind.
    pub fn entries(&self, kind: ListKind) -> &BTreeMap<String, Entry> {
        match kind {
            ListKind::Tools => &self.tools,
            ListKind::Resources => &self.resources,
            ListKind::ResourceTemplates => &self.resource_templates,
            ListKind::Prompts => &self.prompts,
            ListKind::Instructions => &self.instructions,
        }
    }

    /// The entries of one kind, to be changed.
    pub fn entries_mut(&mut self, kind: ListKind) -> &mut BTreeMap<String, Entry> {
        match kind {
            ListKind::Tools => &mut self.tools,
            ListKind::Resources => &mut self.resources,
            ListKind::ResourceTemplates => &mut self.resource_templates,
            ListKind::Prompts => &mut self.prompts,
            ListKind::Instructions => &mut self.instructions,
        }
    }

    /// Whether something says what is needed for it: its own entry or, for a resource, a template that it matches.
    pub fn knows(&self, kind: ListKind, identity: &str) -> bool {
        let mut templates = self.resource_templates.keys().take(TEMPLATES_MATCHED_MAX);
        self.entries(kind).contains_key(identity)
            || (kind == ListKind::Resources
                && templates.any(|template| uri_template::matches(template, identity)))
    }

    /// The ids of the groups that its rules speak of.
    pub fn named_groups(&self) -> BTreeSet<&str> {
        let rules = self.subject_rules.iter();
        rules
            .filter_map(|rule| match &rule.who {
                RuleWho::Group(group) => Some(group.as_str()),
                RuleWho::Anyone | RuleWho::Person(_) | RuleWho::Role(_) => None,
            })
            .collect()
    }

    /// The role with this id.
    pub fn role(&self, id: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == id)
    }

    /// As somebody wrote it who saw `before` without its states: what they did not write stays as it was, and a requirement
    /// that they changed is theirs. Which definition is the accepted one, and whether it waits, is decided where one looks
    /// at it, never by a text that may be old: only for what is new here their fingerprint counts.
    pub fn written_over(mut self, before: &Self) -> Self {
        self.quarantine_from = before.quarantine_from;
        self.instructions.clone_from(&before.instructions);
        self.list_step_up = before.list_step_up;
        for kind in ListKind::ALL {
            for (identity, entry) in self.entries_mut(kind) {
                let Some(old) = before.entries(kind).get(identity) else {
                    continue;
                };
                entry.pinned |= old.requirement != entry.requirement;
                entry.fingerprint.clone_from(&old.fingerprint);
                entry.state = old.state;
            }
        }
        self
    }

    /// What `before` does not have, held against what is `known` of it: in quarantine when that is another definition than the one of
    /// which it was written, or somebody said no to that. Whoever takes an element out of a file and puts it back lifts nothing.
    pub fn returning_over(
        mut self,
        before: &Self,
        known: impl Fn(ListKind, &str, Option<&str>) -> KnownNow,
    ) -> Self {
        for kind in ListKind::ALL {
            for (identity, entry) in self.entries_mut(kind) {
                if before.entries(kind).contains_key(identity) {
                    continue;
                }
                let fingerprint = entry.fingerprint.as_deref();
                match known(kind, identity, fingerprint.filter(|one| is_comparable(one))) {
                    KnownNow::AsAccepted(fingerprint) => {
                        entry.fingerprint = fingerprint.or(entry.fingerprint.take());
                    }
                    KnownNow::Other => entry.state = EntryState::Quarantined,
                }
            }
        }
        self
    }

    /// What the scope is called now that somebody names so: itself where it is declared, or the one whose id this is since it was
    /// renamed.
    pub fn present_name(&self, scope: &Scope) -> Scope {
        let mut declared = self.scopes.iter();
        let renamed = declared.find(|declared| declared.id == scope.as_str());
        match (self.declaration(scope), renamed) {
            (None, Some(renamed)) => renamed.name.clone(),
            _ => scope.clone(),
        }
    }

    /// The declaration of `scope`.
    pub fn declaration(&self, scope: &Scope) -> Option<&ScopeDeclaration> {
        self.scopes.iter().find(|declared| declared.name == *scope)
    }
}
