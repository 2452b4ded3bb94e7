use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authz::View;
use sdk::Principal;

/// How many principals are remembered of one MCP server, in each of two generations; one takes a few hundred bytes.
const LEFT_MAX: usize = 8 * 1024;

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

/// What all streams knew that one principal left and did not open again; which of them comes back, nobody can say.
#[derive(Debug, Clone, Copy)]
struct Left {
    known: View,
    streams: u32,
}

impl LeftViews {
    /// A stream of `principal` begins: what its client knew when it left one, if it did.
    pub(crate) fn take(&self, principal: &Principal) -> Option<View> {
        let key = key(principal);
        let mut generations = self.generations();
        let mut left = generations.remove(&key)?;
        left.streams -= 1;
        if left.streams > 0 {
            generations.insert(key, left);
        }
        Some(left.known)
    }

    /// A stream of `principal` ended, whose client knows this.
    pub(crate) fn leave(&self, principal: &Principal, known: View) {
        let key = key(principal);
        let mut generations = self.generations();
        let left = match generations.remove(&key) {
            Some(other) => Left {
                known: other.known.common(&known),
                streams: other.streams.saturating_add(1),
            },
            None => Left { known, streams: 1 },
        };
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
        assert_eq!(left.take(&of("usr_ann")), None);
        left.leave(&of("usr_ann"), view("a"));
        assert_eq!(left.take(&of("usr_bob")), None);
        assert_eq!(left.take(&of("usr_ann")), Some(view("a")));
        assert_eq!(left.take(&of("usr_ann")), None);
    }

    #[test]
    fn of_two_streams_that_knew_different_lists_each_is_told_and_of_two_that_knew_the_same_none() {
        let left = LeftViews::default();
        let ann = of("usr_ann");
        for (one, other, is_told) in [("a", "b", true), ("b", "b", false)] {
            left.leave(&ann, view(one));
            left.leave(&ann, view(other));
            for _ in 0..2 {
                let known = left.take(&ann).unwrap();
                let changes = view("b").changed_since(&known);
                assert_eq!(!changes.is_empty(), is_told);
            }
            assert_eq!(left.take(&ann), None);
        }
    }

    #[test]
    fn a_flood_of_callers_makes_it_forget_and_not_grow() {
        let left = LeftViews::default();
        left.leave(&of("usr_ann"), view("a"));
        for index in 0..LEFT_MAX {
            left.leave(&of(&format!("usr_{index}")), view("a"));
        }
        assert_eq!(left.take(&of("usr_ann")), Some(view("a")), "she is old");
        for index in 0..LEFT_MAX * 3 {
            left.leave(&of(&format!("usr_new_{index}")), view("a"));
        }
        assert_eq!(left.take(&of("usr_0")), None);
        let generations = left.generations();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept <= 2 * LEFT_MAX, "{kept}");
    }
}
