//! How the table of routes is made. It is read with every request and written when a server comes or goes, so
//! everything that can be known beforehand stands in it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sdk::{Addresses, AliasPlace, AskedAddress, WELL_KNOWN_PATH};

use crate::route::{Host, Routes, Target};
use crate::server::Server;
use crate::settings::SettingsError;

/// A server with its other places.
#[derive(Debug)]
pub(crate) struct PlacedServer {
    pub(crate) server: Arc<Server>,
    pub(crate) aliases: Vec<(String, AliasPlace)>,
}

/// A server at one of the hosts of one of its places.
#[derive(Clone, Copy)]
struct Place<'p> {
    server: &'p Arc<Server>,
    addresses: &'p Arc<Addresses>,
    name: &'p str,
    origin: &'p Arc<str>,
}

/// With the address that its metadata at the root names.
type AskedTarget<'p> = (Place<'p>, AskedAddress);

impl Routes {
    /// The table of `servers`. `authority` is where the authority is, `former` where it was, `reserved` are the first segments of its paths.
    ///
    /// # Errors
    /// When a request could mean two servers, or a server and the authority.
    pub(crate) fn new(
        authority: &Addresses,
        former: &[Addresses],
        reserved: &[String],
        servers: Vec<PlacedServer>,
    ) -> Result<Self, SettingsError> {
        let mut hosts: HashMap<Box<[u8]>, Host> = HashMap::new();
        let mut inhabitants: HashMap<&str, Vec<AskedTarget<'_>>> = HashMap::new();
        let origins = std::iter::once(authority).chain(former);
        for (name, origin) in origins.flat_map(Addresses::declared) {
            hosts.insert(name.as_bytes().into(), Host::new(origin, true));
        }
        // Of an alias and a resource at one address, the alias gives way.
        for PlacedServer { server, .. } in &servers {
            let addresses = server.protected.shared_addresses();
            for (name, origin) in addresses.declared() {
                let host = hosts
                    .entry(name.as_bytes().into())
                    .or_insert_with(|| Host::new(origin, false));
                let place = Place {
                    server,
                    addresses,
                    name,
                    origin,
                };
                let paths = server.protected.call_paths();
                let suffixes = server.protected.metadata_paths();
                host.add(place, paths, suffixes, reserved)
                    .map_err(|reason| SettingsError::resource(&server.settings, reason))?;
                let asked = server.protected.canonical_address(origin);
                inhabitants.entry(name).or_default().push((place, asked));
            }
        }
        for PlacedServer { server, aliases } in &servers {
            for (url, alias) in aliases {
                let addresses = alias.addresses();
                for (name, origin) in addresses.declared() {
                    let host = hosts
                        .entry(name.as_bytes().into())
                        .or_insert_with(|| Host::new(origin, false));
                    let place = Place {
                        server,
                        addresses,
                        name,
                        origin,
                    };
                    host.add(place, alias.call_paths(), alias.metadata_paths(), reserved)
                        .map_err(|reason| SettingsError::Alias {
                            slug: server.slug.to_string(),
                            url: url.clone(),
                            reason,
                        })?;
                    let asked = alias.canonical_address(origin);
                    inhabitants.entry(name).or_default().push((place, asked));
                }
            }
        }
        for (name, inhabitants) in inhabitants {
            // Otherwise the root document would name one server to a client of another.
            if let ([(only, asked)], Some(host)) = (&*inhabitants, hosts.get_mut(name.as_bytes())) {
                host.name_at_root(*only, asked.clone());
            }
        }
        let mut by_slug = HashMap::with_capacity(servers.len());
        for PlacedServer { server, .. } in servers {
            if let Some(twin) = by_slug.insert(Arc::clone(&server.slug), server) {
                let slug = twin.slug.to_string();
                return Err(SettingsError::SameSlug { slug });
            }
        }
        Ok(Self {
            hosts,
            servers: by_slug,
            reserved: reserved.into(),
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
    ///
    /// # Errors
    /// Why it cannot be here.
    fn add<'p>(
        &mut self,
        place: Place<'p>,
        paths: impl Iterator<Item = (&'p str, &'p Arc<str>)>,
        suffixes: impl Iterator<Item = (&'p str, &'p Arc<str>)>,
        reserved: &[String],
    ) -> Result<(), String> {
        let Place {
            server,
            addresses,
            name,
            origin,
        } = place;
        if self.origin != *origin {
            let other = &self.origin;
            return Err(format!(
                "requests to the host {name} are for {other} already, and do not say whether they mean {origin}"
            ));
        }
        let calls = paths.map(|(path, spelling)| (path.to_owned(), spelling, false));
        let metadata = suffixes
            .map(|(suffix, spelling)| (format!("{WELL_KNOWN_PATH}{suffix}"), spelling, true));
        for (path, spelling, is_metadata) in calls.chain(metadata) {
            if self.is_authority && !is_metadata && is_reserved(&path, reserved) {
                return Err(format!(
                    "{path} is the authority's own; take {origin}/mcp/{} or another path",
                    server.slug
                ));
            }
            match self.paths.entry(path.into()) {
                Entry::Occupied(taken) => {
                    let other = &taken.get().server.slug;
                    return Err(format!("the MCP server {other:?} is at the same address"));
                }
                Entry::Vacant(free) => free.insert(Target {
                    server: Arc::clone(server),
                    asked: AskedAddress {
                        origin: Arc::clone(origin),
                        path: Arc::clone(spelling),
                    },
                    addresses: Arc::clone(addresses),
                    is_metadata,
                }),
            };
        }
        Ok(())
    }

    /// Puts the metadata of the only server here at the root, where clients look last (RFC 9728 section 3).
    fn name_at_root(&mut self, only: Place<'_>, asked: AskedAddress) {
        self.paths
            .entry(WELL_KNOWN_PATH.into())
            .or_insert_with(|| Target {
                server: Arc::clone(only.server),
                asked,
                addresses: Arc::clone(only.addresses),
                is_metadata: true,
            });
    }
}

fn is_reserved(path: &str, reserved: &[String]) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    reserved.iter().any(|segment| segment == first)
}
