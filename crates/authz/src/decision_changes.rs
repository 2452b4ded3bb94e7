use serde::Serialize;

use crate::decision_table::{cell, word};
use crate::{Caller, Decision, ListKind, ListStepUp, Policy, Viewer, grantable};

/// What comes of one call that somebody could make, with the best arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// In one word.
    pub reach: Reach,
    /// `yes`, `if asked: SCOPES`, or `no: REASON`, as in a [`crate::DecisionTable`]; in observe mode `yes, observed as` and
    /// what was decided.
    pub answer: String,
    /// The rule that decided.
    pub rule: String,
}

/// Whether somebody reaches something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// No.
    Denied,
    /// After their client asked for more scope.
    IfAsked,
    /// At once.
    Allowed,
}

/// A caller and an element whose decision is another one under another policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionChange {
    /// The caller's place among those that were given.
    #[serde(skip)]
    pub caller: usize,
    /// `tool`, `resource`, `resource template` or `prompt`.
    pub kind: &'static str,
    /// Its name or URI.
    pub name: String,
    /// What was decided.
    pub before: Answer,
    /// What is.
    pub after: Answer,
}

/// With which scopes callers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// With those that they have in their token.
    AsTheyAre,
    /// With all that they may have, as after they approved everything.
    AtMost,
}

/// Which of `callers` reach which elements otherwise under `after` than under `before`: whether they do, or why not. What
/// neither policy knows is left out.
pub fn decision_changes(
    before: &Policy,
    after: &Policy,
    callers: &[Caller],
    seen: Seen,
) -> Vec<DecisionChange> {
    let mut changes = Vec::new();
    for (index, caller) in callers.iter().enumerate() {
        let (old, new) = (seen.of(before, caller), seen.of(after, caller));
        let old = Viewer::new(before, &old, ListStepUp::Always);
        let new = Viewer::new(after, &new, ListStepUp::Always);
        for kind in ListKind::ALL {
            let of_before = before.entries(kind).keys();
            let added = after.entries(kind).keys();
            let added = added.filter(|name| !before.entries(kind).contains_key(*name));
            for name in of_before.chain(added) {
                let before = Answer::of(before, &old.decision(kind, name));
                let after = Answer::of(after, &new.decision(kind, name));
                if before.answer != after.answer {
                    changes.push(DecisionChange {
                        caller: index,
                        kind: word(kind),
                        name: name.clone(),
                        before,
                        after,
                    });
                }
            }
        }
    }
    changes
}

/// What comes under `policy` of one call of `caller`, with the best arguments.
pub fn answer(policy: &Policy, caller: &Caller, kind: ListKind, name: &str) -> Answer {
    let viewer = Viewer::new(policy, caller, ListStepUp::Always);
    Answer::of(policy, &viewer.decision(kind, name))
}

impl Answer {
    fn of(policy: &Policy, decision: &Decision) -> Self {
        let observed = !policy.enforced() && !decision.is_allowed();
        let reach = match decision {
            _ if observed => Reach::Allowed,
            Decision::Allowed { .. } => Reach::Allowed,
            Decision::NeedsScope { .. } => Reach::IfAsked,
            Decision::Denied { .. } => Reach::Denied,
        };
        Self {
            reach,
            answer: match observed {
                true => format!("yes, observed as {}", cell(decision)),
                false => cell(decision),
            },
            rule: decision.rule().to_owned(),
        }
    }
}

impl Seen {
    fn of(self, policy: &Policy, caller: &Caller) -> Caller {
        match self {
            Self::AsTheyAre => caller.clone(),
            Self::AtMost => caller.at_most(policy),
        }
    }
}

impl Caller {
    /// With every scope that they may have under `policy`.
    pub fn at_most(&self, policy: &Policy) -> Self {
        let declared = policy.declared_scopes();
        Self {
            scopes: grantable(policy, &self.facts(), &declared).granted,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
