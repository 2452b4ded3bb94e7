use base::Timestamp;

/// What another host said about a client, as it was when it was last good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDocument {
    /// What it is.
    pub kind: DocumentKind,
    /// Where it came from.
    pub url: String,
    /// What it said, byte for byte; a logo in base64.
    pub body: String,
    /// When it last came and was good.
    pub fetched_at: Timestamp,
    /// Until when it need not be fetched again.
    pub fresh_until: Timestamp,
    /// Since when it says what matters in it: for a client its name, return addresses, keys and ways to authenticate.
    pub changed_at: Timestamp,
}

/// What a document of another host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// A client ID metadata document; its address is the client's id.
    Client,
    /// The public keys of a client (RFC 7517 section 5).
    Keys,
    /// The logo of a client.
    Logo,
}

impl DocumentKind {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Keys => "keys",
            Self::Logo => "logo",
        }
    }

    /// Reads [`DocumentKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Client, Self::Keys, Self::Logo]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}
