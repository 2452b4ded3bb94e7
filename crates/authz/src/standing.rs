//! What one caller may have at all, found once and then asked for each thing.

use std::collections::BTreeSet;

use wire::oauth::{Scope, ScopeSet};

use crate::rule::implied_by;
use crate::{CallerFacts, Policy, Requirement, RoleScopes, RuleEffect, RuleWhat, SubjectRule};

/// A policy as it is for one caller. For a policy without roles and rules it costs nothing to make.
pub(crate) struct Standing<'a> {
    pub(crate) policy: &'a Policy,
    /// What roles and rules permit together.
    permitted: Permitted<'a>,
    denied: Vec<(&'a ScopeSet, &'a SubjectRule)>,
    denied_all: Option<&'a SubjectRule>,
    of_tools: Vec<(&'a BTreeSet<String>, &'a SubjectRule)>,
}

enum Permitted<'a> {
    Everything,
    Only(BTreeSet<&'a Scope>),
}

/// Why somebody may not have a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barred<'a> {
    /// The server declares no such scope.
    NotDeclared,
    /// Neither a role nor a rule permits it.
    NotPermitted,
    /// A rule denies it.
    ByRule(&'a SubjectRule),
}

impl<'a> Standing<'a> {
    pub(crate) fn of(policy: &'a Policy, facts: &CallerFacts<'_>) -> Self {
        let mut standing = Self {
            policy,
            permitted: Permitted::Everything,
            denied: Vec::new(),
            denied_all: None,
            of_tools: Vec::new(),
        };
        if policy.roles.is_empty() && policy.subject_rules.is_empty() {
            return standing;
        }
        let roles = roles(policy, facts);
        let mut permitted = (!policy.roles.is_empty() && !facts.acts_for_itself())
            .then(|| by_roles(policy, &roles))
            .flatten();
        let concerned = policy
            .subject_rules
            .iter()
            .filter(|rule| rule.concerns(facts, &roles));
        for rule in concerned {
            match (rule.effect, &rule.what) {
                (RuleEffect::Deny, RuleWhat::All) => standing.denied_all = Some(rule),
                (RuleEffect::Deny, RuleWhat::Scopes(scopes)) => {
                    standing.denied.push((scopes, rule))
                }
                (RuleEffect::Allow, RuleWhat::All) => permitted = None,
                (RuleEffect::Allow, RuleWhat::Scopes(scopes)) => {
                    if let Some(permitted) = &mut permitted {
                        permitted.append(&mut implied_by(policy, scopes.iter()));
                    }
                }
                (_, RuleWhat::Tools(tools)) => standing.of_tools.push((tools, rule)),
            }
        }
        if let Some(permitted) = permitted {
            standing.permitted = Permitted::Only(permitted);
        }
        standing
    }

    /// The rule that denies everything.
    pub(crate) fn denied_all(&self) -> Option<&'a SubjectRule> {
        self.denied_all
    }

    /// The rule that denies this tool, or everything.
    pub(crate) fn denies_tool(&self, tool: &str) -> Option<&'a SubjectRule> {
        self.denied_all
            .or_else(|| self.rule_of_tool(tool, RuleEffect::Deny))
    }

    /// Whether a rule permits this tool with all the scopes that it needs.
    pub(crate) fn allows_tool(&self, tool: &str) -> bool {
        self.rule_of_tool(tool, RuleEffect::Allow).is_some()
    }

    fn rule_of_tool(&self, tool: &str, effect: RuleEffect) -> Option<&'a SubjectRule> {
        self.of_tools
            .iter()
            .find(|(tools, rule)| rule.effect == effect && tools.contains(tool))
            .map(|(_, rule)| *rule)
    }

    /// Whether somebody may have `scope`. `for_this_tool`: a rule permits the tool that asks for it.
    pub(crate) fn permits(&self, scope: &Scope, for_this_tool: bool) -> Result<(), Barred<'a>> {
        if self.policy.declaration(scope).is_none() {
            return Err(Barred::NotDeclared);
        }
        if let Some(rule) = self.denied_all {
            return Err(Barred::ByRule(rule));
        }
        if let Some((_, rule)) = self
            .denied
            .iter()
            .find(|(scopes, _)| scopes.contains(scope))
        {
            return Err(Barred::ByRule(rule));
        }
        match &self.permitted {
            Permitted::Everything => Ok(()),
            Permitted::Only(permitted) if permitted.contains(scope) || for_this_tool => Ok(()),
            Permitted::Only(_) => Err(Barred::NotPermitted),
        }
    }

    /// Whether somebody may have `scope` in a token: for everything, or for a tool that a rule permits.
    pub(crate) fn grants(&self, scope: &Scope) -> Result<(), Barred<'a>> {
        let for_some_tool = || {
            let allowed = self
                .of_tools
                .iter()
                .filter(|(_, rule)| rule.effect == RuleEffect::Allow);
            allowed
                .flat_map(|(tools, _)| tools.iter())
                .filter(|tool| self.denies_tool(tool).is_none())
                .filter_map(|tool| self.policy.tools.get(tool))
                .any(|entry| match &entry.requirement {
                    Requirement::AnyOf(sets) => sets.iter().any(|set| set.contains(scope)),
                    Requirement::Public | Requirement::Denied => false,
                })
        };
        match self.permits(scope, false) {
            Err(Barred::NotPermitted) if for_some_tool() => Ok(()),
            answer => answer,
        }
    }
}

/// The ids of the roles that count: those of the token that the policy still has, or else the default role.
fn roles<'a>(policy: &'a Policy, facts: &CallerFacts<'_>) -> Vec<&'a str> {
    if facts.acts_for_itself() {
        return Vec::new();
    }
    let given: Vec<_> = facts
        .roles
        .iter()
        .filter_map(|id| policy.role(id))
        .map(|role| role.id.as_str())
        .collect();
    if !given.is_empty() {
        return given;
    }
    let default = policy.default_role.iter();
    default
        .filter_map(|id| policy.role(id))
        .map(|role| role.id.as_str())
        .collect()
}

/// What these roles permit, with all that it implies; `None` for everything.
fn by_roles<'a>(policy: &'a Policy, roles: &[&str]) -> Option<BTreeSet<&'a Scope>> {
    let mut permitted = BTreeSet::new();
    for role in roles.iter().filter_map(|id| policy.role(id)) {
        match &role.scopes {
            RoleScopes::All => return None,
            RoleScopes::Only(scopes) => permitted.append(&mut implied_by(policy, scopes.iter())),
        }
    }
    Some(permitted)
}

#[cfg(test)]
mod tests;
