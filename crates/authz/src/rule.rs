//! One requirement held against what a caller has.

use std::collections::BTreeSet;

use wire::oauth::{Scope, ScopeSet};

use crate::standing::{Barred, Standing};
use crate::{DenialReason, Policy, Requirement, Risk, SubjectRule};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement<'a> {
    /// Met, by these scopes.
    Met(ScopeSet),
    /// These scopes would meet it, and asking for them can succeed.
    Needs(ScopeSet),
    /// Nothing this caller could ask for would meet it.
    Never(No<'a>),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum No<'a> {
    /// For this reason, which says it all.
    Because(DenialReason),
    /// No role permits the scope.
    NotPermitted(&'a Scope),
    /// A subject rule.
    Rule(&'a SubjectRule),
}

impl No<'_> {
    pub(crate) fn reason(self) -> DenialReason {
        match self {
            Self::Because(reason) => reason,
            Self::NotPermitted(_) => DenialReason::NotPermitted,
            Self::Rule(_) => DenialReason::DeniedByRule,
        }
    }
}

/// Holds `requirement` against the scopes `held`, with what they imply.
///
/// Only scopes that the policy declares and that this caller may have count, also those in the token: one that was
/// taken out of the policy, or from this person, opens nothing any more.
pub(crate) fn judge<'a>(
    standing: &Standing<'a>,
    held: &ScopeSet,
    requirement: &'a Requirement,
    for_this_tool: bool,
) -> Judgement<'a> {
    let sets = match requirement {
        Requirement::Public => return Judgement::Met(ScopeSet::new()),
        Requirement::Denied => return Judgement::Never(No::Because(DenialReason::DeniedByRule)),
        Requirement::AnyOf(sets) if sets.is_empty() => {
            return Judgement::Never(No::Because(DenialReason::DeniedByRule));
        }
        Requirement::AnyOf(sets) => sets,
    };
    let permitted = |scope: &Scope| standing.permits(scope, for_this_tool).is_ok();
    // Most calls are allowed by scopes that stand in the token as they are.
    if let Some(set) = sets.iter().find(|set| {
        set.iter()
            .all(|scope| held.contains(scope) && permitted(scope))
    }) {
        return Judgement::Met(set.clone());
    }
    let policy = standing.policy;
    let held = implied_by(policy, held.iter().filter(|scope| permitted(scope)));
    let obtainable = || sets.iter().filter(|set| set.iter().all(permitted));
    if let Some(set) = obtainable().find(|set| set.iter().all(|scope| held.contains(scope))) {
        return Judgement::Met(set.clone());
    }
    match obtainable().min_by_key(|set| cost(policy, &held, set)) {
        Some(set) => Judgement::Needs(set.clone()),
        None => Judgement::Never(why_not(standing, sets, for_this_tool)),
    }
}

/// What stands in the way of the first set that the server declares.
fn why_not<'a>(standing: &Standing<'a>, sets: &'a [ScopeSet], for_this_tool: bool) -> No<'a> {
    let barred = |set: &'a ScopeSet| {
        set.iter()
            .filter_map(|scope| Some((scope, standing.permits(scope, for_this_tool).err()?)))
            .collect::<Vec<_>>()
    };
    sets.iter()
        .map(barred)
        .find(|barred| {
            barred
                .iter()
                .all(|(_, why)| !matches!(why, Barred::NotDeclared))
        })
        .and_then(|barred| barred.into_iter().next())
        .map_or(
            No::Because(DenialReason::ScopeNotObtainable),
            |(scope, why)| match why {
                Barred::ByRule(rule) => No::Rule(rule),
                Barred::NotPermitted => No::NotPermitted(scope),
                Barred::NotDeclared => No::Because(DenialReason::ScopeNotObtainable),
            },
        )
}

/// What a person would be asked for: first how much harm the worst missing scope can do, then how many are missing.
fn cost(policy: &Policy, held: &BTreeSet<&Scope>, set: &ScopeSet) -> (Option<Risk>, usize) {
    let missing = || set.iter().filter(|scope| !held.contains(scope));
    let worst = missing()
        .filter_map(|scope| policy.declaration(scope))
        .map(|declaration| declaration.risk)
        .max();
    (worst, missing().count())
}

/// The declared scopes among `held` and all that they imply, directly or through others.
pub(crate) fn implied_by<'a, 'b>(
    policy: &'a Policy,
    held: impl Iterator<Item = &'b Scope>,
) -> BTreeSet<&'a Scope> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = held.filter_map(|scope| policy.declaration(scope)).collect();
    while let Some(declaration) = open.pop() {
        if reached.insert(&declaration.name) {
            open.extend(
                declaration
                    .implies
                    .iter()
                    .filter_map(|implied| policy.declaration(implied)),
            );
        }
    }
    reached
}
