use bytes::Bytes;
use domain::McpServer;
use wire::oauth::{AuthorizationServerMetadata, ScopeSet};

use crate::resource_indicator::CanonicalResource;
use crate::server_metadata::{issuer, server_metadata};

/// One MCP server with everything about it that is computed once instead of per request. Replaced whole when the
/// server changes.
#[derive(Debug)]
pub struct ServerContext {
    /// The server.
    pub server: McpServer,
    /// Its issuer.
    pub issuer: String,
    /// Its metadata.
    pub metadata: AuthorizationServerMetadata,
    /// Its metadata as the document that is served.
    pub metadata_json: Bytes,
    pub(crate) declared_scopes: ScopeSet,
    pub(crate) resource: CanonicalResource,
}

impl ServerContext {
    /// Computes the context of `server`.
    pub fn new(server: McpServer, public_url: &str) -> Self {
        let metadata = server_metadata(&server, public_url);
        Self {
            issuer: issuer(public_url, server.slug.as_str()),
            metadata_json: serde_json::to_vec(&metadata)
                .expect("metadata has only strings and flags")
                .into(),
            metadata,
            declared_scopes: server.policy.declared_scopes(),
            resource: CanonicalResource::new(&server.resource),
            server,
        }
    }

    /// The slug.
    pub fn slug(&self) -> &str {
        self.server.slug.as_str()
    }
}
