//! Doors for fuzz targets: pure functions that nobody else should call.

use base::Timestamp;
use domain::ClientId;
use serde_json::Value;
use wire::oauth::RedirectUri;

use crate::resource_indicator::CanonicalResource;
use crate::{Error, client_id_metadata, registration_metadata};

/// Whether `asked` names the resource `own`.
pub fn resource_is_named_by(own: &str, asked: &str) -> bool {
    CanonicalResource::new(own).is_named_by(asked)
}

/// What a registration is answered with, before anything is stored.
///
/// # Errors
/// As the registration endpoint, as far as one body can tell.
pub fn read_registration(body: &[u8]) -> Result<Value, Error> {
    let metadata = registration_metadata::read(body)?;
    let uris: Vec<RedirectUri> = metadata
        .redirect_uris
        .iter()
        .filter_map(|text| RedirectUri::parse(text).ok())
        .collect();
    let id = ClientId::from_text("cli_fuzz");
    let response = metadata.into_response(&id, &uris, Timestamp::default());
    serde_json::to_value(response).map_err(Error::server_error)
}

/// What a client metadata document at `url` makes of the client.
///
/// # Errors
/// Why it is not acceptable.
pub fn read_client_document(url: &str, body: &[u8]) -> Result<Value, Error> {
    let metadata = client_id_metadata::read(url, body).map_err(Error::invalid_client)?;
    serde_json::to_value(metadata).map_err(Error::server_error)
}

/// The keys that a client's key set holds and we could use.
///
/// # Errors
/// Why it is not acceptable.
pub fn read_client_keys(body: &[u8]) -> Result<usize, Error> {
    let set = client_id_metadata::read_keys(body).map_err(Error::invalid_client)?;
    Ok(set.keys.len())
}

/// Whether a host is allowed by a list of patterns.
pub fn is_allowed_host(host: &str, patterns: &[String]) -> bool {
    client_id_metadata::url::is_allowed_host(host, patterns)
}
