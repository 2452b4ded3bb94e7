use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::{Secret, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use wire::oauth::JwkSet;

use crate::{Policy, RevokedGrants};

/// Everything that enforcement needs to know of all MCP servers behind one gateway, at one revision. Replaced whole.
#[derive(Debug, Clone, Default)]
pub struct FeedSnapshot {
    /// The authority's change counter when it was read.
    pub change: i64,
    /// By slug.
    pub servers: HashMap<String, Arc<ServerSnapshot>>,
}

/// Everything that enforcement needs to know of one MCP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerSnapshot {
    /// Its slug.
    pub slug: String,
    /// For people.
    pub name: String,
    /// The issuer whose tokens are accepted, byte for byte.
    pub issuer: String,
    /// What it was before the authority moved, each with the moment from which no token may name it: an `iss` that is
    /// accepted too.
    #[serde(default)]
    pub former_issuers: Vec<(String, Timestamp)>,
    /// The canonical resource: the one `aud` accepted.
    pub resource: String,
    /// What it was before a move, each with the moment from which no token may name it: an `aud` that is accepted too.
    pub former_resources: Vec<(String, Timestamp)>,
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
    #[serde(with = "in_base64url")]
    pub session_mac_key: Secret<Vec<u8>>,
    /// Makes digests of arguments, see [`crate::ArgumentDigests`]. Empty from an authority that knows none.
    #[serde(with = "in_base64url", default = "no_key")]
    pub argument_digest_key: Secret<Vec<u8>>,
}

fn no_key() -> Secret<Vec<u8>> {
    Secret::new(Vec::new())
}

/// What was revoked. Each is kept until the last token it concerns has expired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revocations {
    /// The grants.
    pub grants: RevokedGrants,
    /// Subjects whose tokens issued before the moment are refused.
    #[serde(serialize_with = "in_order")]
    pub subjects: HashMap<String, Timestamp>,
    /// Subjects whose tokens of a lower `standing` are refused: their roles or groups changed.
    #[serde(serialize_with = "in_order")]
    pub standings: HashMap<String, i64>,
    /// Clients whose tokens issued before the moment are refused.
    #[serde(serialize_with = "in_order")]
    pub clients: HashMap<String, Timestamp>,
    /// Everybody's tokens issued before the moment are refused: an epoch began then.
    pub everybody: Option<Timestamp>,
}

/// The same entries are the same bytes.
fn in_order<S: Serializer, T: Serialize>(
    entries: &HashMap<String, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let entries: BTreeMap<_, _> = entries.iter().collect();
    entries.serialize(serializer)
}

mod in_base64url {
    use base::{Secret, base64url, base64url_decode};
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        key: &Secret<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url(key.expose()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret<Vec<u8>>, D::Error> {
        let text = Secret::new(String::deserialize(deserializer)?);
        base64url_decode(text.expose())
            .map(Secret::new)
            .ok_or_else(|| D::Error::custom("a key is no base64url"))
    }
}
