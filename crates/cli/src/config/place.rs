use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file; both count from 1.
    File {
        /// The line.
        line: usize,
        /// The character in the line.
        column: usize,
    },
    /// In a variable of this name.
    Environment(String),
    /// Nowhere.
    Default,
}

impl Place {
    /// Where the byte `offset` of `text` is.
    pub fn in_file(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::File {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line, column } => write!(formatter, "line {line}, column {column}"),
            Self::Environment(name) => formatter.write_str(name),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// Where each value was said, by its dotted path.
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Notes it; what comes later counts.
    pub fn note(&mut self, path: String, place: Place) {
        self.0.insert(path, place);
    }

    /// Where the value at `path` was said, or the table or list that it is in.
    pub fn of(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Place::Default,
            }
        }
    }
}

/// Where the values of a file are, in bytes.
#[derive(Debug, Default)]
pub struct Spans(pub Vec<(String, Range<usize>)>);

impl Spans {
    /// The path of the smallest value around `span`.
    pub fn around(&self, span: &Range<usize>) -> Option<&str> {
        let around = self
            .0
            .iter()
            .filter(|(_, value)| value.start <= span.start && span.end <= value.end);
        around
            .min_by_key(|(_, value)| value.len())
            .map(|(path, _)| path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "a = 1\nbé = 2\n";
        for (offset, line, column) in [(0, 1, 1), (4, 1, 5), (6, 2, 1), (9, 2, 3), (99, 3, 1)] {
            assert_eq!(
                Place::in_file(text, offset),
                Place::File { line, column },
                "{offset}"
            );
        }
    }

    #[test]
    fn a_value_is_where_it_was_said_or_where_its_list_was() {
        let mut places = Places::default();
        places.note("tls.certificates".into(), Place::Environment("X".into()));
        assert_eq!(
            places.of("tls.certificates[0].key_file"),
            Place::Environment("X".into())
        );
        assert_eq!(places.of("tls.other"), Place::Default);
        assert_eq!(places.of("log"), Place::Default);
    }
}
