use authz::{ListKind, Policy};
use domain::{DefinitionState, StoredDefinition};

/// How much is kept of the definitions of one server, in bytes: how many there are, and how long, it chooses itself.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many definitions one look forgets; the next one goes on.
const FORGOTTEN_MAX: usize = 2000;

/// How much of a server may be kept yet. What was decided and is past goes for it, the oldest first; what is accepted now and
/// what waits never does.
pub(super) struct Room<'a> {
    /// Less than nothing, when more is kept than may be.
    free: i64,
    /// What may be forgotten, what goes first at the end.
    past: Vec<&'a StoredDefinition>,
    past_bytes: i64,
    forgotten: Vec<&'a StoredDefinition>,
}

impl<'a> Room<'a> {
    /// What is left beside `kept`.
    pub(super) fn beside(kept: &'a [StoredDefinition], policy: &Policy) -> Self {
        let is_past = |one: &&StoredDefinition| {
            let entry = policy.entries(one.kind).get(&one.identity);
            let accepted = entry.and_then(|entry| entry.fingerprint.as_ref());
            match one.state {
                DefinitionState::Pending => false,
                DefinitionState::Accepted => accepted != Some(&one.fingerprint),
                // While it is listed, the no to it counts.
                DefinitionState::Rejected => one.unlisted_at.is_some(),
            }
        };
        let mut past: Vec<_> = kept.iter().filter(is_past).collect();
        past.sort_by_key(|one| std::cmp::Reverse((one.decided_at, one.seen_at)));
        Self {
            free: i64::try_from(KEPT_BYTES_MAX).unwrap_or(i64::MAX)
                - kept.iter().map(bytes).sum::<i64>(),
            past_bytes: past.iter().copied().map(bytes).sum(),
            past,
            forgotten: Vec::new(),
        }
    }

    /// Takes room for `new`, in the place of what is kept of the same definition, and of what waited of its element; false
    /// when there is none.
    pub(super) fn take(
        &mut self,
        new: &StoredDefinition,
        same: Option<&StoredDefinition>,
        waited: Option<&StoredDefinition>,
    ) -> bool {
        // One that was accepted once stays as that.
        let waited = waited.filter(|one| one.decided_at.is_none());
        self.free += waited.map_or(0, bytes);
        let more = bytes(new) - same.map_or(0, bytes);
        if more <= 0 {
            return true;
        }
        if self.free + self.past_bytes < more {
            return false;
        }
        while self.free < more && self.forgotten.len() < FORGOTTEN_MAX {
            let Some(oldest) = self.past.pop() else {
                break;
            };
            self.free += bytes(oldest);
            self.past_bytes -= bytes(oldest);
            self.forgotten.push(oldest);
        }
        if self.free < more {
            return false;
        }
        self.free -= more;
        true
    }

    /// What is to be forgotten for it.
    pub(super) fn into_forgotten(self) -> Vec<(ListKind, String, String)> {
        let forgotten = self.forgotten.into_iter();
        forgotten
            .map(|one| (one.kind, one.identity.clone(), one.fingerprint.clone()))
            .collect()
    }
}

