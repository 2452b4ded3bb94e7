use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connections that Portcullis opens itself, to fetch documents of clients, and to other issuers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// A PEM file with certificates to trust beside the machine's own.
    pub ca_file: Option<PathBuf>,
}
