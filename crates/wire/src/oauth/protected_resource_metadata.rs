use serde::{Deserialize, Serialize};

use super::Scope;

/// Protected resource metadata (RFC 9728 section 2). Absent members are left out, never `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedResourceMetadata {
    /// The declared address that was asked, byte for byte as people type it.
    pub resource: String,
    /// Exactly one issuer, byte-identical to the `issuer` of its metadata.
    pub authorization_servers: Vec<String>,
    /// The scopes for basic use; never `offline_access`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes_supported: Vec<Scope>,
    /// Always `["header"]`: RFC 6750 section 2.1.
    pub bearer_methods_supported: Vec<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource_name: Option<String>,
    /// For developers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource_documentation: Option<String>,
}
