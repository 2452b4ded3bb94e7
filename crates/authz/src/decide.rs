use wire::mcp::Json;
use wire::oauth::ScopeSet;

use crate::condition::Outcome;
use crate::rule::{Judgement, No, judge};
use crate::standing::Standing;
use crate::uri_template;
use crate::{
    Call, Caller, Condition, Decision, DenialReason, Entry, Policy, Requirement, SubjectRule,
};

/// Says whether `caller` may do `call`. Total, pure, and the default is no.
///
/// In observe mode the decision is the same; whether it is enforced says [`Policy::enforced`].
pub fn decide(policy: &Policy, caller: &Caller, call: &Call<'_>) -> Decision {
    let judge = Judge::of(policy, caller);
    match call {
        Call::Tool { name, arguments } => judge.tool(name, Arguments::Are(*arguments)).decision(),
        Call::Prompt { name } | Call::PromptCompletion { name } => judge.prompt(name).decision(),
        Call::Resource { uri } => judge.resource(uri).decision(),
        Call::ResourceCompletion { uri } => judge.resource_completion(uri).decision(),
        Call::Subscription { uris } => uris
            .iter()
            .map(|uri| judge.resource(uri))
            .reduce(Ruling::and)
            .unwrap_or_else(|| judge.unless_denied_all("list changes", "a valid token"))
            .decision(),
        Call::Task { .. } => judge
            .unless_denied_all("task", "whoever holds its id")
            .decision(),
        Call::List(kind) => {
            Ruling::free(&format!("{}: answered filtered", kind.method())).decision()
        }
        Call::Protocol { method: "" } => Ruling::free("an answer: a valid token").decision(),
        Call::Protocol { method } => Ruling::free(&format!("{method}: a valid token")).decision(),
        Call::Unknown { .. } => Decision::Denied {
            reason: DenialReason::UnknownMethod,
            rule: "default: deny".to_owned(),
        },
    }
}

/// Says whether `caller` may do something that needs all of `scopes` and stands in no list: a route of a plain HTTP API, or a
/// part of what a tool does.
pub fn decide_scopes(policy: &Policy, caller: &Caller, scopes: &ScopeSet) -> Decision {
    let requirement = Requirement::AnyOf(vec![scopes.clone()]);
    Judge::of(policy, caller).scopes(&requirement).decision()
}

/// Whether a rule denies `caller` everything, whatever they call.
pub fn is_denied_everything(policy: &Policy, caller: &Caller) -> bool {
    Standing::of(policy, &caller.facts()).denied_all().is_some()
}

/// What is known of a tool's arguments.
#[derive(Clone, Copy)]
pub(crate) enum Arguments<'a> {
    /// These are sent.
    Are(Option<&'a Json>),
    /// Somebody asks whether there are any with which it may be called.
    Any,
}

/// One policy and one caller.
pub(crate) struct Judge<'a> {
    caller: &'a Caller,
    standing: Standing<'a>,
}

impl<'a> Judge<'a> {
    pub(crate) fn of(policy: &'a Policy, caller: &'a Caller) -> Self {
        Self {
            caller,
            standing: Standing::of(policy, &caller.facts()),
        }
    }

