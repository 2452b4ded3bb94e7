//! Calls that people made, judged again under another policy.

use std::collections::HashMap;
use std::time::Duration;

use authz::{Answer, ListKind, Policy, Reach, answer};
use base::{Clock as _, SystemClock, Timestamp};
use domain::{ClientId, McpServer};
use serde_json::{Value, json};
use wire::oauth::ScopeSet;

use super::standings::Standings;
use super::through::Through;
use crate::maintenance::{Maintenance, date, moment};
use crate::moving::counted;
use crate::terminal::{Terminal, plain};

/// How far back calls are looked for.
const LOOKED_BACK: Duration = Duration::from_secs(30 * 24 * 3600);
/// As many kinds of calls are told; a program is told all.
const TOLD_MAX: usize = 10;

/// What would become of recorded calls.
pub(super) struct Replay {
    since: Timestamp,
    calls: i64,
    /// Calls of kinds that are too many to be judged.
    rarer: i64,
    /// Calls to tools whose conditions are others: they are judged as if what was sent met them.
    conditions: i64,
    /// Whether rate limits are others: how often people called is not held against them.
    rate_limits: bool,
    changed: Vec<Replayed>,
}

/// What the live grants of one subject through one client have.
#[derive(Default)]
struct Held {
    scopes: ScopeSet,
    /// Whether one of them proves that the client is the one of its document. That it proves so with a key is not known here.
    proven: bool,
}

/// Calls of one tool by one subject through one client that would be answered otherwise.
struct Replayed {
    subject: String,
    who: String,
    client: String,
    client_name: String,
    tool: String,
    count: i64,
    before: Answer,
    after: Answer,
}

impl Maintenance {
    /// Judges what was called in the last thirty days again, with the roles and groups that people have today.
    pub(super) async fn replay(
        &self,
        server: &McpServer,
        after: &Policy,
        standings: &Standings,
    ) -> anyhow::Result<Replay> {
        let now = SystemClock.now();
        let since = now.before(LOOKED_BACK);
        let activity = self.open_activity().await?;
        let recorded = activity.count_recorded_calls(&server.slug, since).await;
        activity.close().await;
        let recorded = recorded?;
        let mut held: HashMap<(String, String), Held> = HashMap::new();
        for one in self.store().list_held_scopes(&server.slug, now).await? {
            let client = ClientId::from_text(one.client.as_str());
            let uri = one.redirect_uri.as_deref();
            let of = held.entry((one.subject, one.client)).or_default();
            of.scopes = of.scopes.union(&one.scopes);
            of.proven |= uri.is_some_and(|uri| oauth::is_answered_at_home(&client, uri));
        }
        let mut clients: HashMap<&str, Through> = HashMap::new();
        for call in &recorded.calls {
            if !clients.contains_key(call.client.as_str()) {
                let through = Through::of(self.store(), &server.slug, &call.client).await?;
                clients.insert(&call.client, through);
            }
        }
        let before = &server.policy;
        let mut replay = Replay {
            since: recorded.cut_at.unwrap_or(since),
            calls: 0,
            rarer: recorded.rarer,
            conditions: 0,
            rate_limits: before.rate_limits != after.rate_limits,
            changed: Vec::new(),
        };
        for call in &recorded.calls {
            replay.calls += call.count;
            let through = &clients[call.client.as_str()];
            let mut caller = standings.caller(&call.subject, through);
            let key = (call.subject.clone(), call.client.clone());
            let of_machine = through.service_scopes.as_ref();
            let of_machine = of_machine.filter(|_| call.subject == call.client);
            let held = held.get(&key);
            caller.client_proven &= held.is_none_or(|held| held.proven);
            caller.scopes = match held.map(|held| &held.scopes).or(of_machine) {
                Some(scopes) => scopes.clone(),
                // Whoever came with a grant that is over would sign in again.
                None => caller.at_most(before).scopes,
            };
            if other_conditions(before, after, &call.tool) {
                replay.conditions += call.count;
            }
            let judged = |policy| answer(policy, &caller, ListKind::Tools, &call.tool);
            let (old, new) = (judged(before), judged(after));
            if old.reach != new.reach {
                replay.changed.push(Replayed {
                    who: standings.name(&call.subject).to_owned(),
                    subject: call.subject.clone(),
                    client_name: through.words.clone(),
                    client: call.client.clone(),
                    tool: call.tool.clone(),
                    count: call.count,
                    before: old,
                    after: new,
                });
            }
        }
        Ok(replay)
    }
}

