/// The parts of a Bearer challenge that matter to a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadChallenge {
    /// Where the resource describes itself.
    pub resource_metadata: Option<String>,
    /// What to ask for.
    pub scope: Option<String>,
    /// Why, when a token was sent.
    pub error: Option<String>,
    /// In words.
    pub error_description: Option<String>,
}

/// Reads a `WWW-Authenticate` line; `None` when it is not a Bearer challenge.
///
/// Spec: RFC 9110 section 11.6.1; RFC 6750 section 3.
pub fn read_challenge(line: &str) -> Option<ReadChallenge> {
    let line = line.trim();
    let (scheme, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut challenge = ReadChallenge::default();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                        other => value.push(other),
                    }
                }
                (value, quoted.get(end..).unwrap_or_default())
            }
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        let slot = match name.as_str() {
            "resource_metadata" => &mut challenge.resource_metadata,
            "scope" => &mut challenge.scope,
            "error" => &mut challenge.error,
            "error_description" => &mut challenge.error_description,
            _ => {
                rest = after;
                continue;
            }
        };
        slot.get_or_insert(value);
        rest = after;
    }
    Some(challenge)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::oauth::{Challenge, ErrorCode, ScopeSet};

    #[test]
    fn a_challenge_is_read_whatever_its_order_and_quoting() {
        let read = read_challenge(
            "Bearer error=\"invalid_token\", error_description=\"it \\\"expired\\\"\", resource_metadata=\"http://l/x?a=b\", scope=\"a b\", x=y",
        )
        .unwrap();
        assert_eq!(read.error.as_deref(), Some("invalid_token"));
        assert_eq!(read.error_description.as_deref(), Some("it \"expired\""));
        assert_eq!(read.resource_metadata.as_deref(), Some("http://l/x?a=b"));
        assert_eq!(read.scope.as_deref(), Some("a b"));
        assert_eq!(
            read_challenge("bearer scope=a").unwrap().scope.as_deref(),
            Some("a")
        );
        assert_eq!(read_challenge("Basic realm=\"x\""), None);
    }

    #[test]
    fn what_we_print_is_read_back_and_nothing_in_it_adds_a_parameter() {
        let printed = Challenge {
            resource_metadata: "https://mcp.example/.well-known/x\", scope=\"all".into(),
            scope: ScopeSet::parse_lenient("a b"),
            error: Some((
                ErrorCode::InvalidToken,
                "no\", error=\"x\r\nSet-Cookie: a".into(),
            )),
        };
        let line = printed.to_header();
        let read = read_challenge(line.to_str().unwrap()).unwrap();
        assert_eq!(read.error.as_deref(), Some("invalid_token"));
        assert_eq!(
            read.error_description.as_deref(),
            Some("no', error='x??Set-Cookie: a")
        );
        assert_eq!(
            read.resource_metadata.as_deref(),
            Some("https://mcp.example/.well-known/x', scope='all")
        );
        assert_eq!(read.scope.as_deref(), Some("a b"));
    }

    #[test]
    fn a_challenge_may_have_no_parameters_or_unfinished_ones() {
        assert_eq!(read_challenge("Bearer"), Some(ReadChallenge::default()));
        assert_eq!(read_challenge("Bearers scope=a"), None);
        assert_eq!(
            read_challenge("Bearer scope=\"a").unwrap().scope.as_deref(),
            Some("a")
        );
        assert_eq!(
            read_challenge("Bearer scope=a,error=b")
                .unwrap()
                .error
                .as_deref(),
            Some("b")
        );
    }
}
