use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entries::{Policy, Scope};

/// The format that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The whole file. Keys are what a thing is known by and never changes: slug, client id, e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// Always [`FORMAT`].
    pub(super) format: u32,
    /// The digest of everything below it, when it was exported.
    pub(super) base: String,
    /// The MCP servers by slug.
    #[serde(default)]
    pub(super) servers: BTreeMap<String, Server>,
    /// The people by e-mail address.
    #[serde(default)]
    pub(super) people: BTreeMap<String, Person>,
}

/// One MCP server with its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) name: String,
    /// What people type; the one `aud` of its tokens.
    pub(super) url: String,
    pub(super) upstream: Upstream,
    /// Under the names of the flags of `servers set`, in their words.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
    /// In the order that people see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes: Vec<Scope>,
    #[serde(default)]
    pub(super) policy: Policy,
    /// Those that an admin added, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) clients: BTreeMap<String, Client>,
    /// What was decided about clients with a metadata document, by its address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) decisions: BTreeMap<String, Decision>,
}

/// Where the calls go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) kind: UpstreamKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) header_file: Option<String>,
    /// The program and its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<String>,
    /// The names of the variables that are passed on. Their values may be secrets and are never here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<String>,
}

/// The kind of [`Upstream`]; each has members of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UpstreamKind {
    Todo,
    Http,
    Stdio,
}

/// A pre-registered client. Its secret, of which the store has a digest only, is never here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) blocked: bool,
    pub(super) redirect_uris: Vec<String>,
    pub(super) authentication: Vec<domain::AuthMethod>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jwks_uri: Option<String>,
    /// Public keys as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jwks: Option<String>,
    /// What it may ask for on its own behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service_scopes: Option<String>,
}

/// What was decided about a client with a metadata document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decision {
    Approved,
    Blocked,
}

/// Somebody who may sign in. Whether they have a password, and which, is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) owner: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) disabled: bool,
}
