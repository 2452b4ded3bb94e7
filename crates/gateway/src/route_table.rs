//! How the table of routes is made. It is read with every request and written when a server comes or goes, so
//! everything that can be known beforehand stands in it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sdk::{Addresses, AskedAddress, WELL_KNOWN_PATH};

use crate::route::{Host, Routes, Target};
use crate::server::Server;
use crate::settings::SettingsError;

impl Routes {
    /// The table of `servers`. `authority` is where the authority is, `reserved` are the first segments of its paths.
    ///
    /// # Errors
    /// When a request could mean two servers, or a server and the authority.
    pub(crate) fn new(
        authority: &Addresses,
        reserved: &[String],
        servers: Vec<Arc<Server>>,
    ) -> Result<Self, SettingsError> {
        let mut hosts: HashMap<Box<[u8]>, Host> = HashMap::new();
        let mut inhabitants: HashMap<&str, Vec<&Arc<Server>>> = HashMap::new();
        for (name, origin) in authority.declared() {
            hosts.insert(name.as_bytes().into(), Host::new(origin, true));
        }
        for server in &servers {
            for (name, origin) in server.protected.addresses().declared() {
                let host = hosts
                    .entry(name.as_bytes().into())
                    .or_insert_with(|| Host::new(origin, false));
                host.add(server, name, origin, reserved)?;
                inhabitants.entry(name).or_default().push(server);
            }
        }
        for (name, inhabitants) in inhabitants {
            // Otherwise the root document would name one server to a client of another.
            if let ([only], Some(host)) = (&*inhabitants, hosts.get_mut(name.as_bytes())) {
                host.name_at_root(only);
            }
        }
        let mut by_slug = HashMap::with_capacity(servers.len());
        for server in servers {
            if let Some(twin) = by_slug.insert(Arc::clone(&server.slug), server) {
                let slug = twin.slug.to_string();
                return Err(SettingsError::SameSlug { slug });
            }
        }
        Ok(Self {
            hosts,
            servers: by_slug,
        })
    }
}

impl Host {
    fn new(origin: &Arc<str>, is_authority: bool) -> Self {
        Self {
            origin: Arc::clone(origin),
            is_authority,
            paths: HashMap::new(),
        }
    }

    /// Adds every spelling of a server's address and of its metadata's.
    fn add(
        &mut self,
        server: &Arc<Server>,
        name: &str,
        origin: &Arc<str>,
        reserved: &[String],
    ) -> Result<(), SettingsError> {
        let refused = |reason| Err(SettingsError::resource(&server.settings, reason));
        if self.origin != *origin {
            let other = &self.origin;
            return refused(format!(
                "requests to the host {name} are for {other} already, and do not say whether they mean {origin}"
            ));
        }
        let paths = server.protected.call_paths();
        let calls = paths.map(|(path, spelling)| (path.to_owned(), spelling, false));
        let suffixes = server.protected.metadata_paths();
        let metadata = suffixes
            .map(|(suffix, spelling)| (format!("{WELL_KNOWN_PATH}{suffix}"), spelling, true));
        for (path, spelling, is_metadata) in calls.chain(metadata) {
            if self.is_authority && !is_metadata && is_reserved(&path, reserved) {
                return refused(format!(
                    "{path} is the authority's own; take {origin}/mcp/{} or another path",
                    server.slug
                ));
            }
            match self.paths.entry(path.into()) {
                Entry::Occupied(taken) => {
                    let other = &taken.get().server.slug;
                    return refused(format!("the MCP server {other:?} is at the same address"));
                }
                Entry::Vacant(free) => free.insert(Target {
                    server: Arc::clone(server),
                    asked: AskedAddress {
                        origin: Arc::clone(origin),
                        path: Arc::clone(spelling),
                    },
                    is_metadata,
                }),
            };
        }
        Ok(())
    }

    /// Puts the metadata of the only server here at the root, where clients look last (RFC 9728 section 3).
    fn name_at_root(&mut self, only: &Arc<Server>) {
        let asked = only.protected.canonical_address(&self.origin);
        self.paths
            .entry(WELL_KNOWN_PATH.into())
            .or_insert_with(|| Target {
                server: Arc::clone(only),
                asked,
                is_metadata: true,
            });
    }
}

fn is_reserved(path: &str, reserved: &[String]) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    reserved.iter().any(|segment| segment == first)
}
