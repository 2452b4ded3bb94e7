use domain::{McpServer, MetadataDocumentTrust, RegistrationMode};
use wire::oauth::{AuthorizationServerMetadata, Scope};

use crate::grant::GrantType;

/// What a client gets beside the scopes of the server whenever it gets a refresh token; no scope of any server.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// How a client may authenticate. `none` first: some clients take the first entry, and nearly all are public.
const AUTH_METHODS: [&str; 4] = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];

/// What a client may sign its assertions with.
const ASSERTION_ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

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
        introspection_endpoint: Some(format!("{issuer}/introspect")),
        issuer,
        scopes_supported,
        response_types_supported: words(&["code"]),
        response_modes_supported: words(&["query"]),
        grant_types_supported: words(&GrantType::OFFERED.map(GrantType::as_str)),
        token_endpoint_auth_methods_supported: words(&AUTH_METHODS),
        token_endpoint_auth_signing_alg_values_supported: words(&ASSERTION_ALGORITHMS),
        revocation_endpoint_auth_methods_supported: words(&AUTH_METHODS),
        revocation_endpoint_auth_signing_alg_values_supported: words(&ASSERTION_ALGORITHMS),
        introspection_endpoint_auth_methods_supported: words(&[
            "client_secret_basic",
            "client_secret_post",
        ]),
        code_challenge_methods_supported: words(&["S256"]),
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: server.settings.metadata_documents
            != MetadataDocumentTrust::Off,
        subject_types_supported: words(&["public"]),
        id_token_signing_alg_values_supported: words(&["ES256"]),
        service_documentation: server.settings.documentation_url.clone(),
    }
}

/// The issuer of the MCP server `slug`: byte-identical wherever it stands, without a slash at the end.
pub fn issuer(public_url: &str, slug: &str) -> String {
    format!("{public_url}/servers/{slug}")
}
