use std::collections::HashMap;
use std::sync::Arc;

use base::{Secret, Timestamp};
use wire::oauth::JwkSet;

use crate::Policy;

/// Everything that enforcement needs to know of all MCP servers behind one gateway, at one revision. Replaced whole.
#[derive(Debug, Clone, Default)]
pub struct FeedSnapshot {
    /// The authority's change counter when it was read.
    pub change: i64,
    /// By slug.
    pub servers: HashMap<String, Arc<ServerSnapshot>>,
}

/// Everything that enforcement needs to know of one MCP server.
#[derive(Debug, Clone)]
pub struct ServerSnapshot {
    /// Its slug.
    pub slug: String,
    /// For people.
    pub name: String,
    /// The issuer whose tokens are accepted, byte for byte.
    pub issuer: String,
    /// The canonical resource: the one `aud` accepted.
    pub resource: String,
    /// The policy.
    pub policy: Policy,
    /// The policy's revision.
    pub policy_revision: i64,
    /// The authority's public keys for access tokens, retired ones included while they still verify.
    pub keys: JwkSet,
    /// What was revoked and has not expired yet.
    pub revocations: Revocations,
    /// Where people read about the server.
    pub documentation_url: Option<String>,
    /// Binds MCP session ids to their principal.
    pub session_mac_key: Secret<Vec<u8>>,
}

/// What was revoked. Each is kept until the last token it concerns has expired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Grant ids, with the moment the entry may be forgotten.
    pub grants: HashMap<String, Timestamp>,
    /// Subjects whose tokens issued before the moment are refused.
    pub subjects: HashMap<String, Timestamp>,
    /// Clients whose tokens issued before the moment are refused.
    pub clients: HashMap<String, Timestamp>,
    /// Everybody's tokens issued before the moment are refused: an epoch began then.
    pub everybody: Option<Timestamp>,
}
