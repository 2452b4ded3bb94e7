use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::terminal::Terminal;

/// One JSON object that is written while it is read, so that it may be of any length.
pub(super) struct JsonDocument {
    place: Place,
    /// Whether something stands before the next member, or before the next entry of the list that is open.
    follows: bool,
}

enum Place {
    Terminal(Terminal),
    /// Gone again, unless it was finished.
    File {
        file: BufWriter<File>,
        path: PathBuf,
        is_whole: bool,
    },
}

impl JsonDocument {
    /// Begins one: in a new file that only its owner may read, or at `out`.
    pub(super) fn begin(path: Option<&Path>, out: &Terminal) -> anyhow::Result<Self> {
        let place = match path {
            None => Place::Terminal(out.clone()),
            Some(path) => Place::File {
                file: BufWriter::new(
                    OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(path)
                        .with_context(|| {
                            format!("--output: {} cannot be made as a new file", path.display())
                        })?,
                ),
                path: path.to_owned(),
                is_whole: false,
            },
        };
        let mut document = Self {
            place,
            follows: false,
        };
        document.write("{")?;
        Ok(document)
    }

    /// Writes a member.
    pub(super) fn member(&mut self, name: &str, value: &Value) -> anyhow::Result<()> {
        let before = self.before();
        self.follows = true;
        self.write(&format!("{before}\n  \"{name}\": {}", text(value)))
    }

    /// Begins a member that is a list.
    pub(super) fn list(&mut self, name: &str) -> anyhow::Result<()> {
        let before = self.before();
        self.follows = false;
        self.write(&format!("{before}\n  \"{name}\": ["))
    }

    /// Writes an entry of the list.
    pub(super) fn entry(&mut self, value: &Value) -> anyhow::Result<()> {
        let before = self.before();
        self.follows = true;
        self.write(&format!("{before}\n    {}", text(value)))
    }

    /// Ends the list.
    pub(super) fn end_list(&mut self) -> anyhow::Result<()> {
        let end = if self.follows { "\n  ]" } else { "]" };
        self.follows = true;
        self.write(end)
    }

    /// Ends the document.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.write("\n}\n")?;
        if let Place::File {
            file,
            is_whole,
            path,
        } = &mut self.place
        {
            file.flush()
                .and_then(|()| file.get_ref().sync_all())
                .with_context(|| path.display().to_string())?;
            *is_whole = true;
        }
        Ok(())
    }

    fn before(&self) -> &'static str {
        if self.follows { "," } else { "" }
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        match &mut self.place {
            Place::Terminal(out) => out.write(text),
            Place::File { file, path, .. } => file
                .write_all(text.as_bytes())
                .with_context(|| path.display().to_string())?,
        }
        Ok(())
    }
}

impl Drop for JsonDocument {
    fn drop(&mut self) {
        if let Place::File {
            path,
            is_whole: false,
            ..
        } = &self.place
        {
            // Half of it would pass for the whole.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// JSON in which nothing moves the cursor of a terminal or turns the direction of a line: those characters stand in
/// texts alone, where they may be escaped.
pub(crate) fn text(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.chars().any(acts) {
        return plain;
    }
    plain
        .chars()
        .map(|character| match acts(character) {
            true => format!("\\u{:04x}", u32::from(character)),
            false => character.to_string(),
        })
        .collect()
}

/// Each is one UTF-16 unit.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn written(path: Option<&Path>) -> String {
        let out = Terminal::memory();
        let mut document = JsonDocument::begin(path, &out).unwrap();
        document.member("format", &json!(1)).unwrap();
        document.list("none").unwrap();
        document.end_list().unwrap();
        document.list("two").unwrap();
        document
            .entry(&json!({"name": "\u{9b}31m\u{202e}\"]"}))
            .unwrap();
        document.entry(&json!({"name": "ä"})).unwrap();
        document.end_list().unwrap();
        document.member("end", &json!("\u{1b}")).unwrap();
        document.finish().unwrap();
        out.kept()
    }

    #[test]
    fn what_is_written_piece_by_piece_is_one_document_that_moves_no_cursor() {
        let text = written(None);
        assert!(
            !text
                .chars()
                .any(|character| character != '\n' && acts(character)),
            "{text:?}"
        );
        let read: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "format": 1, "none": [], "two": [{"name": "\u{9b}31m\u{202e}\"]"}, {"name": "ä"}], "end": "\u{1b}"
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_file_is_for_its_owner_alone_and_is_never_written_over_and_never_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("person.json");
        written(Some(&path));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(JsonDocument::begin(Some(&path), &Terminal::memory()).is_err());
        assert!(path.exists());
        let other = folder.path().join("other.json");
        let mut half = JsonDocument::begin(Some(&other), &Terminal::memory()).unwrap();
        half.member("format", &json!(1)).unwrap();
        drop(half);
        assert!(!other.exists());
    }
}
