use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use authz::{Entry, ListKind, fingerprint, is_comparable};
use tokio::sync::Notify;
use wire::mcp::Json;
use wire::mcp::definition::Definition;

/// How many definitions of one kind are remembered; as many as an inventory holds.
const REMEMBERED_MAX: usize = 10_000;
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What an MCP server's lists look like while they pass. A definition that is not the accepted one is a reason to look at the
/// upstream again.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Those that were found to be the accepted ones, by kind: comparing is a tenth of the work of hashing.
    known: [RwLock<HashMap<String, Accepted>>; ListKind::ALL.len()],
    changed: Arc<Notify>,
    warned_at: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Accepted {
    fingerprint: String,
    definition: Json,
}

impl Definitions {
    /// Whether `element` is defined as it was when somebody accepted it; what has no fingerprint yet is, and what has one
    /// that an earlier release made is.
    pub(crate) fn is_accepted(&self, kind: ListKind, entry: &Entry, element: &Json) -> bool {
        let expected = entry.fingerprint.as_ref();
        let Some(expected) = expected.filter(|expected| is_comparable(expected)) else {
            return true;
        };
        let Some(identity) = kind.identity(element) else {
            return false;
        };
        let known = &self.known[kind as usize];
        let is_known = known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(identity)
            .is_some_and(|known| known.fingerprint == *expected && known.definition == *element);
        if is_known {
            return true;
        }
        let found = Definition::read(kind, element.clone());
        let is_accepted = found.is_some_and(|found| fingerprint(&found) == *expected);
        if is_accepted {
            let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
            let accepted = Accepted {
                fingerprint: expected.clone(),
                definition: element.clone(),
            };
            known.insert(identity.to_owned(), accepted);
        }
        is_accepted
    }

    /// Whether the log is told that a list is not as it was accepted: everybody who lists would tell it.
    pub(crate) fn may_warn(&self) -> bool {
        let mut warned_at = self
            .warned_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may = warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if may {
            *warned_at = Some(Instant::now());
        }
        may
    }

    /// Says that the upstream should be looked at again.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }
}

/// Who waits for changes, by MCP server: it outlives the settings of one.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    by_slug: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Changes {
    /// Is notified each time that something about this server's lists is not as it was. One notice is kept.
    pub(crate) fn of(&self, slug: &str) -> Arc<Notify> {
        let mut by_slug = self.by_slug.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_slug.entry(slug.to_owned()).or_default())
    }

    pub(crate) fn definitions(&self, slug: &str) -> Definitions {
        Definitions {
            known: Default::default(),
            warned_at: Mutex::default(),
            changed: self.of(slug),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use authz::Requirement;
    use wire::mcp::{Limits, parse_strict};

    use super::*;

    fn tool(text: &str) -> Json {
        parse_strict(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn only_the_accepted_definition_passes_however_often_it_is_asked() {
        let accepted = tool(r#"{"name":"get","description":"One"}"#);
        let read = Definition::read(ListKind::Tools, accepted.clone()).unwrap();
        let entry = Entry::of(&read, Requirement::Public);
        let definitions = Definitions::default();
        assert!(definitions.may_warn());
        assert!(!definitions.may_warn(), "the log has heard of it");
        let passes =
            |json: &Json, entry: &Entry| definitions.is_accepted(ListKind::Tools, entry, json);
        let other = tool(r#"{"name":"get","description":"Two"}"#);
        for _ in 0..2 {
            assert!(passes(&accepted, &entry));
            assert!(!passes(&other, &entry));
            assert!(passes(
                &tool(r#"{"description":"One","name":"get","_meta":{}}"#),
                &entry
            ));
        }
        // What was the accepted one is not any more.
        let next = Definition::read(ListKind::Tools, other.clone()).unwrap();
        let next = Entry::of(&next, Requirement::Public);
        assert!(passes(&other, &next));
        assert!(!passes(&accepted, &next));
        let next_fingerprint = next.fingerprint.clone();
        let unknown = Entry {
            fingerprint: None,
            ..next
        };
        assert!(passes(&accepted, &unknown));
        // Nor is it, when an authority of an earlier release said how it was.
        let marked = next_fingerprint.as_deref().unwrap();
        let earlier = Entry {
            fingerprint: marked.strip_prefix("2:").map(str::to_owned),
            ..unknown
        };
        assert!(passes(&accepted, &earlier));
    }
}
