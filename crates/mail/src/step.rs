use std::fmt;

/// The steps of sending a message, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Waiting until one of the messages before it is done.
    Waiting,
    /// Writing the message.
    Composing,
    /// Turning the server's name into addresses.
    Name,
    /// Opening a connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The server's first line.
    Greeting,
    /// EHLO, to which the server says what it offers.
    Hello,
    /// STARTTLS, the request for encryption (RFC 3207).
    StartTls,
    /// AUTH, the sign-in (RFC 4954).
    Authenticate,
    /// MAIL FROM, the sender's address.
    Sender,
    /// RCPT TO, the recipient's address.
    Recipient,
    /// DATA, the message itself.
    Content,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Waiting => "waiting",
            Self::Composing => "composing",
            Self::Name => "name",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Authenticate => "AUTH",
            Self::Sender => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Content => "DATA",
        })
    }
}
