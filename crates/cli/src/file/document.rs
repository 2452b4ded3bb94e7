use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entries::{Policy, Scope};

/// The format that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The whole file. Keys are what a thing is known by and never changes: slug, client id, e-mail address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Document {
    /// Always [`FORMAT`].
    pub(super) format: u32,
    /// The digest of everything below it, when it was exported.
    pub(super) base: String,
    /// The MCP servers by slug.
    pub(super) servers: BTreeMap<String, Server>,
    /// The people by e-mail address.
    pub(super) people: BTreeMap<String, Person>,
    /// The groups by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) groups: BTreeMap<String, Group>,
}

/// One MCP server with its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Server {
    pub(super) name: String,
    /// What people type; the one `aud` of its tokens.
    pub(super) url: String,
    pub(super) upstream: Upstream,
    /// Under the names of the flags of `servers set`, in their words.
    pub(super) settings: BTreeMap<String, String>,
    /// In the order that people see them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes: Vec<Scope>,
    pub(super) policy: Policy,
    /// Those that an admin added, by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) clients: BTreeMap<String, Client>,
    /// What was decided about clients with a metadata document, by its address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) decisions: BTreeMap<String, Decision>,
}

/// Where the calls go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Upstream {
    pub(super) kind: UpstreamKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header_file: Option<String>,
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<String>,
    /// The names of the variables that are passed on. Their values may be secrets and are never here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<String>,
}

/// The kind of [`Upstream`]; each has members of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UpstreamKind {
    #[default]
    Todo,
    Http,
    Stdio,
}

/// A pre-registered client. Its secret, of which the store has a digest only, is never here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Client {
    pub(super) name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) blocked: bool,
    pub(super) redirect_uris: Vec<String>,
    pub(super) authentication: Vec<domain::AuthMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwks_uri: Option<String>,
    /// Public keys as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwks: Option<String>,
    /// What it may ask for on its own behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_scopes: Option<String>,
    /// It is forgotten, whatever else is said of it. An export never says it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) removed: bool,
}

/// What was decided about a client with a metadata document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decision {
    Approved,
    Blocked,
    /// As if nothing had been decided. An export never says it.
    Undecided,
}

/// Somebody who may sign in. Whether they have a password, and which, is not here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Person {
    pub(super) name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) owner: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) disabled: bool,
    /// The names of the roles that they were given themselves, by slug.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) roles: GivenRoles,
}

/// Some people under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    /// What rules and limits name.
    pub(super) id: String,
    /// E-mail addresses.
    pub(super) members: Vec<String>,
    /// The names of the roles that all of them were given, by slug.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) roles: GivenRoles,
    /// It is taken away, whatever else is said of it. An export never says it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) removed: bool,
}

/// Names of roles by slug.
pub(super) type GivenRoles = BTreeMap<String, Vec<String>>;
