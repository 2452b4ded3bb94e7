use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use http::{HeaderName, HeaderValue};
use sdk::{OpaqueTokens, OtherIssuer};
use url::Url;

use crate::stdio::StdioSettings;

/// Everything a gateway is told at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority's origin, such as `http://localhost:4180`, without a path or a trailing slash. On a loopback
    /// address `localhost`, `127.0.0.1` and `[::1]` all answer.
    pub public_url: String,
    /// Other origins under which the servers at `public_url` answer, written like it.
    pub alias_origins: Vec<String>,
    /// Origins that the authority had before: what is no MCP server's there is the authority's still.
    pub former_origins: Vec<String>,
    /// First segments of the paths at `public_url` that the authority answers, such as `admin`; an empty one stands for
    /// the root. No MCP server can be there.
    pub reserved_paths: Vec<String>,
    /// Browser origins that may call. Empty: loopback origins at a loopback address, any at a public one.
    pub allowed_origins: Vec<String>,
    /// The MCP servers behind this gateway to begin with.
    pub servers: Vec<ServerSettings>,
    /// What signs `Portcullis-Identity`.
    pub identity_key: IdentityKey,
    /// Turns service tokens into access tokens; without it none is taken.
    pub opaque_tokens: Option<Arc<dyn OpaqueTokens>>,
    /// Whose tokens an MCP server takes in the place of the authority's, by slug.
    pub other_issuers: HashMap<String, Arc<OtherIssuer>>,
    /// Sizes and times.
    pub limits: Limits,
}

/// One MCP server behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Its slug, as in the policy feed.
    pub slug: String,
    /// The exact URL that people type, such as `https://api.example.com/mcp`: it answers at that origin and path.
    pub resource: String,
    /// Other URLs at which it answers, written like the resource; each was proven to lead here.
    pub aliases: Vec<String>,
    /// Where its calls go.
    pub upstream: Upstream,
}

/// Where the calls of an MCP server go. Two are equal when a call cannot tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A Streamable HTTP MCP server.
    Http {
        /// Its MCP URL, `http` or `https`.
        url: Url,
        /// The operator's headers, sent with each call.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// A child process that speaks MCP on its standard streams.
    Stdio(StdioSettings),
    /// Nowhere, for what was set cannot be used. Callers keep their sign-in: everything is checked as always, and what is
    /// permitted is answered 503.
    Unusable,
}

/// The key behind `Portcullis-Identity`.
#[derive(Debug, Clone)]
pub struct IdentityKey {
    /// Its id in `/identity/jwks.json`.
    pub kid: String,
    /// An ES256 private key in PKCS#8.
    pub pkcs8: Secret<Vec<u8>>,
}

/// Sizes and times that bound a call.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest request body read.
    pub request_body_bytes_max: usize,
    /// The largest list answer that is read to be filtered, and the largest frame of a filtered stream.
    pub list_bytes_max: usize,
    /// How long a connection to an upstream may take.
    pub connect_timeout: Duration,
    /// How long an upstream may take until the head of its answer. The bodies of streams have no limit.
    pub head_timeout: Duration,
    /// How long an event stream may be silent until a comment keeps the proxies on its way from closing it.
    pub keep_alive_after: Duration,
    /// How long a call that was admitted may outlive its token.
    pub finish_after_expiry: Duration,
    /// How many calls one person may have open through one client, streams included; one more is 429.
    pub open_calls_max: usize,
    /// With a number, each call must be recorded: while so many records wait that nobody has taken, calls are refused. Their
    /// channel needs room for as many, and for one of each call that may be open. Without one, what finds no room in the
    /// channel is dropped.
    pub records_waiting_max: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body_bytes_max: 4 * 1024 * 1024,
            list_bytes_max: 16 * 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(5 * 60),
            keep_alive_after: Duration::from_secs(20),
            finish_after_expiry: Duration::from_secs(10 * 60),
            open_calls_max: 128,
            records_waiting_max: None,
        }
    }
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An origin that is not one.
    #[error(transparent)]
    Address(#[from] sdk::AddressError),
    /// The identity key cannot be read.
    #[error("identity_key is not an ES256 private key in PKCS#8")]
    IdentityKey,
    /// An upstream URL that cannot be called.
    #[error("the upstream of {slug:?} cannot be used: {reason}")]
    Upstream {
        /// The MCP server.
        slug: String,
        /// What is wrong.
        reason: String,
    },
    /// A resource at which no server can be, or another one is.
    #[error("the resource {resource:?} of {slug:?} cannot be used: {reason}")]
    Resource {
        /// The MCP server.
        slug: String,
        /// Its resource.
        resource: String,
        /// What is wrong.
        reason: String,
    },
    /// An alias at which the server cannot be, or another one is.
    #[error("the alias {url:?} of {slug:?} cannot be used: {reason}")]
    Alias {
        /// The MCP server.
        slug: String,
        /// The alias.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Two servers of one slug.
    #[error("there are two MCP servers called {slug:?}")]
    SameSlug {
        /// Their slug.
        slug: String,
    },
}

impl SettingsError {
    pub(crate) fn resource(settings: &ServerSettings, reason: String) -> Self {
        Self::Resource {
            slug: settings.slug.clone(),
            resource: settings.resource.clone(),
            reason,
        }
    }

    /// The MCP server whose settings are meant, when it is one's.
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Address(_) | Self::IdentityKey => None,
            Self::Upstream { slug, .. }
            | Self::Resource { slug, .. }
            | Self::Alias { slug, .. }
            | Self::SameSlug { slug } => Some(slug),
        }
    }
}