fn bytes(one: &StoredDefinition) -> i64 {
    i64::try_from(one.identity.len() + one.text_bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use authz::{Entry, Inventory, Requirement, fingerprint};
    use base::Timestamp;
    use wire::mcp::Json;
    use wire::mcp::definition::Definition;

    use super::super::seen;
    use super::*;

    fn tool(name: &str, words: &str) -> Definition {
        let json = Json::object([
            ("name", Json::from(name)),
            ("description", Json::from(words)),
        ]);
        Definition::read(ListKind::Tools, json).unwrap()
    }

    /// Kept since `at`, as a list without texts says it.
    fn kept(tool: &Definition, state: DefinitionState, at: i64, bytes: usize) -> StoredDefinition {
        StoredDefinition {
            definition: None,
            text_bytes: bytes,
            ..StoredDefinition::seen(tool, state, Timestamp::from_unix_ms(at))
        }
    }

    fn policy(accepted: &[&Definition]) -> Policy {
        let entries = accepted.iter().map(|tool| {
            let entry = Entry::of(tool, Requirement::Public);
            (tool.identity().to_owned(), entry)
        });
        Policy {
            tools: entries.collect(),
            ..Policy::default()
        }
    }

    #[test]
    fn what_waits_goes_for_nothing_and_what_finds_no_room_is_not_kept() {
        use DefinitionState::{Accepted, Pending};
        let (get, old, new) = (
            tool("get", "Gets."),
            tool("old", "Old."),
            tool("new", "New."),
        );
        let policy = policy(&[&get]);
        let listed = Inventory {
            tools: vec![get.clone(), new.clone(), old.clone()],
            ..Inventory::default()
        };
        for (waiting, is_kept) in [(KEPT_BYTES_MAX - 100, true), (KEPT_BYTES_MAX, false)] {
            let all = [
                kept(&get, Accepted, 1, 10),
                kept(&old, Pending, 2, waiting - 20),
            ];
            let (seen, refused) = seen(&all, &policy, &listed, Timestamp::from_unix_ms(9));
            assert_eq!(refused, usize::from(!is_kept));
            assert_eq!((seen.forgotten.len(), seen.settled.len()), (0, 0));
            let written: Vec<&str> = seen.kept.iter().map(|one| one.identity.as_str()).collect();
            assert_eq!(written, if is_kept { vec!["new"] } else { Vec::new() });
            assert!(seen.kept.iter().all(|one| one.definition.is_some()));
        }
    }

    #[test]
    fn what_takes_the_place_of_what_waited_needs_no_more_room_than_that_had() {
        let (first, second) = (tool("new", "One."), tool("new", "Two."));
        let mut listed = Inventory::default();
        listed.tools.push(second.clone());
        let full = [kept(&first, DefinitionState::Pending, 1, KEPT_BYTES_MAX)];
        let (seen, refused) = seen(
            &full,
            &Policy::default(),
            &listed,
            Timestamp::from_unix_ms(9),
        );
        assert_eq!((refused, seen.kept.len()), (0, 1));
        assert_eq!(seen.kept[0].fingerprint, fingerprint(&second));
    }

    #[test]
    fn the_oldest_decisions_go_first_and_what_is_accepted_now_is_kept_by_its_name_at_least() {
        use DefinitionState::{Accepted, Rejected};
        let get = |words: &str| tool("get", words);
        let now = get("Five.");
        let policy = policy(&[&now]);
        let listed = Inventory {
            tools: vec![now.clone()],
            ..Inventory::default()
        };
        let gone = |one: StoredDefinition| StoredDefinition {
            unlisted_at: Some(Timestamp::from_unix_ms(8)),
            ..one
        };
        let half = KEPT_BYTES_MAX / 2;
        let all = [
            gone(kept(&get("One."), Accepted, 1, half)),
            gone(kept(&get("Two."), Rejected, 2, half - 20)),
            // It is listed: the no counts.
            kept(&tool("no", "No."), Rejected, 0, 10),
        ];
        let (looked, refused) = seen(&all, &policy, &listed, Timestamp::from_unix_ms(9));
        assert_eq!((refused, looked.kept.len()), (0, 1));
        assert!(looked.kept[0].definition.is_some());
        let one = (ListKind::Tools, "get".to_owned(), fingerprint(&get("One.")));
        assert_eq!(looked.forgotten, [one]);

        let full = [kept(&tool("no", "No."), Rejected, 0, KEPT_BYTES_MAX)];
        let (looked, refused) = seen(&full, &policy, &listed, Timestamp::from_unix_ms(9));
        assert_eq!((refused, looked.kept.len()), (0, 1));
        assert_eq!(
            (&looked.kept[0].definition, looked.forgotten.len()),
            (&None, 0)
        );
    }
}