    pub(crate) fn policy(&self) -> &'a Policy {
        self.standing.policy
    }

    pub(crate) fn tool(&self, name: &str, arguments: Arguments<'_>) -> Ruling<'a> {
        let Some(entry) = self.policy().tools.get(name) else {
            return Ruling::unmapped();
        };
        if let Some(rule) = self.standing.denies_tool(name) {
            return Ruling::denied_by(&format!("tool {name}"), rule);
        }
        let for_this_tool = self.standing.allows_tool(name);
        let ruling = self.held_against("tool", name, entry, for_this_tool);
        if entry.conditions.is_empty() || matches!(ruling.judgement, Judgement::Never(_)) {
            return ruling;
        }
        let facts = self.caller.facts();
        let judged = |condition: &Condition| match arguments {
            Arguments::Are(arguments) => condition.judge(arguments, &facts),
            Arguments::Any if condition.can_be_met(&facts) => Outcome::Met,
            Arguments::Any => Outcome::Unclear,
        };
        for condition in &entry.conditions {
            let reason = match judged(condition) {
                Outcome::Met => continue,
                Outcome::NotMet => DenialReason::ConditionNotMet,
                Outcome::Unclear => DenialReason::ConditionUnclear,
            };
            return Ruling {
                judgement: Judgement::Never(No::Because(reason)),
                rule: format!("tool {name}: {condition}"),
            };
        }
        ruling
    }

    pub(crate) fn prompt(&self, name: &str) -> Ruling<'a> {
        self.entry("prompt", name, self.policy().prompts.get(name))
    }

    pub(crate) fn instructions(&self, name: &str) -> Ruling<'a> {
        self.entry("instructions", name, self.policy().instructions.get(name))
    }

    pub(crate) fn resource_completion(&self, uri: &str) -> Ruling<'a> {
        match self.policy().resource_templates.get(uri) {
            Some(entry) => self.entry("resource template", uri, Some(entry)),
            None => self.resource(uri),
        }
    }

    /// A resource is judged by its own entry. Without one, by every template that it matches: which of them the server
    /// will take is not known here, so all must allow it, and so must the entry of a resource that it is another
    /// spelling of: some servers look up what a URL reader makes of a URI.
    pub(crate) fn resource(&self, uri: &str) -> Ruling<'a> {
        let policy = self.policy();
        if let Some(entry) = policy.resources.get(uri) {
            return self.entry("resource", uri, Some(entry));
        }
        let matched = policy
            .resource_templates
            .iter()
            .filter(|(template, _)| uri_template::matches(template, uri))
            .map(|(template, entry)| self.entry("resource template", template, Some(entry)))
            .reduce(Ruling::and);
        match matched {
            None => Ruling::unmapped(),
            Some(_) if uri_template::is_unsafe(uri) => Ruling {
                judgement: Judgement::Never(No::Because(DenialReason::UnsafeUri)),
                rule: "resource template: no dot segments".to_owned(),
            },
            Some(ruling) => uri_template::other_spellings(uri)
                .filter_map(|spelling| policy.resources.get_key_value(&spelling))
                .map(|(uri, entry)| self.entry("resource", uri, Some(entry)))
                .fold(ruling, Ruling::and),
        }
    }

    /// Of what only code asks for.
    fn scopes(&self, requirement: &'a Requirement) -> Ruling<'a> {
        match self.standing.denied_all() {
            Some(rule) => Ruling::denied_by("scope", rule),
            None => self.requirement("scope", "in code", requirement, false),
        }
    }

    /// Of what no entry speaks of.
    fn unless_denied_all(&self, what: &str, whose: &str) -> Ruling<'a> {
        match self.standing.denied_all() {
            Some(rule) => Ruling::denied_by(what, rule),
            None => Ruling::free(&format!("{what}: {whose}")),
        }
    }

    /// Of everything but tools.
    fn entry(&self, kind: &str, name: &str, entry: Option<&'a Entry>) -> Ruling<'a> {
        let Some(entry) = entry else {
            return Ruling::unmapped();
        };
        if let Some(rule) = self.standing.denied_all() {
            return Ruling::denied_by(&format!("{kind} {name}"), rule);
        }
        // Only the arguments of tools can be judged.
        if let Some(condition) = entry.conditions.first() {
            return Ruling {
                judgement: Judgement::Never(No::Because(DenialReason::ConditionUnclear)),
                rule: format!("{kind} {name}: {condition}"),
            };
        }
        self.held_against(kind, name, entry, false)
    }

    fn held_against(
        &self,
        kind: &str,
        name: &str,
        entry: &'a Entry,
        for_this_tool: bool,
    ) -> Ruling<'a> {
        if !entry.state.is_accepted() {
            return Ruling {
                judgement: Judgement::Never(No::Because(DenialReason::Quarantined)),
                rule: format!("{kind} {name}: quarantined"),
            };
        }
        self.requirement(kind, name, &entry.requirement, for_this_tool)
    }

    fn requirement(
        &self,
        kind: &str,
        name: &str,
        requirement: &'a Requirement,
        for_this_tool: bool,
    ) -> Ruling<'a> {
        let held = &self.caller.scopes;
        let judgement = judge(&self.standing, held, requirement, for_this_tool);
        let rule = match &judgement {
            Judgement::Met(scopes) if scopes.is_empty() => format!("{kind} {name}: a valid token"),
            Judgement::Met(scopes) | Judgement::Needs(scopes) => format!("{kind} {name}: {scopes}"),
            Judgement::Never(No::Rule(rule)) => format!("{kind} {name}: rule {}", rule.id),
            Judgement::Never(No::NotPermitted(scope)) => {
                format!("{kind} {name}: no role permits {scope}")
            }
            Judgement::Never(No::Because(DenialReason::ScopeNotObtainable)) => {
                format!("{kind} {name}: a scope that is not declared")
            }
            Judgement::Never(No::Because(_)) => format!("{kind} {name}: denied"),
        };
        Ruling { judgement, rule }
    }
}

/// A judgement with the name of its rule.
pub(crate) struct Ruling<'a> {
    judgement: Judgement<'a>,
    rule: String,
}

impl<'a> Ruling<'a> {
    fn unmapped() -> Self {
        Self {
            judgement: Judgement::Never(No::Because(DenialReason::Unmapped)),
            rule: "default: deny".to_owned(),
        }
    }

    fn denied_by(what: &str, rule: &'a SubjectRule) -> Self {
        Self {
            judgement: Judgement::Never(No::Rule(rule)),
            rule: format!("{what}: rule {}", rule.id),
        }
    }

    fn free(rule: &str) -> Self {
        Self {
            judgement: Judgement::Met(ScopeSet::new()),
            rule: rule.to_owned(),
        }
    }

    /// Both must allow: a no wins, and all scopes of both are asked for at once.
    fn and(self, other: Self) -> Self {
        use Judgement::{Met, Needs, Never};
        let judgement = match (self.judgement, other.judgement) {
            (Never(reason), _) => {
                return Self {
                    judgement: Never(reason),
                    rule: self.rule,
                };
            }
            (_, Never(reason)) => {
                return Self {
                    judgement: Never(reason),
                    rule: other.rule,
                };
            }
            (Met(one), Met(two)) => Met(one.union(&two)),
            (Met(one) | Needs(one), Met(two) | Needs(two)) => Needs(one.union(&two)),
        };
        Self {
            judgement,
            rule: format!("{}; {}", self.rule, other.rule),
        }
    }

    pub(crate) fn decision(self) -> Decision {
        let rule = self.rule;
        match self.judgement {
            Judgement::Met(_) => Decision::Allowed { rule },
            Judgement::Needs(required) => Decision::NeedsScope { required, rule },
            Judgement::Never(no) => Decision::Denied {
                reason: no.reason(),
                rule,
            },
        }
    }
}

#[cfg(test)]
mod tests;
