use std::collections::BTreeMap;

use base::Timestamp;
use domain::CallRecord;

/// How many different lines a report has of each kind; what a caller makes up is no reason to grow.
const LINES_MAX: usize = 10_000;

/// What would have been refused, summed up in three ways.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) tools: Lines<Called>,
    pub(super) clients: Lines<Whose>,
    pub(super) people: Lines<Whose>,
    pub(super) all: u64,
    /// Those that more scope would have let through.
    pub(super) for_want_of_scope: u64,
    /// Those that had room a moment later.
    pub(super) too_often: u64,
}

/// What was called, and why it would have been refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) method: String,
    pub(super) name: Option<String>,
    pub(super) cause: String,
    pub(super) rule: String,
}

/// A client or a subject, and why its calls would have been refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    pub(super) id: String,
    pub(super) cause: String,
}

/// Sums, by what they are of.
#[derive(Debug)]
pub(super) struct Lines<K> {
    of: BTreeMap<K, Line>,
    /// Calls that found no line any more.
    pub(super) left_out: u64,
}

/// How many calls there were, and when the last one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) calls: u64,
    pub(super) last: Timestamp,
}

impl<K> Default for Lines<K> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            left_out: 0,
        }
    }
}

impl<K: Ord> Lines<K> {
    fn add(&mut self, key: K, at: Timestamp) {
        if let Some(line) = self.of.get_mut(&key) {
            line.calls += 1;
            line.last = line.last.max(at);
        } else if self.of.len() < LINES_MAX {
            self.of.insert(key, Line { calls: 1, last: at });
        } else {
            self.left_out += 1;
        }
    }

    /// Those with most calls first.
    pub(super) fn sorted(&self) -> Vec<(&K, Line)> {
        let mut lines: Vec<_> = self.of.iter().map(|(key, line)| (key, *line)).collect();
        lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.calls));
        lines
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }
}

impl Tally {
    /// Adds a call that would have been refused.
    pub(super) fn add(&mut self, call: CallRecord) {
        let cause = call.cause.unwrap_or_default();
        self.all += 1;
        self.for_want_of_scope += u64::from(cause == sdk::RefusalCause::InsufficientScope.as_str());
        self.too_often += u64::from(cause == sdk::RefusalCause::RateLimited.as_str());
        let whose = |id: Option<String>| Whose {
            id: id.unwrap_or_default(),
            cause: cause.clone(),
        };
        self.clients.add(whose(call.client), call.at);
        self.people.add(whose(call.subject), call.at);
        let called = Called {
            method: call.method,
            name: call.name,
            cause,
            rule: call.rule.unwrap_or_default(),
        };
        self.tools.add(called, call.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_an_end_and_what_is_known_goes_on_to_count() {
        let at = Timestamp::from_unix_ms;
        let mut lines = Lines::default();
        for number in 0..LINES_MAX + 5 {
            lines.add(number, at(2));
        }
        lines.add(7, at(5));
        lines.add(7, at(1));
        assert_eq!((lines.len(), lines.left_out), (LINES_MAX, 5));
        let expected = Line {
            calls: 3,
            last: at(5),
        };
        assert_eq!(lines.sorted()[0], (&7, expected));
    }
}
