//! Other spellings of the MCP URL, without a token.

use super::{found, knock};
use crate::flaws::attack as flaw;
use crate::{Ask, Desk, Flaw};

pub(super) async fn examine(desk: &mut Desk) {
    let path = desk.scene.url.path().to_owned();
    if path == "/" {
        return;
    }
    let origin = desk.scene.url.origin().ascii_serialization();
    for (flaw, spelling) in spellings(&path) {
        if desk.notes.has(flaw) {
            continue;
        }
        let url = format!("{origin}{spelling}");
        let ask = Ask::initialize(&url, format!("initialize at {spelling}, without a token"))
            .until("\"jsonrpc\"");
        let exchange = desk.send(ask).await;
        if knock::is_let_in(&exchange) {
            let title = format!("{spelling} leads to the MCP server and asks for no token");
            let words = [
                title.as_str(),
                "What decides whether a token is needed compares the path otherwise than what answers.",
                "Ask for a token wherever the MCP server answers: put the check into the handler, or refuse every path but the one \
                 before the router decodes and tidies it.",
            ];
            found(desk, flaw, words, &[&exchange]);
        }
    }
}

fn spellings(path: &str) -> Vec<(Flaw, String)> {
    let bare = path.trim_end_matches('/');
    let letters: Vec<(usize, char)> = bare
        .char_indices()
        .filter(|(_, one)| one.is_ascii_alphabetic())
        .collect();
    let mut spellings = vec![
        (
            flaw::PATH_WELL_KNOWN_OPEN,
            format!("{bare}/.well-known/oauth-protected-resource"),
        ),
        (
            flaw::PATH_WELL_KNOWN_OPEN,
            format!("{bare}/.well-known/openid-configuration"),
        ),
        (flaw::PATH_DOUBLE_SLASH_OPEN, format!("/{bare}")),
        (flaw::PATH_DOUBLE_SLASH_OPEN, format!("{bare}//")),
    ];
    if let (Some((first, one)), Some((last, other))) = (letters.first(), letters.last()) {
        let encoded = |at: usize, letter: &char| {
            format!(
                "{}%{:02x}{}",
                &bare[..at],
                u32::from(*letter),
                &bare[at + 1..]
            )
        };
        spellings.push((flaw::PATH_ENCODED_OPEN, encoded(*first, one)));
        spellings.push((flaw::PATH_ENCODED_OPEN, encoded(*last, other)));
        let upper = bare.to_ascii_uppercase();
        let other_case = if upper == bare {
            bare.to_ascii_lowercase()
        } else {
            upper
        };
        spellings.push((flaw::PATH_CASE_OPEN, other_case));
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_another_text_for_the_same_path() {
        let all: Vec<String> = spellings("/a/mcp")
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(
            all,
            [
                "/a/mcp/.well-known/oauth-protected-resource",
                "/a/mcp/.well-known/openid-configuration",
                "//a/mcp",
                "/a/mcp//",
                "/%61/mcp",
                "/a/mc%70",
                "/A/MCP",
            ]
        );
        assert_eq!(spellings("/1").len(), 4);
    }
}
