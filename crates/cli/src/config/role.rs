use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Origin, SecretText};

/// Which parts of Portcullis run in this process.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Authority and gateway.
    #[default]
    All,
    /// OAuth, the pages and the policy feeds, with the database; MCP servers are answered for by gateways elsewhere.
    Authority,
    /// MCP servers alone, without a database; `[authority]` says where the rest is.
    Gateway,
}

/// The authority of a node with the role `gateway`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorityElsewhere {
    /// Its `public_url`. The MCP servers at that origin are answered for under its name.
    pub url: Option<Origin>,
    /// Another origin at which this node reaches it, such as `https://authority.internal:4180`, when the public one leads
    /// through an entrance that it should not go through. The authority hears the host of `url` all the same.
    pub connect_to: Option<Origin>,
    /// A PEM file with certificates to trust beside the machine's own on the way to it.
    pub ca_file: Option<PathBuf>,
    /// The MCP servers that this node answers for.
    pub servers: Vec<ServerElsewhere>,
}

/// One MCP server of an authority elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerElsewhere {
    /// Its name in addresses.
    pub slug: String,
    /// What `portcullis servers credential SLUG` printed at the authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<SecretText>,
    /// A file that holds it instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_file: Option<PathBuf>,
}
