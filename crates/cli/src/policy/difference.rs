use authz::{ChangeOf, FactChange, PolicyChange};

use super::standings::Standings;
use crate::terminal::{Terminal, plain};

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
    let said = |text: &String| match (text.as_str(), fact.fact) {
        ("", _) => "nothing".to_owned(),
        // Who a rule speaks of.
        (text, "of") => plain(&standings.named(text), 200),
        (text, _) => plain(&visible(text), 200),
    };
    match (&fact.before, &fact.after) {
        (Some(before), Some(after)) => Some(format!("{} → {}", said(before), said(after))),
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
    fn what_nobody_sees_is_shown_and_what_everybody_sees_is_as_it_was() {
        assert_eq!(visible("See \"your\" tödos"), "See \"your\" tödos");
        assert_eq!(visible("\u{9b}\u{ad}\u{e0041}"), "\\u{9b}\\u{ad}\\u{e0041}");
        assert_eq!(
            visible("a\u{200b}\u{202e}b\u{1b}[2J\n"),
            "a\\u{200b}\\u{202e}b\\u{1b}[2J\\n"
        );
    }
}
