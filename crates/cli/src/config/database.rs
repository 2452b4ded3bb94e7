use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::SecretText;

/// Where the authority keeps everything. Without an address: SQLite in the data directory, for one node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`, PostgreSQL 15 or newer, for any number of nodes.
    pub url: Option<SecretText>,
    /// A file that holds the address instead.
    pub url_file: Option<PathBuf>,
    /// The PostgreSQL schema with the authority's tables, made when it is missing. The activity log is in another one beside it,
    /// whose name ends in `_activity`.
    pub schema: String,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            schema: "portcullis".to_owned(),
        }
    }
}
