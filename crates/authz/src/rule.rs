//! One requirement held against what a caller has.

use std::collections::BTreeSet;

use wire::oauth::{Scope, ScopeSet};

use crate::{DenialReason, Policy, Requirement, Risk};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Met, by these scopes.
    Met(ScopeSet),
    /// These scopes would meet it, and asking for them can succeed.
    Needs(ScopeSet),
    /// Nothing this caller could ask for would meet it.
    Never(DenialReason),
}

/// Holds `requirement` against the scopes `held`, with what they imply.
///
/// Only scopes that the policy declares count, also those in the token: one that was taken out of the policy opens
/// nothing any more.
pub(crate) fn judge(policy: &Policy, held: &ScopeSet, requirement: &Requirement) -> Judgement {
    let sets = match requirement {
        Requirement::Public => return Judgement::Met(ScopeSet::new()),
        Requirement::Denied => return Judgement::Never(DenialReason::DeniedByRule),
        Requirement::AnyOf(sets) if sets.is_empty() => {
            return Judgement::Never(DenialReason::DeniedByRule);
        }
        Requirement::AnyOf(sets) => sets,
    };
    let declared = |scope: &Scope| policy.declaration(scope).is_some();
    // Most calls are allowed by scopes that stand in the token as they are.
    if let Some(set) = sets.iter().find(|set| {
        set.iter()
            .all(|scope| held.contains(scope) && declared(scope))
    }) {
        return Judgement::Met(set.clone());
    }
    let held = with_implied(policy, held);
    let obtainable = || sets.iter().filter(|set| set.iter().all(declared));
    if let Some(set) = obtainable().find(|set| set.iter().all(|scope| held.contains(scope))) {
        return Judgement::Met(set.clone());
    }
    match obtainable().min_by_key(|set| cost(policy, &held, set)) {
        Some(set) => Judgement::Needs(set.clone()),
        None => Judgement::Never(DenialReason::ScopeNotObtainable),
    }
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
fn with_implied<'a>(policy: &'a Policy, held: &ScopeSet) -> BTreeSet<&'a Scope> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = held
        .iter()
        .filter_map(|scope| policy.declaration(scope))
        .collect();
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
