use std::fmt::Write as _;

use http::HeaderValue;

use super::{ErrorCode, ScopeSet};

/// The one `WWW-Authenticate` line of a protected MCP server.
///
/// Real clients read it with regular expressions, so its shape is narrow on purpose: `Bearer` first, every value
/// quoted, comma and space between, printable ASCII, absolute `resource_metadata`.
///
/// Spec: RFC 6750 section 3; RFC 9728 section 5.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Absolute address of the protected resource metadata, for the address that was asked.
    pub resource_metadata: String,
    /// The scopes a client should ask for; left out when empty.
    pub scope: ScopeSet,
    /// Only when a token was presented (`invalid_token`) or was too weak (`insufficient_scope`).
    pub error: Option<(ErrorCode, String)>,
}

impl Challenge {
    /// The header value.
    pub fn to_header(&self) -> HeaderValue {
        let mut line = String::from("Bearer ");
        if let Some((code, description)) = &self.error {
            let _ = write!(
                line,
                "error=\"{code}\", error_description=\"{}\", ",
                quotable(description)
            );
        }
        let _ = write!(
            line,
            "resource_metadata=\"{}\"",
            quotable(&self.resource_metadata)
        );
        if !self.scope.is_empty() {
            let _ = write!(line, ", scope=\"{}\"", self.scope);
        }
        HeaderValue::from_str(&line).expect("every part was reduced to printable ASCII")
    }
}

/// RFC 6750 section 3 allows `%x20-21 / %x23-5B / %x5D-7E` in these values.
fn quotable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '"' | '\\' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_without_a_token_has_no_error_and_one_after_a_bad_token_has() {
        let mut challenge = Challenge {
            resource_metadata:
                "http://localhost:4180/.well-known/oauth-protected-resource/mcp/todo".into(),
            scope: ScopeSet::parse_lenient("todo:write todo:read"),
            error: None,
        };
        assert_eq!(
            challenge.to_header(),
            "Bearer resource_metadata=\"http://localhost:4180/.well-known/oauth-protected-resource/mcp/todo\", \
             scope=\"todo:read todo:write\""
        );
        challenge.error = Some((
            ErrorCode::InvalidToken,
            "the token has \"expired\"\n".into(),
        ));
        assert_eq!(
            challenge.to_header(),
            "Bearer error=\"invalid_token\", error_description=\"the token has 'expired'?\", \
             resource_metadata=\"http://localhost:4180/.well-known/oauth-protected-resource/mcp/todo\", \
             scope=\"todo:read todo:write\""
        );
    }
}
