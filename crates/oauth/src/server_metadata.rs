use domain::{McpServer, RegistrationMode};
use wire::oauth::{AuthorizationServerMetadata, Scope};

/// What a client gets beside the scopes of the server whenever it gets a refresh token; no scope of any server.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// The metadata of one MCP server's issuer: the same at every address, and only what is there.
///
/// Spec: RFC 8414 section 2; RFC 9207 section 3.
pub fn server_metadata(server: &McpServer, public_url: &str) -> AuthorizationServerMetadata {
    let issuer = issuer(public_url, server.slug.as_str());
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    let mut scopes_supported: Vec<Scope> = server
        .policy
        .scopes
        .iter()
        .map(|declared| declared.name.clone())
        .collect();
    scopes_supported.push(Scope::parse(OFFLINE_ACCESS).expect("a scope name"));
    AuthorizationServerMetadata {
        authorization_endpoint: format!("{issuer}/authorize"),
        token_endpoint: format!("{issuer}/token"),
        jwks_uri: format!("{public_url}/jwks.json"),
        registration_endpoint: (server.settings.dynamic_registration != RegistrationMode::Off)
            .then(|| format!("{issuer}/register")),
        revocation_endpoint: Some(format!("{issuer}/revoke")),
        introspection_endpoint: None,
        issuer,
        scopes_supported,
        response_types_supported: words(&["code"]),
        response_modes_supported: words(&["query"]),
        grant_types_supported: words(&["authorization_code", "refresh_token"]),
        token_endpoint_auth_methods_supported: words(&["none"]),
        revocation_endpoint_auth_methods_supported: words(&["none"]),
        code_challenge_methods_supported: words(&["S256"]),
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: false,
        subject_types_supported: words(&["public"]),
        id_token_signing_alg_values_supported: words(&["ES256"]),
        service_documentation: None,
    }
}

/// The issuer of the MCP server `slug`: byte-identical wherever it stands, without a slash at the end.
pub fn issuer(public_url: &str, slug: &str) -> String {
    format!("{public_url}/servers/{slug}")
}
