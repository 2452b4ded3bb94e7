//! Who would reach what otherwise under another policy.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use authz::{Answer, Policy, Reach, Seen, decision_changes};
use domain::McpServer;
use serde_json::{Value, json};
use store::{Store, StoreError};

use super::replay::other_conditions;
use super::standings::{Alike, Standings};
use super::through::Through;
use crate::moving::counted;
use crate::terminal::{Terminal, plain};

/// As many elements are told; a program is told all.
const TOLD_MAX: usize = 20;
/// As many pairs of a kind of people and an element are judged: a few seconds.
const JUDGED_MAX: usize = 1_000_000;
/// As many rules make a pair cost as much again.
const RULES_AS_ONE: usize = 16;

/// One element that some people reach otherwise, all in the same way.
pub(super) struct Changed {
    kind: &'static str,
    name: String,
    before: Answer,
    after: Answer,
    /// Which of the kinds of people.
    who: Vec<usize>,
}

/// What changes between two policies for the people of a server.
pub(crate) struct Reached {
    /// Each with the client that they come through, when there are several.
    alike: Vec<(Alike, Option<String>)>,
    /// What those clients are.
    clients: Vec<String>,
    /// How many clients are not judged, though rules name them.
    left_out: usize,
    /// Nothing when there are too many pairs.
    changed: Option<Vec<Changed>>,
    elements: usize,
    /// Tools that ask something else of their arguments: they are judged with such as meet it.
    conditions: Vec<String>,
}

