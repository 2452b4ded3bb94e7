use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::Place;
use crate::terminal::plain;

/// So many are kept; far fewer are told.
const PROBLEMS_MAX: usize = 1000;
const WORDS_CHARS_MAX: usize = 1000;

/// What is wrong in a file, and where each part of it stands.
pub(super) struct Problems<'t> {
    text: &'t str,
    /// The first byte of each key, by its path.
    places: BTreeMap<String, usize>,
    /// Each with its byte, so that they are told in the order of the file.
    found: Vec<(usize, String)>,
    paths: BTreeSet<String>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            places: BTreeMap::new(),
            found: Vec::new(),
            paths: BTreeSet::new(),
        }
    }

    /// Remembers where `path` stands.
    pub(super) fn note(&mut self, path: &str, byte: usize) {
        self.places.insert(path.to_owned(), byte);
    }

    /// Says that the value at `path` cannot be so. Of one value one problem is enough.
    pub(super) fn say(&mut self, path: &str, words: impl fmt::Display) {
        if self.found.len() >= PROBLEMS_MAX || !self.paths.insert(path.to_owned()) {
            return;
        }
        let byte = self.byte_of(path);
        let place = Place::in_file(self.text, byte);
        let words = one_line(&words.to_string());
        self.found.push((byte, format!("{place}: {path}: {words}")));
    }

    /// The same about the whole file.
    pub(super) fn say_at(&mut self, byte: usize, words: &str) {
        let place = Place::in_file(self.text, byte);
        let words = one_line(words);
        self.found.push((byte, format!("{place}: {words}")));
    }

    /// Whether something is wrong at `path` or in it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|known| {
            known.strip_prefix(path).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
            })
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order of the file.
    pub(super) fn into_words(mut self) -> Vec<String> {
        self.found.sort();
        self.found.into_iter().map(|(_, words)| words).collect()
    }

    /// Where `path` stands, or the table that it is missing in.
    fn byte_of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(byte) = self.places.get(path) {
                return *byte;
            }
            match outer(path) {
                Some(outer) => path = outer,
                None => return 0,
            }
        }
    }
}

/// The words of a parser may come in several lines, and repeat what the file says.
fn one_line(words: &str) -> String {
    plain(&words.trim().replace('\n', "; "), WORDS_CHARS_MAX)
}

/// The path of `key` in the table at `outer`, as TOML would write it.
pub(super) fn join(outer: &str, key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let key = match !key.is_empty() && key.bytes().all(is_bare) {
        true => key.to_owned(),
        false => format!("{:?}", plain(key, 300)),
    };
    match outer {
        "" => key,
        outer => format!("{outer}.{key}"),
    }
}

/// The path without its last part, which may be quoted.
fn outer(path: &str) -> Option<&str> {
    let mut quoted = false;
    let mut before = '"';
    let mut end = None;
    for (index, character) in path.char_indices() {
        match character {
            '"' if before != '\\' => quoted = !quoted,
            '.' | '[' if !quoted => end = Some(index),
            _ => {}
        }
        before = character;
    }
    end.map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_stands_where_its_value_does_or_the_table_that_lacks_it() {
        let text = "a = 1\n[people.\"a.b@c.d\"]\nname = 2\n";
        let mut problems = Problems::new(text);
        let ann = join("people", "a.b@c.d");
        assert_eq!(ann, "people.\"a.b@c.d\"");
        problems.note(&ann, 6);
        problems.note(&join(&ann, "name"), 25);
        problems.say(&join(&ann, "name"), "must be text");
        problems.say(&join(&ann, "name"), "and more");
        problems.say(&join(&ann, "owner"), "is missing");
        assert!(problems.has("people") && problems.has(&ann) && !problems.has("peop"));
        assert_eq!(
            problems.into_words(),
            [
                "line 2, column 1: people.\"a.b@c.d\".owner: is missing",
                "line 3, column 1: people.\"a.b@c.d\".name: must be text",
            ]
        );
    }
}
