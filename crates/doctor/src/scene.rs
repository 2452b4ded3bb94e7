use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;
use wire::oauth::ReadChallenge;

use crate::signed_in::SignedIn;
use crate::{Exchange, MetadataDocument};

/// What earlier sections learned, for later ones.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The MCP URL as a URL.
    pub url: Url,
    /// The same as it was typed.
    pub typed: String,
    /// Whether the MCP server is on this machine.
    pub is_loopback: bool,
    /// Whether the MCP server answered HTTP at all; without that nothing else is looked at.
    pub is_reachable: bool,
    /// What it answered to `initialize` without a token.
    pub without_token: Option<Arc<Exchange>>,
    /// Its Bearer challenge.
    pub challenge: Option<ReadChallenge>,
    /// The protected resource metadata that clients end up with.
    pub resource_metadata: Option<Map<String, Value>>,
    /// The same with each address where it was looked for.
    pub resource_documents: MetadataDocument,
    /// The issuer, as the resource metadata writes it.
    pub issuer: Option<String>,
    /// The authorization server metadata that clients end up with.
    pub server_metadata: Option<Map<String, Value>>,
    /// The same with each address where it was looked for.
    pub server_documents: MetadataDocument,
    /// The key set.
    pub jwks: Option<Value>,
    /// The client that the registration section registered, for sections after it: what was answered.
    pub registered: Option<Map<String, Value>>,
    /// The tokens of this examination.
    pub signed_in: Option<SignedIn>,
}

impl Scene {
    pub(crate) fn new(url: Url, typed: String) -> Self {
        Self {
            is_loopback: is_loopback(&url),
            url,
            typed,
            is_reachable: false,
            without_token: None,
            challenge: None,
            resource_metadata: None,
            resource_documents: MetadataDocument::default(),
            issuer: None,
            server_metadata: None,
            server_documents: MetadataDocument::default(),
            jwks: None,
            registered: None,
            signed_in: None,
        }
    }

    /// An endpoint or another text of the authorization server metadata.
    pub fn endpoint(&self, member: &str) -> Option<Url> {
        let text = self.server_metadata.as_ref()?.get(member)?.as_str()?;
        Url::parse(text).ok()
    }

    /// Whether the authorization server metadata lists `value` under `member`.
    pub fn server_lists(&self, member: &str, value: &str) -> bool {
        self.server_metadata
            .as_ref()
            .and_then(|metadata| metadata.get(member)?.as_array())
            .is_some_and(|list| list.iter().any(|item| item == value))
    }
}

/// Whether `url` leads to this machine, by its words.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