impl Reached {
    /// For people who approve everything, through a client that registered itself and, where rules speak of clients, through
    /// one of each sort and those that they name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn of(
        before: &McpServer,
        after: &Policy,
        store: &Store,
        standings: &Standings,
    ) -> Result<Self, StoreError> {
        let slug = &before.slug;
        let before = &before.policy;
        let policies = [before, after];
        let throughs = Through::told_apart_by(before, after, store, slug).await?;
        let many = throughs.judged.len() > 1;
        let mut alike = Vec::new();
        for through in &throughs.judged {
            alike.extend(standings.alike(&policies, through).into_iter().map(|one| {
                let words = Some(through.words.clone()).filter(|_| many);
                (one, words)
            }));
        }
        let mut elements = 0;
        for kind in authz::ListKind::ALL {
            let known = before.entries(kind);
            let added = after
                .entries(kind)
                .keys()
                .filter(|name| !known.contains_key(*name));
            elements += known.len() + added.count();
        }
        let rules = before.subject_rules.len().max(after.subject_rules.len());
        let judged = alike.len() * elements * (1 + rules / RULES_AS_ONE);
        Ok(Self {
            changed: (judged <= JUDGED_MAX).then(|| changed(before, after, &alike)),
            clients: throughs.judged.into_iter().map(|one| one.words).collect(),
            left_out: throughs.left_out,
            alike,
            elements,
            conditions: after
                .tools
                .keys()
                .filter(|tool| other_conditions(before, after, tool))
                .cloned()
                .collect(),
        })
    }

    /// How many people reach how many things otherwise, as pairs of one and the other.
    fn pairs(&self) -> usize {
        let of = |one: &Changed| -> usize {
            one.who
                .iter()
                .map(|who| self.alike[*who].0.people.len().max(1))
                .sum()
        };
        self.changed.iter().flatten().map(of).sum()
    }

    fn callers(&self) -> usize {
        let callers = self.alike.iter().map(|(one, _)| one.people.len().max(1));
        callers.sum()
    }

    /// In one line, when there is anything or not all was judged.
    pub(crate) fn summary(&self) -> Option<String> {
        let words = match &self.changed {
            None => "who reaches what: not counted, there are too many kinds of people and tools"
                .to_owned(),
            Some(changed) if changed.is_empty() && self.left_out == 0 => return None,
            Some(changed) if changed.is_empty() => self.nothing(),
            Some(_) => format!(
                "who reaches what: {} of {} pairs of a person{} and a tool or the like change",
                self.pairs(),
                self.callers() * self.elements,
                match self.clients.len() {
                    1 => "",
                    _ => " with a client",
                }
            ),
        };
        Some(match self.left_out {
            0 => words,
            1 => format!("{words}; 1 client that a rule names was not judged"),
            more => format!("{words}; {more} clients that rules name were not judged"),
        })
    }

    /// For whom nothing changes.
    fn nothing(&self) -> String {
        let people: BTreeSet<&str> = self
            .alike
            .iter()
            .flat_map(|(one, _)| &one.people)
            .map(|(id, _)| id.as_str())
            .collect();
        let who = match people.len() {
            0 => "somebody who was given nothing".to_owned(),
            count => counted(i64::try_from(count).unwrap_or(i64::MAX), "person"),
        };
        let clients = plain(&self.clients.join(", "), 300);
        format!("who reaches what: nothing changes for {who} through {clients}")
    }

    /// For a person.
    pub(super) fn show(&self, out: &Terminal) {
        match self.summary() {
            Some(summary) => out.line(out.paint.bold(summary)),
            None => out.line(self.nothing()),
        }
        if !self.conditions.is_empty() {
            let tools = i64::try_from(self.conditions.len()).unwrap_or(i64::MAX);
            out.line(out.paint.warn(format!(
                "  {} {} what the arguments must be: judged with such as meet that",
                counted(tools, "tool"),
                match tools {
                    1 => "changes",
                    _ => "change",
                }
            )));
        }
        let changed = self.changed.as_deref().unwrap_or_default();
        for one in changed.iter().take(TOLD_MAX) {
            let name = match one.kind {
                "tool" => one.name.escape_debug().to_string(),
                kind => format!("{kind} {}", one.name.escape_debug()),
            };
            let change = format!("{} → {}", one.before.answer, one.after.answer);
            let change = match one.after.reach {
                Reach::Denied => out.paint.bad(change),
                Reach::IfAsked | Reach::Allowed => out.paint.good(change),
            };
            out.line(format!("  {}  {change}", plain(&name, 60)));
            for who in &one.who {
                let (who, through) = &self.alike[*who];
                let label = match who.people.as_slice() {
                    [(_, email)] if *email == who.label => who.label.clone(),
                    _ => format!("{}: {}", who.label, who.who()),
                };
                let through = through.as_ref();
                let through =
                    through.map_or_else(String::new, |words| format!(", through {words}"));
                out.line(format!(
                    "      {}",
                    plain(&format!("{label}{through}"), 200)
                ));
            }
        }
        if changed.len() > TOLD_MAX {
            let more = changed.len() - TOLD_MAX;
            out.line(out.paint.dim(format!("  and {more} more; --json has all")));
        }
    }

    /// For a program.
    pub(super) fn json(&self) -> Value {
        let changed = self.changed.iter().flatten().map(|one| {
            let who = one.who.iter().map(|who| {
                let (alike, through) = &self.alike[*who];
                let people: Vec<&String> = alike.people.iter().map(|(id, _)| id).collect();
                json!({
                    "label": alike.label,
                    "people": people,
                    "client": alike.caller.client,
                    "through": through,
                })
            });
            json!({
                "kind": one.kind,
                "name": one.name,
                "before": one.before,
                "after": one.after,
                "callers": who.collect::<Vec<_>>(),
            })
        });
        json!({
            "counted": self.changed.is_some(),
            "pairs": self.pairs(),
            "of": self.callers() * self.elements,
            "clients": self.clients,
            "clients_not_judged": self.left_out,
            "with_changed_conditions": self.conditions,
            "changed": changed.collect::<Vec<_>>(),
        })
    }
}

/// What some kinds of people reach otherwise, those together who do so in the same way.
fn changed(before: &Policy, after: &Policy, alike: &[(Alike, Option<String>)]) -> Vec<Changed> {
    let mut changed: BTreeMap<(&'static str, String, String, String), Changed> = BTreeMap::new();
    for (index, (who, _)) in alike.iter().enumerate() {
        let caller = slice::from_ref(&who.caller);
        for one in decision_changes(before, after, caller, Seen::AtMost) {
            // Another reason for the same no is nothing that anybody feels.
            if one.before.reach == one.after.reach {
                continue;
            }
            let key = (
                one.kind,
                one.name.clone(),
                one.before.answer.clone(),
                one.after.answer.clone(),
            );
            let of = changed.entry(key).or_insert_with(|| Changed {
                kind: one.kind,
                name: one.name,
                before: one.before,
                after: one.after,
                who: Vec::new(),
            });
            of.who.push(index);
        }
    }
    changed.into_values().collect()
}

#[cfg(test)]
mod tests;
