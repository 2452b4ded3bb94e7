use std::fmt;
use std::str::FromStr;

use lettre::Address;

/// RFC 5321 section 4.5.3.1.3, without its angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 128;

/// An e-mail address, perhaps with the name of whoever has it: `Example <sign-in@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox(lettre::message::Mailbox);

/// Why a text is no mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// Something that could begin another line of the message or of the conversation.
    #[error("has a line break or another control character in it")]
    ControlCharacter,
    /// Mail servers would have to speak SMTPUTF8 all the way.
    #[error("has letters in its address that are not ASCII; mail servers rarely take them")]
    NotAscii,
    /// It is no address.
    #[error("is no address of mail; write sign-in@example.com or Example <sign-in@example.com>")]
    Form,
}

impl Mailbox {
    /// The address alone.
    pub fn address(&self) -> &str {
        self.0.email.as_ref()
    }

    /// The name, when there is one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    pub(crate) fn as_lettre(&self) -> &lettre::message::Mailbox {
        &self.0
    }

    pub(crate) fn as_address(&self) -> &Address {
        &self.0.email
    }

    pub(crate) fn domain(&self) -> &str {
        self.0.email.domain()
    }
}

impl FromStr for Mailbox {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<Self, MailboxError> {
        if text.chars().any(char::is_control) {
            return Err(MailboxError::ControlCharacter);
        }
        let mailbox: lettre::message::Mailbox =
            text.trim().parse().map_err(|_| MailboxError::Form)?;
        let address: &str = mailbox.email.as_ref();
        if !address.is_ascii() {
            return Err(MailboxError::NotAscii);
        }
        let name = mailbox.name.as_deref().unwrap_or_default();
        if address.len() > ADDRESS_BYTES_MAX || name.len() > NAME_BYTES_MAX {
            return Err(MailboxError::Form);
        }
        Ok(Self(mailbox))
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
