use std::sync::Arc;

use authz::ServerSnapshot;
use wire::oauth::ProtectedResourceMetadata;

/// Where protected resource metadata begins (RFC 9728 section 3).
pub const WELL_KNOWN_PATH: &str = "/.well-known/oauth-protected-resource";

/// The declared address that a request asks for: metadata and challenge answer for it, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedAddress {
    /// The declared origin.
    pub origin: Arc<str>,
    /// The path, in the slash form that was asked.
    pub path: Arc<str>,
}

impl AskedAddress {
    /// The MCP URL as this caller types it.
    pub fn resource(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// Where its metadata is: on the same origin, the path after the well-known one; of the root, nothing is after it.
    ///
    /// Spec: RFC 9728 section 3.1.
    pub fn metadata_url(&self) -> String {
        let path = if *self.path == *"/" { "" } else { &*self.path };
        format!("{}{WELL_KNOWN_PATH}{path}", self.origin)
    }
}

/// The protected resource metadata for the address that was asked.
///
/// Spec: RFC 9728 section 2.
pub fn resource_metadata(
    server: &ServerSnapshot,
    asked: &AskedAddress,
) -> ProtectedResourceMetadata {
    ProtectedResourceMetadata {
        resource: asked.resource(),
        authorization_servers: vec![server.issuer.clone()],
        // What a client needs to begin with: several ask for all that stands here.
        scopes_supported: server.policy.default_scopes.iter().cloned().collect(),
        bearer_methods_supported: vec!["header".to_owned()],
        resource_name: (!server.name.is_empty()).then(|| server.name.clone()),
        resource_documentation: server.documentation_url.clone(),
    }
}
