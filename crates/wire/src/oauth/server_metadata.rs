use serde::{Deserialize, Serialize};

use super::Scope;

/// Authorization server metadata (RFC 8414 section 2), the same JSON at every address, the OpenID one included.
/// Absent members are left out, never `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each member is named by RFC 8414 section 2")]
pub struct AuthorizationServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub introspection_endpoint: Option<String>,
    pub scopes_supported: Vec<Scope>,
    pub response_types_supported: Vec<String>,
    pub response_modes_supported: Vec<String>,
    pub grant_types_supported: Vec<String>,
    /// `none` first: the C# SDK takes the first entry.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// For `private_key_jwt`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// As for the token endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// MCP servers authenticate there, not clients.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    pub code_challenge_methods_supported: Vec<String>,
    /// RFC 9207 section 3.
    pub authorization_response_iss_parameter_supported: bool,
    /// draft-ietf-oauth-client-id-metadata-document section 6; left out until it is true.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub client_id_metadata_document_supported: bool,
    /// Only because the TypeScript SDK refuses an OpenID document without it; we issue no ID token.
    pub subject_types_supported: Vec<String>,
    /// As above.
    pub id_token_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service_documentation: Option<String>,
}
