//! What clients say to their users, and which flaws are behind it.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::Flaw;

/// The file, read once. A bad one fails the tests, so it is never in a binary.
static PHRASES: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("phrases.json")).expect("the tests have read this very file")
});

/// Words on a screen and what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrase {
    /// Parts of what is shown; one of them is enough.
    says: Vec<String>,
    /// The ids of clients that are known to say it; empty where many do.
    pub clients: Vec<String>,
    /// The ids of the flaws that it may be, the likeliest first.
    flaws: Vec<String>,
    /// What to do next.
    pub then: String,
    /// Where that was learned.
    pub source: String,
}

impl Phrase {
    /// What it may be, the likeliest first.
    pub fn flaws(&self) -> Vec<Flaw> {
        self.flaws.iter().filter_map(|id| Flaw::by_id(id)).collect()
    }

    /// The words by which it is recognised.
    pub fn words(&self) -> &str {
        &self.says[0]
    }
}

/// The phrases that `shown`, what somebody copied from a screen, holds.
pub fn narrow(shown: &str) -> Vec<&'static Phrase> {
    let shown = plain(shown);
    PHRASES
        .iter()
        .filter(|phrase| phrase.says.iter().any(|says| shown.contains(&plain(says))))
        .collect()
}

/// All that are known.
pub fn all() -> &'static [Phrase] {
    &PHRASES
}

/// Without what differs between screens: case, kinds of quotation marks, spaces.
fn plain(text: &str) -> String {
    let straight: String = text
        .to_lowercase()
        .chars()
        .map(|character| match character {
            '’' | '‘' | '`' => '\'',
            '“' | '”' => '"',
            other => other,
        })
        .collect();
    straight.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_leads_to_flaws_that_exist_and_to_clients_that_are_known() {
        assert!(all().len() >= 20);
        for phrase in all() {
            assert!(
                !phrase.flaws.is_empty() && phrase.then.ends_with('.'),
                "{phrase:?}"
            );
            for flaw in &phrase.flaws {
                assert!(Flaw::by_id(flaw).is_some(), "{}: {flaw}", phrase.words());
            }
            for client in &phrase.clients {
                assert!(
                    known_clients::find(client).is_some(),
                    "{}: {client}",
                    phrase.words()
                );
            }
        }
    }

    #[test]
    fn what_is_copied_from_a_screen_is_recognised_whatever_its_quotes_and_spaces() {
        for (shown, first) in [
            (
                "Couldn’t register with  my notes.",
                "bot-wall-hosted-agents",
            ),
            ("COULDN'T REACH the MCP server", "bot-wall-hosted-agents"),
            (
                "Authorization with the MCP server failed. (ofid_1a2b)",
                "bot-wall-hosted-agents",
            ),
            (
                "Error: Protected resource https://a does not match expected https://a/",
                "prm-resource-slash",
            ),
            (
                "Error: missing field `scopes` at line 1",
                "prm-scopes-missing",
            ),
            ("McpAuthorizationError", "accepted-then-refused"),
            ("HTTP 400: Missing iss parameter", "asm-no-iss-promise"),
        ] {
            let narrowed = narrow(shown);
            assert_eq!(
                narrowed
                    .first()
                    .and_then(|phrase| Some(phrase.flaws().first()?.id)),
                Some(first),
                "{shown}"
            );
        }
    }

    #[test]
    fn words_that_nobody_is_known_to_say_are_not_explained() {
        for shown in ["", "It works", "register with", "Couldn't"] {
            assert!(narrow(shown).is_empty(), "{shown}");
        }
    }
}
