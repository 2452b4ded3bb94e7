use std::fmt::Write as _;

use serde::Serialize;

use super::text::is_hostile;
use crate::Report;

#[derive(Serialize)]
struct Document<'a> {
    /// The version of this form: a member is only ever added without a new one.
    format: u32,
    exit_code: u8,
    #[serde(flatten)]
    report: &'a Report,
}

/// The report as one JSON document for programs, safe to print on a terminal too.
pub fn json(report: &Report) -> String {
    let document = Document {
        format: 1,
        exit_code: report.exit_code(),
        report,
    };
    printable(&serde_json::to_string_pretty(&document).expect("a report is plain data"))
}

/// JSON permits most control characters as they are; terminals act on them.
pub(super) fn printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        if character != '\n' && is_hostile(character) {
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_reads_back_the_same() {
        let hostile = "a\u{9b}b\u{202e}c\u{e0041}d";
        let printed = printable(&serde_json::to_string(hostile).expect("a text"));
        assert_eq!(printed, "\"a\\u009bb\\u202ec\\udb40\\udc41d\"");
        let back: String = serde_json::from_str(&printed).expect("still JSON");
        assert_eq!(back, hostile);
    }
}
