use std::sync::Arc;

use crate::resource_metadata::AskedAddress;
use crate::resource_path::ResourcePath;
use crate::{Addresses, CanonicalResource, ResourceError};

/// Another address at which a protected server answers: an origin and a path of its own. Metadata and challenges name it
/// when it was asked; the `aud` of tokens stays the server's own resource.
#[derive(Debug)]
pub struct AliasPlace {
    addresses: Arc<Addresses>,
    path: ResourcePath,
}

impl AliasPlace {
    /// The place of `url`. `allowed_origins` are as for [`Addresses::new`].
    ///
    /// # Errors
    /// When it is not written as a resource is.
    pub fn new(url: &str, allowed_origins: &[String]) -> Result<Self, ResourceError> {
        let resource = CanonicalResource::parse(url)?;
        let addresses = Addresses::new(resource.origin(), &[], allowed_origins)
            .map_err(|error| ResourceError::because(error.to_string()))?;
        Ok(Self {
            addresses: Arc::new(addresses),
            path: ResourcePath::new(resource.path()),
        })
    }

    /// The hosts that it answers at, and which pages may call it there.
    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// The paths of requests to it, each with the path of the address that it asks for.
    pub fn call_paths(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.path.of_calls()
    }

    /// What follows the well-known path in requests for its metadata, each with the path of the address that it asks
    /// for.
    pub fn metadata_paths(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.path.of_metadata().into_iter()
    }

    /// The address as it was declared, under `origin`.
    pub fn canonical_address(&self, origin: &Arc<str>) -> AskedAddress {
        AskedAddress {
            origin: Arc::clone(origin),
            path: Arc::clone(self.path.canonical()),
        }
    }
}
