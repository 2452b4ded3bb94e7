use authz::{ChangeOf, FactChange, PolicyChange};

use super::standings::Standings;
use crate::terminal::{Terminal, plain};

/// As much of a fact is shown.
const FACT_CHARS_MAX: usize = 200;
/// As much is shown before what differs, where a fact is cut there.
const SAME_CHARS_MAX: usize = 40;

/// What differs, for a person, with names in the place of ids.
pub(super) fn show(changes: &[PolicyChange], standings: &Standings, out: &Terminal) {
    if changes.is_empty() {
        out.line("  nothing differs");
    }
    for change in changes {
        let name = match change.kind {
            "policy" => String::new(),
            _ => format!(" {}", plain(&visible(&change.name), 100)),
        };
        let word = match change.change {
            ChangeOf::Added => out.paint.good("added"),
            ChangeOf::Changed => out.paint.warn("changed"),
            ChangeOf::Removed => out.paint.bad("removed"),
        };
        out.line(format!("  {}{name}  {word}", change.kind));
        for fact in &change.facts {
            if let Some(words) = words(change.change, fact, standings) {
                let label = out.paint.dim(format!("{:16}", fact.fact));
                out.line(format!("      {label} {words}"));
            }
        }
    }
}

fn words(change: ChangeOf, fact: &FactChange, standings: &Standings) -> Option<String> {
    let whole = |text: &String| match (text.as_str(), fact.fact) {
        ("", _) => "nothing".to_owned(),
        // Who a rule speaks of.
        (text, "of") => standings.named(text),
        (text, _) => visible(text),
    };
    let said = |text: &String| plain(&whole(text), FACT_CHARS_MAX);
    match (&fact.before, &fact.after) {
        (Some(before), Some(after)) => {
            let (before, after) = told_apart(&whole(before), &whole(after));
            Some(format!("{before} → {after}"))
        }
        // A fingerprint alone tells nobody anything, and what is empty is not said.
        _ if fact.fact == "definition" => None,
        (Some(text), None) | (None, Some(text)) if text.is_empty() => None,
        (Some(before), None) if change == ChangeOf::Changed => {
            Some(format!("{} → nothing", said(before)))
        }
        (Some(text), None) | (None, Some(text)) => Some(said(text)),
        (None, None) => None,
    }
}

/// Both, each cut at its end; where that leaves of both the same, from a little before what differs.
fn told_apart(before: &str, after: &str) -> (String, String) {
    let cut = |text: &str| plain(text, FACT_CHARS_MAX);
    if cut(before) != cut(after) {
        return (cut(before), cut(after));
    }
    let same = before.chars().zip(after.chars());
    let same = same.take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(SAME_CHARS_MAX);
    let rest = |text: &str| {
        let rest: String = text.chars().skip(from).collect();
        match from {
            0 => cut(&rest),
            _ => cut(&format!("…{rest}")),
        }
    };
    (rest(before), rest(after))
}

/// With what nobody sees in escapes, so that no change hides in it.
fn visible(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter {
            '"' | '\'' | '\\' => shown.push(letter),
            _ if authz::is_invisible(letter) => shown.extend(letter.escape_unicode()),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_long_texts_that_begin_alike_are_cut_where_they_differ() {
        let scopes = |last: &str| format!("{} {last}", vec!["todo:read"; 40].join(" "));
        let (before, after) = told_apart(&scopes("todo:write"), &scopes("todo:admin"));
        assert_ne!(before, after);
        assert!(
            before.starts_with('…') && before.ends_with("todo:write"),
            "{before}"
        );
        assert!(
            after.starts_with('…') && after.ends_with("todo:admin"),
            "{after}"
        );
        // Those whose beginnings differ are cut at their ends.
        let (before, after) = (format!("a{}", scopes("x")), format!("b{}", scopes("x")));
        let (before, after) = told_apart(&before, &after);
        assert!(
            before.starts_with("atodo") && before.ends_with('…'),
            "{before}"
        );
        assert!(
            after.starts_with("btodo") && after.ends_with('…'),
            "{after}"
        );
        let short = told_apart("one", "other");
        assert_eq!(short, ("one".to_owned(), "other".to_owned()));
    }

    #[test]
    fn what_nobody_sees_is_shown_and_what_everybody_sees_is_as_it_was() {
        assert_eq!(visible("See \"your\" tödos"), "See \"your\" tödos");
        assert_eq!(visible("\u{9b}\u{ad}\u{e0041}"), "\\u{9b}\\u{ad}\\u{e0041}");
        assert_eq!(
            visible("a\u{200b}\u{202e}b\u{1b}[2J\n"),
            "a\\u{200b}\\u{202e}b\\u{1b}[2J\\n"
        );
    }
}
