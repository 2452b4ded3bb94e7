use wire::oauth::{Scope, ScopeSet};

use crate::standing::{Barred, Standing};
use crate::{CallerFacts, Policy};

/// What may stand in somebody's token, of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grantable {
    /// These.
    pub granted: ScopeSet,
    /// Not these, each with the reason.
    pub withheld: Vec<(Scope, ScopeWithheld)>,
}

/// Why somebody may not have a scope through a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeWithheld {
    /// The server declares no such scope.
    NotDeclared,
    /// None of this person's roles permits it, and no rule does.
    NotPermitted,
    /// The rule with this id denies it.
    DeniedByRule(String),
}

/// Which of the scopes `asked` somebody may have: by the same rules as [`crate::decide`], so that what is granted opens
/// something, and what a challenge asks for is granted.
pub fn grantable(policy: &Policy, facts: &CallerFacts<'_>, asked: &ScopeSet) -> Grantable {
    let standing = Standing::of(policy, facts);
    let mut answer = Grantable::default();
    for scope in asked.iter() {
        let reason = match standing.grants(scope) {
            Ok(()) => {
                answer.granted.insert(scope.clone());
                continue;
            }
            Err(Barred::NotDeclared) => ScopeWithheld::NotDeclared,
            Err(Barred::NotPermitted) => ScopeWithheld::NotPermitted,
            Err(Barred::ByRule(rule)) => ScopeWithheld::DeniedByRule(rule.id.clone()),
        };
        answer.withheld.push((scope.clone(), reason));
    }
    answer
}
