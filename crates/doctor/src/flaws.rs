//! Every flaw that the doctor can name. The id of one is a contract: programs match on it.
//!
//! One file per section; `docs/doctor-flaws.md` is this table as a page.

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use crate::Section;

/// Rows of the table as constants, and all of them as `ROWS`.
macro_rules! flaws {
    ($section:ident: $($name:ident = $id:literal, $severity:ident, $rule:literal, $source:literal;)*) => {
        $(
            #[doc = $rule]
            pub const $name: $crate::Flaw = $crate::Flaw::new(&$crate::flaws::FlawEntry {
                id: $id,
                severity: $crate::Severity::$severity,
                section: $crate::Section::$section,
                rule: $rule,
                source: $source,
            });
        )*
        pub(super) const ROWS: &[$crate::Flaw] = &[$($name),*];
    };
}

pub mod attack;
pub mod challenge;
pub mod cors;
pub mod endpoints;
pub mod keys;
pub mod persona;
pub mod reach;
pub mod registration;
pub mod resource_metadata;
pub mod server_metadata;
pub mod signed_in;

const TABLES: [&[Flaw]; 11] = [
    reach::ROWS,
    challenge::ROWS,
    resource_metadata::ROWS,
    server_metadata::ROWS,
    keys::ROWS,
    cors::ROWS,
    endpoints::ROWS,
    registration::ROWS,
    persona::ROWS,
    signed_in::ROWS,
    attack::ROWS,
];

/// How much a flaw matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A detail that some client or tool trips over.
    Low,
    /// Some clients fail, or fail at times.
    Medium,
    /// Many clients cannot connect, or a rule of security is broken.
    High,
    /// Nobody can connect, or anybody can.
    Critical,
}

impl Severity {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct FlawEntry {
    /// Its name for programs.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Which section looks for it.
    pub section: Section,
    /// What is right, in one sentence.
    pub rule: &'static str,
    /// Who says so: a section of a specification, or a client and its issue.
    pub source: &'static str,
}

/// A flaw that the doctor can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw(&'static FlawEntry);

impl Flaw {
    pub(crate) const fn new(entry: &'static FlawEntry) -> Self {
        Self(entry)
    }

    /// All of them, by section.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLES.into_iter().flatten().copied()
    }

    /// The one of this id.
    pub fn by_id(id: &str) -> Option<Self> {
        Self::all().find(|flaw| flaw.id == id)
    }
}

impl std::ops::Deref for Flaw {
    type Target = FlawEntry;

    fn deref(&self) -> &FlawEntry {
        self.0
    }
}

impl Serialize for Flaw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Flaw", 5)?;
        row.serialize_field("id", self.id)?;
        row.serialize_field("severity", &self.severity)?;
        row.serialize_field("section", &self.section)?;
        row.serialize_field("rule", self.rule)?;
        row.serialize_field("source", self.source)?;
        row.end()
    }
}

/// The page `docs/doctor-flaws.md`: all of them by section, and which of them the nine measured types are.
pub fn page() -> String {
    let mut page = String::from(PAGE_HEAD);
    for section in Section::ALL {
        let mut rows = Flaw::all()
            .filter(|flaw| flaw.section == section)
            .peekable();
        if rows.peek().is_none() {
            continue;
        }
        page.push_str(&format!(
            "\n## {}\n\n| Id | Severity | What is right | Who says so |\n| --- | --- | --- | --- |\n",
            section.title()
        ));
        for flaw in rows {
            page.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                flaw.id,
                flaw.severity.as_str(),
                flaw.rule.replace('|', "\\|"),
                flaw.source.replace('|', "\\|"),
            ));
        }
    }
    page
}

/// What stands above the table, by hand.
pub const PAGE_HEAD: &str = include_str!("flaws/page_head.md");

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_words_and_every_rule_is_a_sentence_with_a_source() {
        let mut ids = HashSet::new();
        for flaw in Flaw::all() {
            assert!(ids.insert(flaw.id), "{} twice", flaw.id);
            assert!(
                flaw.id
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{}",
                flaw.id
            );
            assert!(flaw.rule.ends_with('.'), "{}: {}", flaw.id, flaw.rule);
            assert!(!flaw.source.is_empty(), "{}", flaw.id);
            assert_eq!(Flaw::by_id(flaw.id), Some(flaw));
        }
    }
}
