//! What is told of an upstream that was looked at. Its names and messages are a stranger's: each is shown as plain text, and so
//! many of them.

use domain::ServerSlug;

use super::watch::Seen;
use crate::terminal::{Paint, plain};

/// How many names are told.
const NAMED_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 60;
const REASON_CHARS_MAX: usize = 300;

/// The first of `names`, and how many more there are.
pub fn in_short(names: &[String]) -> String {
    shortened(names, |name| plain(name, NAME_CHARS_MAX))
}

/// The same for the log, where nothing that hides may be lost.
pub fn in_log(names: &[String]) -> String {
    shortened(names, |name| {
        name.escape_debug().take(NAME_CHARS_MAX).collect()
    })
}

/// Why an upstream cannot be used, as it said itself.
pub fn reason(words: &str) -> String {
    plain(words, REASON_CHARS_MAX)
}

/// The lines about an upstream that answered, or did not, after the screen was shown.
pub fn of_answer(slug: &ServerSlug, outcome: &Result<Seen, String>, paint: Paint) -> Vec<String> {
    let seen = match outcome {
        Ok(seen) => seen,
        Err(words) => {
            return vec![paint.warn(format!(
                "  {slug} cannot be used now: {}; it is tried again",
                reason(words)
            ))];
        }
    };
    let tools = seen.mapped.tools;
    let mut lines = vec![paint.good(format!("  {slug} answers: {tools} tools protected"))];
    if let Some(first) = seen.mapped.hidden.first() {
        lines.push(format!(
            "  new and hidden until mapped: {} (up again with --tool-scope {}=SCOPE)",
            in_short(&seen.mapped.hidden),
            plain(first, NAME_CHARS_MAX)
        ));
    }
    lines
}

/// The lines about what is not as it was accepted.
pub fn of_changes(
    slug: &ServerSlug,
    hidden: &[String],
    changed: &[String],
    paint: Paint,
) -> Vec<String> {
    let lists = [
        (hidden, "new and hidden"),
        (changed, "changed since it was accepted"),
    ];
    let lists = lists.into_iter().filter(|(names, _)| !names.is_empty());
    lists
        .map(|(names, what)| {
            let names = in_short(names);
            paint.warn(format!(
                "  {slug}: {what}: {names} (portcullis tools list {slug})"
            ))
        })
        .collect()
}

fn shortened(names: &[String], shown: impl Fn(&str) -> String) -> String {
    let first: Vec<String> = names
        .iter()
        .take(NAMED_MAX)
        .map(|name| shown(name))
        .collect();
    let first = first.join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::stack::inventory::Mapped;

    /// Writes to the clipboard of whoever reads it in a terminal.
    const CLIPBOARD: &str = "get\u{1b}]52;c;cm0gLXJmIH4=\u{7}";

    fn plain_coloured() -> Paint {
        Paint { colour: false }
    }

    #[test]
    fn what_an_upstream_says_moves_no_cursor_and_fills_no_clipboard() {
        let slug = ServerSlug::parse("todo").unwrap();
        let names = [CLIPBOARD.to_owned()];
        let seen = Seen {
            mapped: Mapped {
                tools: 1,
                hidden: names.to_vec(),
                ..Mapped::default()
            },
            anonymous: None,
        };
        let refused = format!("It answered tools/list with an error: {CLIPBOARD}");
        let lines = [
            of_answer(&slug, &Ok(seen), plain_coloured()),
            of_answer(&slug, &Err(refused), plain_coloured()),
            of_changes(&slug, &names, &names, plain_coloured()),
        ];
        let lines = lines.concat();
        assert_eq!(lines.len(), 5);
        for line in &lines[1..] {
            assert!(line.contains("get]52;c;cm0gLXJmIH4="), "{line:?}");
        }
        for line in lines {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        assert_eq!(in_log(&names), r"get\u{1b}]52;c;cm0gLXJmIH4=\u{7}");
    }

    #[test]
    fn ten_names_are_told_and_the_others_counted() {
        let names: Vec<String> = (0..12).map(|number| format!("t{number}")).collect();
        assert!(in_short(&names).ends_with("t8, t9 and 2 more"));
        assert!(in_log(&names[..10]).ends_with("t8, t9"));
        let long = ["x".repeat(1000)];
        assert!(in_short(&long).len() < 70 && in_log(&long).len() < 70);
    }
}
