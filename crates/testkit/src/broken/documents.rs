//! The documents in which the server describes itself.

use serde_json::{Value, json};

use super::site::Site;

pub(super) const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// Every address of the authorization server's metadata, in the order in which clients look: the issuer has a path.
pub(super) const SERVER_METADATA: [&str; 6] = [
    "/.well-known/oauth-authorization-server/as",
    "/.well-known/openid-configuration/as",
    "/as/.well-known/openid-configuration",
    "/as/.well-known/oauth-authorization-server",
    // For clients that look at the MCP server's own origin.
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];

/// Of the MCP server.
///
/// Spec: RFC 9728 section 2.
pub(super) fn resource_metadata(site: &Site, resource: &str) -> Value {
    json!({
        "resource": resource,
        "authorization_servers": [site.issuer()],
        "scopes_supported": ["notes:read", "notes:write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Notes",
    })
}

/// Of the authorization server.
///
/// Spec: RFC 8414 section 2.
pub(super) fn server_metadata(site: &Site) -> Value {
    let issuer = site.issuer();
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "registration_endpoint": format!("{issuer}/register"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "jwks_uri": format!("{issuer}/jwks.json"),
        "scopes_supported": ["notes:read", "notes:write", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}
