use std::collections::HashMap;
use std::sync::Arc;

use base::Random;
use http::StatusCode;
use http::request::Parts;
use sdk::{
    Addresses, AskedAddress, ProtectedServer, Refusal, RefusalCause, WELL_KNOWN_PATH, wrong_host,
};

use crate::metric::ServerMetric;
use crate::upstream::Forwarder;

/// Where MCP servers are, each at `/mcp/{slug}`.
const MCP_PREFIX: &str = "/mcp/";

/// One MCP server behind the gateway.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) slug: Arc<str>,
    pub(crate) metric: Arc<ServerMetric>,
    pub(crate) protected: ProtectedServer,
    pub(crate) forwarder: Forwarder,
}

/// All of them, by host and exact path.
#[derive(Debug)]
pub(crate) struct Routes {
    addresses: Arc<Addresses>,
    servers: HashMap<String, Arc<Server>>,
}

/// What a request is for.
#[derive(Debug)]
pub(crate) enum Route {
    /// An MCP server.
    Call(Arc<Server>, AskedAddress),
    /// The protected resource metadata of one.
    Metadata(Arc<Server>, AskedAddress),
}

impl Routes {
    pub(crate) fn new(addresses: Arc<Addresses>, servers: Vec<Server>) -> Self {
        Self {
            addresses,
            servers: servers
                .into_iter()
                .map(|server| (server.slug.to_string(), Arc::new(server)))
                .collect(),
        }
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// What `request` is for. Paths are compared as they stand: nothing is decoded, joined or folded.
    ///
    /// # Errors
    /// 400 or 421 for the host, 404 for the path.
    pub(crate) fn find(&self, request: &Parts, random: &dyn Random) -> Result<Route, Refusal> {
        let origin = self
            .addresses
            .declared_origin(request)
            .map_err(|refusal| wrong_host(random, &self.addresses, &refusal))?;
        let path = request.uri.path();
        let route = match path.strip_prefix(WELL_KNOWN_PATH) {
            Some("") => self
                .only_server()
                .map(|server| (server, server.protected.canonical_address(origin), true)),
            Some(suffix) => self.server_at(origin, suffix, true),
            None => self.server_at(origin, path, false),
        };
        match route {
            Some((server, asked, true)) => Ok(Route::Metadata(Arc::clone(server), asked)),
            Some((server, asked, false)) => Ok(Route::Call(Arc::clone(server), asked)),
            None => Err(not_found(random)),
        }
    }

    /// The root document would otherwise name one server to a client of another.
    fn only_server(&self) -> Option<&Arc<Server>> {
        let mut servers = self.servers.values();
        servers.next().filter(|_| servers.next().is_none())
    }

    fn server_at(
        &self,
        origin: &Arc<str>,
        path: &str,
        metadata: bool,
    ) -> Option<(&Arc<Server>, AskedAddress, bool)> {
        let slug = path.strip_prefix(MCP_PREFIX)?;
        let server = self.servers.get(slug.strip_suffix('/').unwrap_or(slug))?;
        Some((server, server.protected.asked(origin, path)?, metadata))
    }
}

fn not_found(random: &dyn Random) -> Refusal {
    Refusal::oauth(
        random,
        RefusalCause::NotFound,
        StatusCode::NOT_FOUND,
        "not_found",
        "Nothing is at this address; MCP servers are at /mcp/ and their name",
    )
}
