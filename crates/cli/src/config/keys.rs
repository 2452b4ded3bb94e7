use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::SecretText;

/// What seals the signing keys in the database. Without either: a file in the data directory, made at the first start; several nodes
/// must share one that you made (`openssl rand 32 | basenc --base64url -w0 | tr -d =`).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// A file with 32 bytes in base64url. Nobody else may read it.
    pub master_key_file: Option<PathBuf>,
    /// The 32 bytes themselves, in base64url; meant for the environment.
    pub master_key: Option<SecretText>,
}
