use std::fmt;

use base::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use crate::UserId;

/// A person of the authority.
#[derive(Debug, Clone)]
pub struct User {
    /// The opaque subject of their tokens.
    pub id: UserId,
    /// How they sign in; unique without regard to letter case.
    pub email: EmailAddress,
    /// What pages call them; the part before the @ unless they said otherwise.
    pub name: String,
    /// The Argon2id PHC string; none when they have no password.
    pub password_hash: Option<Secret<String>>,
    /// What they may do in the dashboard.
    pub role: UserRole,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they were disabled; a disabled person is refused on every path.
    pub disabled_at: Option<Timestamp>,
}

/// What a person may do in the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Everything.
    Owner,
    /// Sign in to clients only.
    Member,
}

impl UserRole {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }

    /// Reads [`UserRole::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Owner, Self::Member]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// An e-mail address of plausible shape, kept as typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// Why a text is not an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an e-mail address: it needs one @ with a name before it and a domain after it, at most 254 characters"
)]
pub struct EmailError;

impl EmailAddress {
    /// Reads an address. Proof that it exists is a mail's business, so this refuses only what cannot be one.
    ///
    /// # Errors
    /// When it cannot be an address.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let fits = text.len() <= 254
            && !local.is_empty()
            && local.len() <= 64
            && !domain.is_empty()
            && !domain.starts_with(['.', '-'])
            && !domain.ends_with(['.', '-'])
            && domain
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            && local.bytes().all(|byte| {
                matches!(byte, 0x21..=0x7e)
                    && !matches!(
                        byte,
                        b'@' | b'"'
                            | b'('
                            | b')'
                            | b','
                            | b':'
                            | b';'
                            | b'<'
                            | b'>'
                            | b'['
                            | b'\\'
                            | b']'
                    )
            });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(EmailError)
        }
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes it unique: lower case.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The part before the @.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or(&self.0, |(local, _)| local)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}
