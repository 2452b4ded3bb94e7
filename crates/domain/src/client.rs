use base::Timestamp;
use serde::{Deserialize, Serialize};
use wire::oauth::{ClientRegistrationResponse, JwkSet, RedirectUri, ScopeSet};

use crate::{ClientId, ServerSlug};

/// A client of one MCP server.
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
    /// How it proves at the token endpoint that it is itself.
    pub authentication: ClientAuthentication,
    /// What it may ask for on its own behalf (RFC 6749 section 4.4); none when it may not.
    pub service_scopes: Option<ScopeSet>,
    /// The whole registration, as it was answered; kept as JSON and echoed to a repeat.
    pub metadata: ClientRegistrationResponse,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Since when it waits for an admin; people cannot use it until one has approved it.
    pub waiting_since: Option<Timestamp>,
    /// When it was disabled; a disabled client is refused on every path.
    pub disabled_at: Option<Timestamp>,
}

/// How a client proves that it is itself (RFC 6749 section 2.3). Kept as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAuthentication {
    /// Each of these will do; never empty.
    pub methods: Vec<AuthMethod>,
    /// The keys of [`AuthMethod::PrivateKeyJwt`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keys: Option<ClientKeys>,
}

/// One way to authenticate at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Not at all: a public client, which PKCE protects.
    None,
    /// A shared secret, in the `Authorization` header or the form alike.
    ClientSecret,
    /// A signed assertion (RFC 7523 section 2.2).
    PrivateKeyJwt,
}

/// Where the public keys of a client are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// Here.
    Inline(JwkSet),
    /// At this https address.
    Remote(String),
}

impl ClientAuthentication {
    /// A public client.
    pub fn none() -> Self {
        Self {
            methods: vec![AuthMethod::None],
            keys: None,
        }
    }

    /// Whether nothing but the `client_id` is asked for.
    pub fn is_public(&self) -> bool {
        self.methods == [AuthMethod::None]
    }

    /// Whether this method will do.
    pub fn accepts(&self, method: AuthMethod) -> bool {
        self.methods.contains(&method)
    }
}

/// How a client came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRegistration {
    /// It registered itself (RFC 7591).
    Dynamic,
    /// An admin added it.
    PreRegistered,
    /// Its id is the address of a document that describes it
    /// (draft-ietf-oauth-client-id-metadata-document).
    MetadataDocument,
}

impl ClientRegistration {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::PreRegistered => "pre-registered",
            Self::MetadataDocument => "metadata-document",
        }
    }

    /// Reads [`ClientRegistration::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dynamic, Self::PreRegistered, Self::MetadataDocument]
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
