use base::Timestamp;
use bytes::Bytes;
use domain::{FormerOrigin, McpServer};
use wire::oauth::{AuthorizationServerMetadata, ScopeSet};

use crate::Error;
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
    /// What its issuer was before the authority moved, each with the moment from which no token may name it.
    pub former_issuers: Vec<(String, Timestamp)>,
    /// Its metadata.
    pub metadata: AuthorizationServerMetadata,
    /// Its metadata as the document that is served.
    pub metadata_json: Bytes,
    pub(crate) declared_scopes: ScopeSet,
    pub(crate) resource: CanonicalResource,
    /// Of each alias, in the order in which the server has them.
    aliases: Vec<CanonicalResource>,
}

impl ServerContext {
    /// Computes the context of `server`.
    pub fn new(server: McpServer, public_url: &str, former: &[FormerOrigin]) -> Self {
        let metadata = server_metadata(&server, public_url);
        Self {
            issuer: issuer(public_url, server.slug.as_str()),
            former_issuers: former
                .iter()
                .map(|former| {
                    let issuer = issuer(&former.origin, server.slug.as_str());
                    (issuer, former.accepted_until)
                })
                .collect(),
            metadata_json: serde_json::to_vec(&metadata)
                .expect("metadata has only strings and flags")
                .into(),
            metadata,
            declared_scopes: server.policy.declared_scopes(),
            resource: CanonicalResource::new(&server.resource),
            aliases: server
                .other_addresses
                .aliases
                .iter()
                .map(|alias| CanonicalResource::new(&alias.url))
                .collect(),
            server,
        }
    }

    /// Checks every `resource` parameter of a request. None at all is accepted: a client is bound to this server's one
    /// audience anyway, since it came to this server's issuer. So is one that names an alias which answers at `now`.
    ///
    /// Spec: RFC 8707 section 2.
    pub(crate) fn check_resources<'r>(
        &self,
        asked: impl Iterator<Item = &'r str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let is_alias = |resource: &str| {
            let declared = self.server.other_addresses.aliases.iter();
            declared
                .zip(&self.aliases)
                .any(|(alias, named)| alias.is_live(now) && named.is_named_by(resource))
        };
        let mut others = asked.filter(|resource| !is_alias(resource));
        self.resource.check(&mut others)
    }

    /// Whether `audience` is that of its tokens at `now`: its resource, or what that was before a move.
    pub(crate) fn is_audience(&self, audience: &str, now: Timestamp) -> bool {
        audience == self.server.resource
            || self.server.other_addresses.accepts_former(audience, now)
    }

    /// Whether `issuer` is that of its tokens at `now`: its own, or what that was before the authority moved.
    pub(crate) fn is_issuer(&self, issuer: &str, now: Timestamp) -> bool {
        let mut former = self.former_issuers.iter();
        issuer == self.issuer || former.any(|(known, until)| now < *until && issuer == known)
    }

    /// The slug.
    pub fn slug(&self) -> &str {
        self.server.slug.as_str()
    }
}
