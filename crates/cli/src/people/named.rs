use std::fmt;

use domain::{EmailAddress, UserId};

const ID_PREFIX: &str = "usr_";
/// 256 bits in base64url.
const ID_CHARACTERS: usize = 43;

/// How a person is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Email(EmailAddress),
    /// The opaque subject of their tokens, which also finds who was deleted.
    Id(UserId),
}

impl Named {
    /// Reads one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix(ID_PREFIX)
            && !text.contains('@')
        {
            let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            return match rest.len() == ID_CHARACTERS && rest.bytes().all(is_base64url) {
                true => Ok(Self::Id(UserId::from_text(text))),
                false => Err(format!(
                    "not an id of a person: it is {ID_PREFIX} and {ID_CHARACTERS} characters, as `people list` shows it"
                )),
            };
        }
        EmailAddress::parse(text)
            .map(Self::Email)
            .map_err(|error| format!("{error}; or give the {ID_PREFIX}… id"))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => email.fmt(formatter),
            Self::Id(id) => id.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::OsRandom;

    use super::*;

    #[test]
    fn a_person_is_named_by_address_or_id_and_by_nothing_else() {
        let id = UserId::random(&OsRandom);
        assert_eq!(Named::parse(id.as_str()), Ok(Named::Id(id.clone())));
        for address in ["ann@example.com", "usr_ann@example.com"] {
            assert!(matches!(Named::parse(address), Ok(Named::Email(_))));
        }
        let almost = id.as_str().replacen("usr_", "usr_.", 1);
        for nobody in [
            "ann",
            "usr_",
            "usr_x",
            &id.as_str()[1..],
            almost.as_str(),
            "",
        ] {
            assert!(Named::parse(nobody).is_err(), "{nobody}");
        }
    }
}
