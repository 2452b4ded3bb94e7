//! Sets one member of a JSON file and leaves every other byte as it was: order, numbers, comments, blank lines.

use anyhow::{anyhow, bail, ensure};

const DEPTH_MAX: usize = 64;

/// The text with the member at `path` set to `value`, which is itself JSON. Objects on the way are made when they are
/// missing. Comments and trailing commas are understood, as editors allow both in their settings.
///
/// # Errors
/// When the text is no JSON object, or something on the way is no object.
pub fn set_member(text: &str, path: &[&str], value: &str) -> anyhow::Result<String> {
    let (last, parents) = path.split_last().expect("callers name a member");
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        let nested = nest(path, value, 0);
        return Ok(format!("{nested}\n"));
    }
    let mut object = Scanner::new(text).document()?;
    for (depth, name) in parents.iter().enumerate() {
        let Some(member) = object.member(name) else {
            let nested = nest(path.get(depth + 1..).unwrap_or_default(), value, depth + 1);
            return Ok(insert(text, &object, name, &nested, depth + 1));
        };
        let start = member.value.start;
        ensure!(
            text.as_bytes().get(start) == Some(&b'{'),
            "{name:?} in it is not an object"
        );
        object = Scanner::at(text, start).object(0)?;
    }
    let indented = value.replace('\n', &format!("\n{}", "  ".repeat(path.len())));
    Ok(match object.member(last) {
        Some(member) => {
            let (before, after) = (&text[..member.value.start], &text[member.value.end..]);
            format!("{before}{indented}{after}")
        }
        None => insert(text, &object, last, &indented, path.len()),
    })
}

/// `{"a": {"b": value}}` for the path a, b, laid out for `depth` levels of indentation around it.
fn nest(path: &[&str], value: &str, depth: usize) -> String {
    match path.split_first() {
        None => value.replace('\n', &format!("\n{}", "  ".repeat(depth))),
        Some((name, rest)) => {
            let inner = nest(rest, value, depth + 1);
            let pad = "  ".repeat(depth);
            format!("{{\n{pad}  {}: {inner}\n{pad}}}", quoted(name))
        }
    }
}

