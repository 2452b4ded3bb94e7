use std::path::PathBuf;
use std::time::Duration;

use base::Secret;

use crate::Mailbox;

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It begins in the clear, and nothing but the request for TLS is said before TLS (RFC 3207). Without it, nothing is sent.
    StartTls,
    /// It begins with TLS (RFC 8314 section 3).
    Implicit,
    /// Not at all.
    None,
}

impl Encryption {
    /// The port that is usual for it.
    pub fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// Which server takes our mail, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's name or address; its certificate must be for it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// A user name and a password, when it wants them.
    pub credentials: Option<(String, Secret<String>)>,
    /// Whom mail is from.
    pub from: Mailbox,
    /// What we call ourselves in EHLO: a name under which this machine is known.
    pub hello_name: String,
    /// A PEM file with certificates that are trusted in addition to the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How long look-up, connection and TLS may take together.
    pub connect_timeout: Duration,
    /// How long a message may take altogether, its wait for others included.
    pub total_timeout: Duration,
}
