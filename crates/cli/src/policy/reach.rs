//! Who would reach what otherwise under another policy.

use std::collections::BTreeMap;

use authz::{Answer, Caller, Policy, Reach, Seen, decision_changes};
use domain::McpServer;
use serde_json::{Value, json};
use store::{Store, StoreError};

use super::standings::{Alike, Standings};
use super::through::Through;
use crate::terminal::{Terminal, plain};

/// As many elements are told; a program is told all.
const TOLD_MAX: usize = 20;

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
    changed: Vec<Changed>,
    elements: usize,
}

impl Reached {
    /// For people who approve everything, through a client that registered itself and through each that a rule names.
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
        let throughs = Through::named_in(&policies, store, slug).await?;
        let mut alike = Vec::new();
        for through in &throughs {
            let many = throughs.len() > 1;
            alike.extend(standings.alike(&policies, through).into_iter().map(|one| {
                let words = Some(through.words.clone()).filter(|_| many);
                (one, words)
            }));
        }
        let callers: Vec<Caller> = alike.iter().map(|(one, _)| one.caller.clone()).collect();
        let mut changed: BTreeMap<(&'static str, String, String, String), Changed> =
            BTreeMap::new();
        for one in decision_changes(before, after, &callers, Seen::AtMost) {
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
            of.who.push(one.caller);
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
        Ok(Self {
            changed: changed.into_values().collect(),
            alike,
            elements,
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
        self.changed.iter().map(of).sum()
    }

    fn callers(&self) -> usize {
        let callers = self.alike.iter().map(|(one, _)| one.people.len().max(1));
        callers.sum()
    }

    /// In one line, when there is anything.
    pub(crate) fn summary(&self) -> Option<String> {
        (!self.changed.is_empty()).then(|| {
            format!(
                "who reaches what: {} of {} pairs of a person and a tool or the like change",
                self.pairs(),
                self.callers() * self.elements
            )
        })
    }

    /// For a person.
    pub(super) fn show(&self, out: &Terminal) {
        let Some(summary) = self.summary() else {
            out.line("who reaches what: nothing changes for anybody");
            return;
        };
        out.line(out.paint.bold(summary));
        for one in self.changed.iter().take(TOLD_MAX) {
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
        if self.changed.len() > TOLD_MAX {
            let more = self.changed.len() - TOLD_MAX;
            out.line(out.paint.dim(format!("  and {more} more; --json has all")));
        }
    }

    /// For a program.
    pub(super) fn json(&self) -> Value {
        let changed = self.changed.iter().map(|one| {
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
            "pairs": if self.changed.is_empty() { 0 } else { self.pairs() },
            "of": self.callers() * self.elements,
            "changed": changed.collect::<Vec<_>>(),
        })
    }
}
