use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest scope name that is read, in bytes. Longer ones are not scopes of anybody's.
const SCOPE_BYTES_MAX: usize = 256;

/// One scope name: printable ASCII without space, quote or backslash (RFC 6749 section 3.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Scope(Arc<str>);

/// Why a text is not a scope name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a scope: 1 to 256 printable ASCII characters without space, quote or backslash"
)]
pub struct ScopeError(String);

impl Scope {
    /// Reads one scope name.
    ///
    /// # Errors
    /// When `text` is empty, too long, or has a character outside `scope-token`.
    ///
    /// Spec: RFC 6749 section 3.3.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if text.is_empty() || text.len() > SCOPE_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(ScopeError(text.chars().take(64).collect()));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A set of scopes, in byte order, so that the same set always reads the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a space separated list as a client sends it. What is no scope name is dropped, not fatal: real
    /// clients send leading spaces and names of other servers.
    pub fn parse_lenient(text: &str) -> Self {
        text.split_ascii_whitespace()
            .filter_map(|word| Scope::parse(word).ok())
            .collect()
    }

    /// Whether `scope` is in the set.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }

    /// Whether every member is also in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.0.intersection(&other.0).cloned().collect()
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        self.0.union(&other.0).cloned().collect()
    }

    /// What is in this set and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.0.difference(&other.0).cloned().collect()
    }

    /// Adds `scope`; says whether it was new.
    pub fn insert(&mut self, scope: Scope) -> bool {
        self.0.insert(scope)
    }

    /// The members in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

/// On the wire a set is one space separated string (RFC 6749 section 3.3).
impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split_ascii_whitespace()
            .map(Scope::parse)
            .collect::<Result<_, _>>()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse_lenient(text)
    }

    #[test]
    fn a_scope_is_of_the_characters_of_rfc_6749_section_3_3_and_of_bounded_length() {
        for good in [
            "a",
            "todo:read",
            "!",
            "#$%&'()*+,-./09:;<=>?@AZ[",
            "]^_`az{|}~",
        ] {
            assert_eq!(Scope::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "", " ", "a b", "a\"", "a\\b", "a\u{7f}", "a\u{1}", "\u{e4}", "a\t", "a\n",
        ] {
            assert!(Scope::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Scope::parse(&"a".repeat(256)).is_ok());
        let error = Scope::parse(&"a".repeat(257)).unwrap_err();
        assert!(
            error.to_string().len() < 200,
            "the error repeats the start alone"
        );
    }

    #[test]
    fn sets_are_calculated_with_as_sets() {
        let (ab, bc) = (set("b a a"), set("c b"));
        assert_eq!(ab.to_string(), "a b");
        assert_eq!(ab.len(), 2);
        assert!(!ab.is_empty() && ScopeSet::new().is_empty() && set(" \"x ").is_empty());
        assert_eq!(ab.intersection(&bc), set("b"));
        assert_eq!(ab.union(&bc), set("a b c"));
        assert_eq!(ab.difference(&bc), set("a"));
        assert!(set("b").is_subset(&ab) && ab.is_subset(&ab) && !ab.is_subset(&bc));
        let b = Scope::parse("b").unwrap();
        assert!(ab.contains(&b) && !set("a").contains(&b));
        let mut grown = set("a");
        assert!(grown.insert(b.clone()) && !grown.insert(b));
        assert_eq!(grown, ab);
        assert_eq!(ab.iter().map(Scope::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_stored_set_is_read_strictly_and_a_sent_one_leniently() {
        assert_eq!(serde_json::to_string(&set("b a")).unwrap(), "\"a b\"");
        assert_eq!(
            serde_json::from_str::<ScopeSet>("\"b a\"").unwrap(),
            set("a b")
        );
        assert!(serde_json::from_str::<ScopeSet>("\"a \\\\\"").is_err());
        assert_eq!(set("a \\"), set("a"));
        assert!(serde_json::from_str::<Scope>("\"a b\"").is_err());
        assert_eq!(
            serde_json::from_str::<Scope>("\"a\"").unwrap().to_string(),
            "a"
        );
    }
}
