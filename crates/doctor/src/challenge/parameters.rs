//! What the Bearer challenge says.

use url::Url;
use wire::oauth::read_challenge;

use crate::flaws::challenge::{
    CHALLENGE_ERROR_WITHOUT_TOKEN, CHALLENGE_NO_RESOURCE_METADATA, CHALLENGE_OTHER_ORIGIN,
    CHALLENGE_RELATIVE_URL, CHALLENGE_UNPARSABLE,
};
use crate::metadata_hosts::report_internal;
use crate::{Desk, Exchange, Finding};

pub(super) fn examine(desk: &mut Desk, exchange: &Exchange, part: &str) {
    if let Err(fault) = strict(part) {
        desk.notes.add(
            Finding::new(
                CHALLENGE_UNPARSABLE,
                "The challenge cannot be parsed",
                format!("{fault}: {part:?}. Each client's parser makes something else of it, often nothing."),
                "Write it as `Bearer resource_metadata=\"https://...\", scope=\"a b\"`: every value in double quotes, commas between, \
                 nothing else.",
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
        return;
    }
    let challenge = read_challenge(part).unwrap_or_default();
    if let Some(error) = &challenge.error {
        desk.notes.add(
            Finding::new(
                CHALLENGE_ERROR_WITHOUT_TOKEN,
                format!("The challenge says error=\"{error}\" although no token was sent"),
                "Clients that kept a token take it for refused and throw it away, or refresh it.",
                "Leave error and error_description out when the request has no Authorization header.",
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
    }
    let asked = desk.scene.url.clone();
    let here = asked.origin().ascii_serialization();
    let well_known = format!(
        "{here}/.well-known/oauth-protected-resource{}",
        asked.path().trim_end_matches('/')
    );
    let change = format!("Send resource_metadata=\"{well_known}\" in the challenge.");
    let Some(text) = &challenge.resource_metadata else {
        desk.notes.add(
            Finding::new(
                CHALLENGE_NO_RESOURCE_METADATA,
                "The challenge does not say where the metadata is",
                "Clients then guess well-known addresses, and those that do not guess cannot sign in.",
                change,
            )
            .shown_by(desk.wire.evidence(exchange)),
        );
        return;
    };
    let finding = match Url::parse(text) {
        Err(_) => Finding::new(
            CHALLENGE_RELATIVE_URL,
            "resource_metadata is no absolute URL",
            format!("It is {text:?}. Clients make a URL of it without a base, and fail."),
            change,
        ),
        Ok(url) if url.origin() != asked.origin() => {
            let named = [("resource_metadata in the challenge", text.as_str())];
            if report_internal(desk, "The challenge", named, exchange) {
                return;
            }
            Finding::new(
                CHALLENGE_OTHER_ORIGIN,
                "resource_metadata is on another origin",
                format!(
                    "It is {text}, while the MCP URL is on {here}. Zed ignores it, Gemini CLI refuses it."
                ),
                change,
            )
        }
        Ok(_) => return,
    };
    let finding = finding.shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
}

/// Whether `part` is `scheme SP name=value *("," name=value)` to the letter (RFC 9110 section 11.6.1). A second challenge
/// behind it ends the parse.
fn strict(part: &str) -> Result<(), String> {
    let Some(mut rest) = part.get(6..).map(str::trim_start) else {
        return Ok(());
    };
    while !rest.is_empty() {
        let name_length = rest.bytes().take_while(|byte| is_token(*byte)).count();
        let (name, after) = rest.split_at(name_length);
        if name.is_empty() {
            return Err(format!(
                "a name is missing before {:?}",
                rest.chars().take(20).collect::<String>()
            ));
        }
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            // Another scheme with its parameters, or nothing more.
            let is_next_challenge =
                after.bytes().next().is_none_or(is_token) || after.starts_with(',');
            return if is_next_challenge {
                Ok(())
            } else {
                Err(format!("{name} has no value"))
            };
        };
        let value = value.trim_start();
        rest = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted_end(quoted)
                    .ok_or_else(|| format!("the quote of {name} is not closed"))?;
                &quoted[end..]
            }
            None => {
                let length = value.bytes().take_while(|byte| is_token(*byte)).count();
                if length == 0 {
                    return Err(format!("{name} has no value"));
                }
                &value[length..]
            }
        }
        .trim_start();
        if rest.is_empty() {
            break;
        }
        rest = rest
            .strip_prefix(',')
            .ok_or_else(|| {
                format!(
                    "after the value of {name} stands {:?}, where a comma should",
                    rest.chars().take(20).collect::<String>()
                )
            })?
            .trim_start();
    }
    Ok(())
}

/// Behind the closing quote.
fn quoted_end(quoted: &str) -> Option<usize> {
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some(at + 1),
            '\\' => {
                characters.next()?;
            }
            _ => {}
        }
    }
    None
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_grammar_permits_is_taken_and_what_clients_stumble_over_is_not() {
        for good in [
            "Bearer",
            "Bearer realm=\"x\"",
            "Bearer resource_metadata=\"https://a/b?c=d\", scope=\"a b\"",
            "bearer scope=a,error=\"in \\\"quotes\\\"\"",
            "Bearer scope=\"a\", Basic realm=\"x\"",
            "Bearer scope=\"a\", DPoP algs=\"ES256\"",
        ] {
            assert_eq!(strict(good), Ok(()), "{good}");
        }
        for bad in [
            "Bearer resource_metadata=https://a/b",
            "Bearer scope=\"a",
            "Bearer scope=\"a\" error=\"b\"",
            "Bearer =\"a\"",
            "Bearer scope=",
            "Bearer scope=\"a\"; error=\"b\"",
        ] {
            assert!(strict(bad).is_err(), "{bad}");
        }
    }
}
