use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authz::View;
use sdk::Principal;

/// How many principals are remembered of one MCP server, in each of two generations; one takes a few hundred bytes.
const LEFT_MAX: usize = 8 * 1024;

/// How many streams of one principal, the last ones that it left.
const STREAMS_MAX: usize = 4;

/// What callers knew of the lists when their streams ended: a client that comes back with a new token, or after its network was
/// gone, is told what changed meanwhile.
///
/// Whoever stays away for long is forgotten when others need the room.
#[derive(Debug, Default)]
pub(crate) struct LeftViews {
    generations: Mutex<Generations>,
}

/// A person and a client: the same for a token that was refreshed.
type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Left>,
    old: HashMap<Key, Left>,
}

/// What each of the streams knew that one principal left and did not open again, the last one left at the end; which of them
/// comes back, nobody can say.
type Left = Vec<View>;

impl LeftViews {
    /// A stream of `principal` begins, which sees `now`: what its client knew when it left one, if it did. Of several one that
    /// knew something else, since being told once too often costs less than not at all.
    pub(crate) fn take(&self, principal: &Principal, now: View) -> Option<View> {
        let key = key(principal);
        let mut generations = self.generations();
        let mut left = generations.remove(&key)?;
        let other = left.iter().position(|known| *known != now);
        let known = left.remove(other.unwrap_or(left.len() - 1));
        if !left.is_empty() {
            generations.insert(key, left);
        }
        Some(known)
    }

    /// A stream of `principal` ended, whose client knows this.
    pub(crate) fn leave(&self, principal: &Principal, known: View) {
        let key = key(principal);
        let mut generations = self.generations();
        let mut left = generations.remove(&key).unwrap_or_default();
        if left.len() >= STREAMS_MAX {
            left.remove(0);
        }
        left.push(known);
        generations.insert(key, left);
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(principal: &Principal) -> Key {
    (
        Arc::clone(&principal.subject),
        Arc::clone(&principal.client),
    )
}

impl Generations {
    fn remove(&mut self, key: &Key) -> Option<Left> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    fn insert(&mut self, key: Key, left: Left) {
        if self.young.len() >= LEFT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, left);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use authz::{Caller, Entry, ListStepUp, Policy, Requirement};

    use super::*;

    fn of(subject: &str) -> Principal {
        Principal {
            issuer: "https://a.example/servers/todo".into(),
            subject: subject.into(),
            client: "cli_1".into(),
        }
    }

    /// Of a server with this tool, which everybody sees.
    fn view(tool: &str) -> View {
        let entry = Entry {
            requirement: Requirement::Public,
            ..Entry::default()
        };
        let policy = Policy {
            tools: [(tool.to_owned(), entry)].into(),
            ..Policy::default()
        };
        View::of(&policy, &Caller::default(), ListStepUp::Auto)
    }

    #[test]
    fn each_stream_that_was_left_is_found_once_and_by_nobody_else() {
        let left = LeftViews::default();
        assert_eq!(left.take(&of("usr_ann"), view("a")), None);
        left.leave(&of("usr_ann"), view("a"));
        assert_eq!(left.take(&of("usr_bob"), view("a")), None);
        assert_eq!(left.take(&of("usr_ann"), view("a")), Some(view("a")));
        assert_eq!(left.take(&of("usr_ann"), view("a")), None);
    }

    #[test]
    fn of_several_streams_those_that_knew_other_lists_are_told_first_and_then_no_more() {
        let left = LeftViews::default();
        let ann = of("usr_ann");
        let is_told = || {
            let known = left.take(&ann, view("b"))?;
            Some(!view("b").changed_since(&known).is_empty())
        };
        for (one, other, told) in [("a", "b", true), ("b", "a", true), ("b", "b", false)] {
            left.leave(&ann, view(one));
            left.leave(&ann, view(other));
            assert_eq!(is_told(), Some(told));
            assert_eq!(is_told(), Some(false));
            assert_eq!(is_told(), None);
        }
        // One that never comes back costs one telling, not one at each start.
        left.leave(&ann, view("a"));
        left.leave(&ann, view("b"));
        for told in [true, false, false] {
            assert_eq!(is_told(), Some(told));
            left.leave(&ann, view("b"));
        }
    }

    #[test]
    fn of_one_principal_only_the_last_streams_are_remembered() {
        let left = LeftViews::default();
        let ann = of("usr_ann");
        for _ in 0..STREAMS_MAX + 3 {
            left.leave(&ann, view("a"));
        }
        let found = std::iter::from_fn(|| left.take(&ann, view("a")));
        assert_eq!(found.count(), STREAMS_MAX);
    }

    #[test]
    fn a_flood_of_callers_makes_it_forget_and_not_grow() {
        let left = LeftViews::default();
        left.leave(&of("usr_ann"), view("a"));
        for index in 0..LEFT_MAX {
            left.leave(&of(&format!("usr_{index}")), view("a"));
        }
        assert_eq!(
            left.take(&of("usr_ann"), view("a")),
            Some(view("a")),
            "she is old"
        );
        for index in 0..LEFT_MAX * 3 {
            left.leave(&of(&format!("usr_new_{index}")), view("a"));
        }
        assert_eq!(left.take(&of("usr_0"), view("a")), None);
        let generations = left.generations();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept <= 2 * LEFT_MAX, "{kept}");
    }
}
