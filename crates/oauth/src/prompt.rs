use serde::{Deserialize, Serialize};

use crate::Error;

/// What a client wants shown (OpenID Connect Core section 3.1.2.1, which OAuth clients use as well).
///
/// Values that nobody here knows are left alone: a client that asks for more than we have still gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Prompt {
    /// `login`: sign in anew.
    #[serde(rename = "l", skip_serializing_if = "is_false")]
    pub login: bool,
    /// `consent` or `select_account`: the consent page, which names the account and offers another, is always shown.
    #[serde(rename = "c", skip_serializing_if = "is_false")]
    pub ask: bool,
    /// `none`: no person may be asked anything.
    #[serde(rename = "n", skip_serializing_if = "is_false")]
    pub none: bool,
}

impl Prompt {
    /// Reads the parameter.
    ///
    /// # Errors
    /// `invalid_request` for `none` beside another value.
    pub fn parse(text: Option<&str>) -> Result<Self, Error> {
        let mut prompt = Self::default();
        let mut count = 0;
        for value in text.unwrap_or_default().split_ascii_whitespace() {
            count += 1;
            match value {
                "login" => prompt.login = true,
                "consent" | "select_account" => prompt.ask = true,
                "none" => prompt.none = true,
                _ => {}
            }
        }
        if prompt.none && count > 1 {
            return Err(Error::invalid_request(
                "prompt none does not go with another value",
            ));
        }
        Ok(prompt)
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_asked_for_is_still_asked_for_after_the_sealed_request() {
        for text in ["login", "consent", "none", "login consent"] {
            let prompt = Prompt::parse(Some(text)).unwrap();
            assert!(!prompt.is_default(), "{text}");
            let kept = serde_json::to_string(&prompt).unwrap();
            assert_eq!(serde_json::from_str::<Prompt>(&kept).unwrap(), prompt);
        }
        let nothing = serde_json::to_string(&Prompt::default()).unwrap();
        assert_eq!(nothing, "{}");
    }

    #[test]
    fn values_combine_unknown_ones_are_left_alone_and_none_stands_alone() {
        let read = |text| Prompt::parse(Some(text));
        let both = read("login consent").unwrap();
        assert!(both.login && both.ask && !both.none);
        assert!(read("select_account").unwrap().ask);
        assert!(read(" none ").unwrap().none);
        for absent in ["", "create", "LOGIN"] {
            assert!(read(absent).unwrap().is_default(), "{absent}");
        }
        for refused in ["none login", "consent none", "none none", "none create"] {
            let error = read(refused).unwrap_err();
            assert!(error.description().contains("none"), "{refused}");
        }
    }
}