/// Whether `after` asks something else of the arguments of `tool`. One that it does not have needs no arguments to be denied.
pub(super) fn other_conditions(before: &Policy, after: &Policy, tool: &str) -> bool {
    let of = |policy: &Policy| policy.tools.get(tool).map(|tool| tool.conditions.clone());
    of(after).is_some_and(|conditions| conditions != of(before).unwrap_or_default())
}

impl Replay {
    /// How many calls become such ones.
    fn count(&self, is: impl Fn(Reach, Reach) -> bool) -> i64 {
        let changed = self.changed.iter();
        changed
            .filter(|one| is(one.before.reach, one.after.reach))
            .map(|one| one.count)
            .sum()
    }

    /// For a person.
    pub(super) fn show(&self, mode_note: Option<&str>, out: &Terminal) {
        let of = format!("recorded calls since {}: {}", date(self.since), self.calls);
        if self.changed.is_empty() {
            let same = match self.calls {
                0 => "none to judge again",
                _ => "each would be answered as now",
            };
            out.line(format!("{of}; {same}"));
        } else {
            let parts = [
                (self.count(|_, new| new == Reach::Denied), "would be denied"),
                (
                    self.count(|old, new| old == Reach::Allowed && new == Reach::IfAsked),
                    "would be asked for more scope first",
                ),
                (
                    self.count(|old, new| new > old),
                    "would be allowed that are not now",
                ),
            ];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<String> = parts
                .map(|(count, words)| format!("{count} {words}"))
                .collect();
            out.line(out.paint.bold(format!("{of}; {}", parts.join(", "))));
        }
        for one in self.changed.iter().take(TOLD_MAX) {
            let line = format!(
                "{:>7}  {}  {}  {} → {}  through {}",
                one.count,
                plain(&one.who, 60),
                one.tool.escape_debug(),
                one.before.answer,
                one.after.answer,
                plain(&one.client_name, 60),
            );
            out.line(plain(&line, 300));
        }
        if self.changed.len() > TOLD_MAX {
            let more = self.changed.len() - TOLD_MAX;
            out.line(
                out.paint
                    .dim(format!("  and {more} more kinds of calls; --json has all")),
            );
        }
        if self.rarer > 0 {
            out.line(out.paint.warn(format!(
                "  {} of rarer kinds were not judged: there are too many people, clients and tools to tell apart",
                counted(self.rarer, "more call")
            )));
        }
        if self.conditions > 0 {
            out.line(out.paint.warn(format!(
                "  {} to tools whose conditions change; arguments were not judged again, so nobody knows how these would be answered",
                counted(self.conditions, "call")
            )));
        }
        if self.rate_limits {
            out.line(out.paint.warn(
                "  how often people called was not held against the rate limits that change",
            ));
        }
        if let Some(note) = mode_note {
            out.line(out.paint.warn(format!("  {note}")));
        }
    }

    /// For a program.
    pub(super) fn json(&self) -> Value {
        let changed = self.changed.iter().map(|one| {
            json!({
                "count": one.count,
                "subject": one.subject,
                "client": one.client,
                "tool": one.tool,
                "before": one.before,
                "after": one.after,
            })
        });
        json!({
            "since": moment(self.since),
            "calls": self.calls,
            "not_judged": self.rarer,
            "denied": self.count(|_, new| new == Reach::Denied),
            "asked": self.count(|old, new| old == Reach::Allowed && new == Reach::IfAsked),
            "allowed": self.count(|old, new| new > old),
            "with_changed_conditions": self.conditions,
            "rate_limits_change": self.rate_limits,
            "changed": changed.collect::<Vec<_>>(),
        })
    }
}