fn insert(text: &str, object: &Object, name: &str, value: &str, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let entry = format!("\n{pad}{}: {value}", quoted(name));
    match object.members.last() {
        Some(last) => {
            let at = last.value.end;
            let (comma_here, comma_there) = match object.trailing_comma {
                // The comma that closed the last entry now parts the two.
                Some(comma) => return format!("{}{entry},{}", &text[..=comma], &text[comma + 1..]),
                None => (",", ""),
            };
            format!(
                "{}{comma_here}{entry}{comma_there}{}",
                &text[..at],
                &text[at..]
            )
        }
        None => {
            let close = "  ".repeat(depth.saturating_sub(1));
            let inside = text[object.open + 1..object.close].trim_end();
            format!(
                "{}{inside}{entry}\n{close}{}",
                &text[..=object.open],
                &text[object.close..]
            )
        }
    }
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

struct Span {
    start: usize,
    end: usize,
}

struct Member {
    name: String,
    value: Span,
}

struct Object {
    open: usize,
    close: usize,
    members: Vec<Member>,
    trailing_comma: Option<usize>,
}

impl Object {
    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// Reads just enough JSON to know where things are.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self::at(text, if text.starts_with('\u{feff}') { 3 } else { 0 })
    }

    fn at(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    fn document(mut self) -> anyhow::Result<Object> {
        self.skip_blank()?;
        ensure!(
            self.peek() == Some(b'{'),
            "it does not begin with an object"
        );
        let object = self.object(0)?;
        self.skip_blank()?;
        ensure!(self.peek().is_none(), "something follows the closing brace");
        Ok(object)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, what: &str) -> anyhow::Error {
        let line = self.text[..self.at.min(self.text.len())]
            .matches('\n')
            .count()
            + 1;
        anyhow!("{what} in line {line}")
    }

    fn skip_blank(&mut self) -> anyhow::Result<()> {
        loop {
            let rest = &self.text[self.at..];
            let skipped = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/")
                    .ok_or_else(|| self.error("a comment without an end"))?
                    + 2
            } else {
                rest.len() - rest.trim_start().len()
            };
            if skipped == 0 {
                return Ok(());
            }
            self.at += skipped;
        }
    }

    fn object(&mut self, depth: usize) -> anyhow::Result<Object> {
        ensure!(depth < DEPTH_MAX, "more than {DEPTH_MAX} levels deep");
        let open = self.at;
        self.at += 1;
        let mut object = Object {
            open,
            close: open,
            members: Vec::new(),
            trailing_comma: None,
        };
        loop {
            self.skip_blank()?;
            match self.peek() {
                Some(b'}') => {
                    object.close = self.at;
                    self.at += 1;
                    return Ok(object);
                }
                Some(b'"') => {
                    let name = self.string()?;
                    self.skip_blank()?;
                    if self.peek() != Some(b':') {
                        return Err(self.error("a colon is missing"));
                    }
                    self.at += 1;
                    self.skip_blank()?;
                    let start = self.at;
                    self.value(depth + 1)?;
                    object.members.push(Member {
                        name,
                        value: Span {
                            start,
                            end: self.at,
                        },
                    });
                    object.trailing_comma = self.comma(b'}')?;
                }
                _ => return Err(self.error("a member's name or } is missing")),
            }
        }
    }

    /// Where the comma after an entry is; `None` when the `closing` byte comes instead.
    fn comma(&mut self, closing: u8) -> anyhow::Result<Option<usize>> {
        self.skip_blank()?;
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(Some(self.at - 1))
            }
            Some(byte) if byte == closing => Ok(None),
            _ => Err(self.error("a comma is missing")),
        }
    }

    fn value(&mut self, depth: usize) -> anyhow::Result<()> {
        ensure!(depth < DEPTH_MAX, "more than {DEPTH_MAX} levels deep");
        match self.peek() {
            Some(b'{') => self.object(depth).map(drop),
            Some(b'"') => self.string().map(drop),
            Some(b'[') => {
                self.at += 1;
                loop {
                    self.skip_blank()?;
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        return Ok(());
                    }
                    self.value(depth + 1)?;
                    self.comma(b']')?;
                }
            }
            _ => {
                let rest = &self.text[self.at..];
                let length = rest
                    .find(|end: char| !(end.is_ascii_alphanumeric() || "+-.".contains(end)))
                    .unwrap_or(rest.len());
                let word = &rest[..length];
                if serde_json::from_str::<serde_json::Value>(word).is_err() {
                    bail!(self.error("a value is missing"));
                }
                self.at += length;
                Ok(())
            }
        }
    }

    fn string(&mut self) -> anyhow::Result<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                Some(b'\\') => self.at += 2,
                Some(b'"') => break,
                Some(_) => self.at += 1,
                None => return Err(self.error("a string without an end")),
            }
        }
        self.at += 1;
        self.text
            .get(start..self.at)
            .and_then(|quoted| serde_json::from_str(quoted).ok())
            .ok_or_else(|| self.error("a broken string"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATH: [&str; 2] = ["mcpServers", "todo"];
    const VALUE: &str = "{\n  \"url\": \"u\"\n}";

    fn set(text: &str) -> String {
        set_member(text, &PATH, VALUE).unwrap()
    }

    #[test]
    fn an_empty_file_gets_the_whole_tree() {
        let tree = "{\n  \"mcpServers\": {\n    \"todo\": {\n      \"url\": \"u\"\n    }\n  }\n}\n";
        assert_eq!(set(""), tree);
        assert_eq!(set(" \n"), tree);
        assert_eq!(set("{}\n"), tree);
    }

    #[test]
    fn a_neighbour_keeps_its_bytes_and_its_comments() {
        let text = "// mine\n{\n  \"z\": 1.0e2,\n  \"mcpServers\": {\n    \"b\": {\"x\": [1, 2, {}]} // keep\n  }, /* and */ \"a\": null\n}\n";
        assert_eq!(
            set(text),
            "// mine\n{\n  \"z\": 1.0e2,\n  \"mcpServers\": {\n    \"b\": {\"x\": [1, 2, {}]},\n    \"todo\": {\n      \"url\": \"u\"\n    } // keep\n  }, /* and */ \"a\": null\n}\n"
        );
    }

    #[test]
    fn a_trailing_comma_stays_one() {
        let text = "{\"mcpServers\": {\"b\": 1,},}";
        assert_eq!(
            set(text),
            "{\"mcpServers\": {\"b\": 1,\n    \"todo\": {\n      \"url\": \"u\"\n    },},}"
        );
    }

    #[test]
    fn an_entry_of_that_name_is_replaced_and_a_second_time_changes_nothing() {
        let text = "{\"mcpServers\": {\"todo\": {\"url\": \"old\", \"x\": \"}\"}, \"b\": 2}}";
        let once = set(text);
        assert_eq!(
            once,
            "{\"mcpServers\": {\"todo\": {\n      \"url\": \"u\"\n    }, \"b\": 2}}"
        );
        assert_eq!(set(&once), once);
    }

    #[test]
    fn what_is_no_settings_file_is_refused_with_its_line() {
        for (text, reason) in [
            ("[]", "does not begin with an object"),
            ("{\n\"a\" 1}", "colon is missing in line 2"),
            ("{\"a\": 1 \"b\": 2}", "comma is missing"),
            (
                "{\"mcpServers\": []}",
                "\"mcpServers\" in it is not an object",
            ),
            ("{\"a\": tru}", "value is missing"),
            ("{\"a\": \"x", "without an end"),
            ("{} x", "follows the closing brace"),
        ] {
            let error = set_member(text, &PATH, VALUE).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert!(set_member(&deep, &PATH, VALUE).is_err());
    }
}
