//! What has become of an element since a person accepted its definition.

mod compare;
mod schema;

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use wire::mcp::Json;
use wire::mcp::definition::Definition;

pub use compare::definition_changes;

/// The longest definition that is kept and compared, as JSON in bytes; how grave a change of a longer one is, nobody can tell.
pub const DEFINITION_BYTES_MAX: usize = 64 * 1024;
/// How much of a value is shown, in characters.
const SHOWN_CHARS_MAX: usize = 500;
/// Two definitions that agree in at least this part of what they say are one under two names.
const SAME_FROM: f64 = 0.8;

/// How grave a change is. What each comes from is said in decision "Drift".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing new can be said to a model or sent to the server.
    Low,
    /// Calls can carry more than they could.
    Medium,
    /// A model reads other words, or it behaves as nobody agreed to, or nobody can tell.
    High,
}

/// From which severity on a changed element is quarantined until a person approves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineFrom {
    /// Any change at all.
    Low,
    /// What is only narrower, laid out anew or gone is recorded; the rest waits.
    #[default]
    Medium,
    /// Wider schemas are recorded too.
    High,
    /// Changes are recorded and nothing more. New elements still wait until somebody maps them.
    Never,
}

impl QuarantineFrom {
    /// Whether a change of `severity` quarantines.
    pub fn reaches(self, severity: Severity) -> bool {
        match self {
            Self::Low => true,
            Self::Medium => severity >= Severity::Medium,
            Self::High => severity >= Severity::High,
            Self::Never => false,
        }
    }

    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// White space alone.
    Layout,
    /// The schema takes less than before.
    Narrowed,
    /// A hint that nobody relies on.
    Hint,
    /// The schema takes more: another argument, a looser type, a wider enum.
    Widened,
    /// Words that a model or a person reads.
    Wording,
    /// `readOnlyHint`, `destructiveHint` or `openWorldHint`: clients ask the person, or do not, because of them.
    AnnotationFlipped,
    /// What it means cannot be told.
    Unclear,
}

impl ChangeKind {
    /// How grave it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Layout | Self::Narrowed | Self::Hint => Severity::Low,
            Self::Widened => Severity::Medium,
            Self::Wording | Self::AnnotationFlipped | Self::Unclear => Severity::High,
        }
    }

    /// For people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Narrowed => "schema_narrowed",
            Self::Hint => "hint",
            Self::Widened => "schema_widened",
            Self::Wording => "wording",
            Self::AnnotationFlipped => "annotation_flipped",
            Self::Unclear => "unclear",
        }
    }
}

impl Severity {
    /// For people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One difference between two definitions of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionChange {
    /// Which kind.
    pub kind: ChangeKind,
    /// Where, as a JSON pointer (RFC 6901).
    pub path: String,
    /// What stood there, as JSON in ASCII, at most 500 characters: nothing in it is invisible.
    pub before: Option<String>,
    /// What stands there now, in the same form.
    pub after: Option<String>,
}

impl DefinitionChange {
    fn new(kind: ChangeKind, path: &str, before: Option<&Json>, after: Option<&Json>) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            before: before.map(shown),
            after: after.map(shown),
        }
    }
}

/// The gravest of `changes`.
pub fn severity(changes: &[DefinitionChange]) -> Option<Severity> {
    changes.iter().map(|change| change.kind.severity()).max()
}

/// JSON in which each character that is not plain ASCII is written as an escape.
fn shown(value: &Json) -> String {
    let mut text = String::new();
    for (index, letter) in value.to_text().chars().enumerate() {
        if index >= SHOWN_CHARS_MAX {
            text.push_str("...");
            break;
        }
        if (' '..='~').contains(&letter) {
            text.push(letter);
        } else {
            text.extend(letter.escape_unicode());
        }
    }
    text
}

/// Elements that are gone, by what they said: a new one may be one of them under another name.
#[derive(Debug, Default)]
pub struct GoneElements<'a> {
    /// With the number of their parts.
    all: Vec<(&'a Definition, usize)>,
    by_part: HashMap<String, Vec<usize>>,
}

impl<'a> GoneElements<'a> {
    /// Of these.
    pub fn of(gone: &'a [Definition]) -> Self {
        let mut found = Self::default();
        for (index, one) in gone.iter().enumerate() {
            let parts = parts(one);
            found.all.push((one, parts.len()));
            for part in parts {
                found.by_part.entry(part).or_default().push(index);
            }
        }
        found
    }

    /// The one that `new` seems to be under another name, by what the rest of it says. What says nothing of itself is like
    /// nothing.
    pub fn renamed_from(&self, new: &Definition) -> Option<&'a Definition> {
        let parts = parts(new);
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for part in &parts {
            for index in self.by_part.get(part).into_iter().flatten() {
                *shared.entry(*index).or_default() += 1;
            }
        }
        let alike = shared.into_iter().filter_map(|(index, shared)| {
            let (old, count) = self.all[index];
            let is_alike = old.kind() == new.kind()
                && shared as f64 >= SAME_FROM * (count + parts.len() - shared) as f64;
            is_alike.then_some((shared, std::cmp::Reverse(index), old))
        });
        let best = alike.max_by_key(|(shared, index, _)| (*shared, *index));
        best.map(|(_, _, old)| old)
    }
}

/// The words of its description and the names of its arguments.
fn parts(definition: &Definition) -> BTreeSet<String> {
    let words = definition.description().unwrap_or_default();
    let words = words.split_whitespace().map(str::to_lowercase);
    let properties = definition
        .input_schema()
        .and_then(|schema| schema.get("properties")?.as_object());
    let properties = properties.into_iter().flat_map(|all| {
        all.iter()
            .map(|(name, _)| format!("\u{0}{}", name.as_str()))
    });
    words.chain(properties).collect()
}

#[cfg(test)]
mod tests;
