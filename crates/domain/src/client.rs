use base::Timestamp;
use wire::oauth::{ClientRegistrationResponse, RedirectUri};

use crate::{ClientId, ServerSlug};

/// A registered public client of one MCP server.
#[derive(Debug, Clone)]
pub struct Client {
    /// Unknown at every other MCP server.
    pub id: ClientId,
    /// The MCP server it belongs to.
    pub server: ServerSlug,
    /// Self-asserted, so never proof of anything.
    pub name: String,
    /// Where codes may go; matched by [`RedirectUri::accepts`].
    pub redirect_uris: Vec<RedirectUri>,
    /// How it came to be.
    pub registration: ClientRegistration,
    /// The whole registration, as it was answered; kept as JSON and echoed to a repeat.
    pub metadata: ClientRegistrationResponse,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was disabled; a disabled client is refused on every path.
    pub disabled_at: Option<Timestamp>,
}

/// How a client came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRegistration {
    /// It registered itself (RFC 7591).
    Dynamic,
    /// An admin added it.
    PreRegistered,
}

impl ClientRegistration {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::PreRegistered => "pre-registered",
        }
    }

    /// Reads [`ClientRegistration::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dynamic, Self::PreRegistered]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl Client {
    /// The registered URI that accepts `asked`, if any.
    pub fn accepted_redirect_uri(&self, asked: &RedirectUri) -> Option<&RedirectUri> {
        self.redirect_uris
            .iter()
            .find(|registered| registered.accepts(asked))
    }
}
