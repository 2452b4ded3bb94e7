use std::collections::HashMap;
use std::sync::Arc;

use base::Random;
use http::{HeaderMap, StatusCode, Uri};
use sdk::{
    Addresses, AskedAddress, HostRefusal, Refusal, RefusalCause, WELL_KNOWN_PATH, asked_host,
};

use crate::server::Server;

/// The longest host name that DNS has, with a dot at its end and a port.
const HOST_BYTES_MAX: usize = 260;

/// Which host and exact path leads to which MCP server. Made in `route_table.rs`.
#[derive(Debug)]
pub(crate) struct Routes {
    /// By what `Host` says, in lower case.
    pub(super) hosts: HashMap<Box<[u8]>, Host>,
    pub(super) servers: HashMap<Arc<str>, Arc<Server>>,
    /// First segments of the authority's own paths.
    pub(super) reserved: Box<[String]>,
}

/// What is at one host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) origin: Arc<str>,
    /// Whether the authority answers here what is not the gateway's.
    pub(super) is_authority: bool,
    /// By path, as it stands in a request.
    pub(super) paths: HashMap<Box<str>, Target>,
}

/// What is at one address.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) server: Arc<Server>,
    pub(super) asked: AskedAddress,
    /// The addresses of the place that it is; they say which pages may call.
    pub(super) addresses: Arc<Addresses>,
    pub(super) is_metadata: bool,
}

/// What a request is for.
#[derive(Debug)]
pub(crate) enum Route {
    /// An MCP server.
    Call(Arc<Server>, AskedAddress, Arc<Addresses>),
    /// The protected resource metadata of one.
    Metadata(Arc<Server>, AskedAddress),
    /// Nothing of ours; at the authority's own host perhaps something of the authority's.
    Nothing {
        /// Whether it was asked for there, and is no metadata but of what the authority itself protects.
        may_be_authority: bool,
    },
    /// Another host, or none.
    Elsewhere(HostRefusal),
}

impl Routes {
    /// What a request is for. Paths are compared as they stand: nothing is decoded, joined or folded.
    pub(crate) fn find(&self, uri: &Uri, headers: &HeaderMap) -> Route {
        let asked = match asked_host(uri, headers) {
            Ok(asked) => asked,
            Err(refusal) => return Route::Elsewhere(refusal),
        };
        let Some(host) = self.host(asked) else {
            return Route::Elsewhere(HostRefusal::unknown(asked));
        };
        match host.paths.get(uri.path()) {
            Some(target) => {
                let (server, asked) = (Arc::clone(&target.server), target.asked.clone());
                if target.is_metadata {
                    Route::Metadata(server, asked)
                } else {
                    Route::Call(server, asked, Arc::clone(&target.addresses))
                }
            }
            None => Route::Nothing {
                may_be_authority: host.is_authority
                    && (!is_metadata_path(uri.path()) || self.is_own_metadata(uri.path())),
            },
        }
    }

    /// Whether it is the metadata of something at one of the authority's own paths, such as its admin API.
    fn is_own_metadata(&self, path: &str) -> bool {
        let suffix = path.strip_prefix(WELL_KNOWN_PATH);
        let first = suffix.and_then(|suffix| suffix.split('/').nth(1));
        first.is_some_and(|first| {
            let mut reserved = self.reserved.iter();
            !first.is_empty() && reserved.any(|segment| segment == first)
        })
    }

    pub(crate) fn server(&self, slug: &str) -> Option<&Arc<Server>> {
        self.servers.get(slug)
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    fn host(&self, asked: &[u8]) -> Option<&Host> {
        let mut folded = [0; HOST_BYTES_MAX];
        let folded = folded.get_mut(..asked.len())?;
        folded.copy_from_slice(asked);
        folded.make_ascii_lowercase();
        self.hosts.get(&*folded)
    }
}

/// Whether protected resource metadata is or would be at `path`.
pub(crate) fn is_metadata_path(path: &str) -> bool {
    path.strip_prefix(WELL_KNOWN_PATH)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) fn not_found(random: &dyn Random) -> Refusal {
    Refusal::oauth(
        random,
        RefusalCause::NotFound,
        StatusCode::NOT_FOUND,
        "not_found",
        "No MCP server is at this address",
    )
}
