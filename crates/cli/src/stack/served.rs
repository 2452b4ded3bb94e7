use base::Timestamp;
use domain::{McpServer, ServerSlug, Upstream};

/// What a gateway must know of an MCP server to answer at its address, whoever says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub slug: ServerSlug,
    pub resource: String,
    pub upstream: Upstream,
    /// Other addresses that are proven, each with its end.
    pub aliases: Vec<(String, Timestamp)>,
    pub created_at: Timestamp,
}

impl From<&McpServer> for Served {
    fn from(server: &McpServer) -> Self {
        Self {
            slug: server.slug.clone(),
            resource: server.resource.clone(),
            upstream: server.upstream.clone(),
            aliases: server.other_addresses.periods(),
            created_at: server.created_at,
        }
    }
}
