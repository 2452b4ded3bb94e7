use base::Digest;

/// A PKCE code challenge of method S256: the SHA-256 digest of the verifier. There is no other method here.
///
/// Spec: RFC 7636 section 4.2; OAuth 2.1 section 4.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeChallenge(Digest);

/// A PKCE code verifier of the permitted shape.
#[derive(Clone)]
pub struct CodeVerifier(String);

/// Why a challenge or verifier is refused. The text names the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkceError {
    /// Not 43 characters of base64url that decode to a SHA-256 digest.
    #[error("code_challenge must be the base64url SHA-256 of the verifier, 43 characters")]
    Challenge,
    /// Not 43 to 128 unreserved characters (RFC 7636 section 4.1).
    #[error("code_verifier must be 43 to 128 characters of A-Z a-z 0-9 - . _ ~")]
    Verifier,
}

impl CodeChallenge {
    /// Reads `code_challenge`.
    ///
    /// # Errors
    /// [`PkceError::Challenge`] when it cannot be an S256 challenge.
    pub fn parse(text: &str) -> Result<Self, PkceError> {
        Digest::from_text(text)
            .map(Self)
            .ok_or(PkceError::Challenge)
    }

    /// The 43 characters, as they came.
    pub fn to_text(&self) -> String {
        self.0.to_text()
    }

    /// Whether `verifier` is the one this challenge was made from.
    pub fn matches(&self, verifier: &CodeVerifier) -> bool {
        // Both sides are digests of secrets the attacker does not know; comparing them leaks nothing usable.
        Digest::of(verifier.0.as_bytes()) == self.0
    }
}

impl CodeVerifier {
    /// Reads `code_verifier`.
    ///
    /// # Errors
    /// [`PkceError::Verifier`] when its length or a character is outside RFC 7636 section 4.1.
    pub fn parse(text: &str) -> Result<Self, PkceError> {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if !(43..=128).contains(&text.len()) || !text.bytes().all(unreserved) {
            return Err(PkceError::Verifier);
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for CodeVerifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CodeVerifier(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b_matches_and_a_changed_verifier_does_not() {
        let challenge =
            CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        let verifier = CodeVerifier::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        assert!(challenge.matches(&verifier));
        let other = CodeVerifier::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXj").unwrap();
        assert!(!challenge.matches(&other));
    }

    #[test]
    fn a_verifier_outside_the_grammar_is_refused_and_the_longest_one_is_read() {
        assert!(CodeVerifier::parse(&"a".repeat(128)).is_ok());
        assert_eq!(
            CodeVerifier::parse(&"a".repeat(129)).unwrap_err(),
            PkceError::Verifier
        );
        assert_eq!(
            CodeVerifier::parse(&"a".repeat(42)).unwrap_err(),
            PkceError::Verifier
        );
        assert_eq!(
            CodeVerifier::parse(&"ä".repeat(43)).unwrap_err(),
            PkceError::Verifier
        );
    }

    #[test]
    fn a_challenge_is_43_characters_of_one_digest_and_prints_as_it_came() {
        let text = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(CodeChallenge::parse(text).unwrap().to_text(), text);
        for bad in [
            "",
            &text[1..],
            &format!("{text}A"),
            &format!("{text}="),
            &text.replace('-', "+"),
            // The last character holds two bits that a digest does not have.
            &text.replace("cM", "cN"),
            "\u{e4}9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c",
        ] {
            assert_eq!(
                CodeChallenge::parse(bad).unwrap_err(),
                PkceError::Challenge,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_printed_verifier_shows_nothing_of_itself() {
        let verifier = CodeVerifier::parse(&"s".repeat(43)).unwrap();
        assert_eq!(format!("{verifier:?}"), "CodeVerifier(..)");
        assert!(CodeVerifier::parse(&"s".repeat(42)).is_err());
        for odd in ["-._~aZ09", "a b", "a+b", "a=b", "a/b"] {
            let text = format!("{odd}{}", "s".repeat(43));
            let good = odd == "-._~aZ09";
            assert_eq!(CodeVerifier::parse(&text).is_ok(), good, "{odd}");
        }
    }
}
