use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use authz::{DEFINITION_BYTES_MAX, Entry, ListKind, fingerprint, is_comparable, judged_members};
use http::HeaderMap;
use tokio::sync::Notify;
use wire::mcp::definition::Definition;
use wire::mcp::headers::HeaderRefusal;
use wire::mcp::param_header::{MirroredParam, check_param_headers, mirrored_params};
use wire::mcp::{Json, Object};

/// How many definitions of one kind are remembered; as many as an inventory holds.
const REMEMBERED_MAX: usize = 10_000;
/// How much of one kind is remembered, as JSON.
const REMEMBERED_BYTES_MAX: usize = 8 * 1024 * 1024;
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What an MCP server's lists look like while they pass. A definition that is not the accepted one is a reason to look at the
/// upstream again.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Those that were found to be the accepted ones, by kind: comparing is a tenth of the work of hashing.
    known: [RwLock<Known>; ListKind::DEFINED.len()],
    changed: Arc<Notify>,
    warned_at: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Known {
    by_identity: HashMap<String, Accepted>,
    bytes: usize,
}

#[derive(Debug)]
struct Accepted {
    fingerprint: String,
    /// What of it is judged: the rest is of any size, and nobody's business here.
    judged: Object,
    /// How long that is, as JSON.
    bytes: usize,
    /// The arguments that stand in headers too, of a tool.
    mirrored: Vec<MirroredParam>,
}

impl Known {
    fn has(&self, identity: &str, expected: &str, element: &Json) -> bool {
        let known = self.by_identity.get(identity);
        known.is_some_and(|known| {
            let members = known.judged.iter();
            known.fingerprint == *expected
                && members
                    .map(|(name, value)| (name.as_str(), value))
                    .eq(judged_members(element))
        })
    }

    /// Remembers what fits; the others are hashed each time.
    fn remember(&mut self, identity: &str, expected: &str, element: &Json) {
        let judged = judged_members(element);
        let judged: Object = judged.map(|(name, value)| (name, value.clone())).collect();
        let bytes = Json::Object(judged.clone()).to_text().len();
        if bytes > DEFINITION_BYTES_MAX {
            return;
        }
        // Another definition of it was the accepted one before.
        let before = self.by_identity.remove(identity);
        self.bytes -= before.map_or(0, |before| before.bytes);
        if self.by_identity.len() >= REMEMBERED_MAX || self.bytes + bytes > REMEMBERED_BYTES_MAX {
            *self = Self::default();
        }
        self.bytes += bytes;
        let schema = judged.get("inputSchema");
        let accepted = Accepted {
            fingerprint: expected.to_owned(),
            // Marks that break a rule mark nothing.
            mirrored: schema.and_then(mirrored_params).unwrap_or_default(),
            judged,
            bytes,
        };
        self.by_identity.insert(identity.to_owned(), accepted);
    }
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
            .has(identity, expected, element);
        if is_known {
            return true;
        }
        let found = Definition::read(kind, element.clone());
        let is_accepted = found.is_some_and(|found| fingerprint(&found) == *expected);
        if is_accepted {
            let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
            known.remember(identity, expected, element);
        }
        is_accepted
    }

    /// Holds the headers of a call of `tool` against its arguments, where the accepted definition of it was seen here.
    ///
    /// # Errors
    /// The first header that does not say what its argument says.
    pub(crate) fn check_params(
        &self,
        tool: &str,
        entry: &Entry,
        headers: &HeaderMap,
        arguments: Option<&Object>,
    ) -> Result<(), HeaderRefusal> {
        let known = self.known[ListKind::Tools as usize]
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        match known.by_identity.get(tool) {
            Some(known) if entry.fingerprint.as_ref() == Some(&known.fingerprint) => {
                check_param_headers(headers, &known.mirrored, arguments)
            }
            _ => Ok(()),
        }
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
    fn what_is_remembered_of_accepted_definitions_has_an_end_and_all_of_them_pass() {
        let definitions = Definitions::default();
        let remembered = || {
            let known = definitions.known[ListKind::Tools as usize].read().unwrap();
            (known.by_identity.len(), known.bytes)
        };
        let passes = |text: &str| {
            let json = tool(text);
            let read = Definition::read(ListKind::Tools, json.clone()).unwrap();
            let entry = Entry::of(&read, Requirement::Public);
            assert!(definitions.is_accepted(ListKind::Tools, &entry, &json));
        };
        // Of what is not judged nothing stays, and it may be another one each time.
        let icons = "x".repeat(1_000_000);
        passes(&format!(
            r#"{{"name":"a","icons":["{icons}"],"_meta":{{}}}}"#
        ));
        assert_eq!(remembered(), (1, r#"{"name":"a"}"#.len()));
        passes(r#"{"name":"a","_meta":{"x":1}}"#);
        let words = "x".repeat(DEFINITION_BYTES_MAX);
        passes(&format!(r#"{{"name":"b","description":"{words}"}}"#));
        assert_eq!(remembered().0, 1, "too long to keep");
        let words = &words[..DEFINITION_BYTES_MAX / 2];
        for number in 0..300 {
            passes(&format!(
                r#"{{"name":"t{number}","description":"{words}"}}"#
            ));
            assert!(remembered().1 <= REMEMBERED_BYTES_MAX);
        }
        assert!(remembered().0 > 40, "it begins anew when it is full");
        // Of one that is accepted anew each time, the last one counts.
        let (count, all) = remembered();
        passes(&format!(r#"{{"name":"t299","description":"{words}!"}}"#));
        assert_eq!(remembered(), (count, all + 1));
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
