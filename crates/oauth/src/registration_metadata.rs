use base::{Digest, Timestamp};
use domain::ClientId;
use serde_json::{Map, Value};
use wire::mcp::json::{Json, Limits, parse_strict};
use wire::oauth::{ClientRegistrationResponse, RedirectUri};

use crate::Error;
use crate::visible_text::visible;

mod members;

use members::{Members, TEXT_BYTES_MAX, malformed, refuse_nul, supported, without_empty};

/// A row of the database that a stranger makes: real registrations are below 2 KiB.
const LIMITS: Limits = Limits {
    bytes_max: 16 * 1024,
    depth_max: 8,
    values_max: 512,
};
const MEMBERS_MAX: usize = 64;
const SCOPE_BYTES_MAX: usize = 8192;

/// What a client may not say about itself: these are ours to say.
const RESERVED: &[&str] = &[
    "client_id",
    "client_id_issued_at",
    "client_secret",
    "client_secret_expires_at",
    "registration_access_token",
    "registration_client_uri",
];

/// The members of a registration request, read and checked; the redirect URIs are still to be judged.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Vec<String>,
    response_types: Vec<String>,
    scope: Option<String>,
    application_type: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    software_id: Option<String>,
    software_version: Option<String>,
    other: Map<String, Value>,
}

/// Reads a registration request. What we do not know is kept and echoed, `null` counts as absent, and an empty text
/// as well: strict clients choke on both.
///
/// Spec: RFC 7591 section 2.
pub(crate) fn read(body: &[u8]) -> Result<Metadata, Error> {
    let body = parse_strict(body, &LIMITS).map_err(|error| {
        Error::invalid_client_metadata(format!("the body is not acceptable JSON: {error}"))
    })?;
    let Json::Object(members) = body else {
        return Err(malformed("the body", "must be a JSON object"));
    };
    if members.len() > MEMBERS_MAX {
        return Err(malformed("the body", "has more than 64 members"));
    }
    let mut values = Map::new();
    for (name, value) in members.iter() {
        let name = name.as_str();
        if RESERVED.contains(&name) {
            continue;
        }
        let value: Value = value
            .deserialize()
            .map_err(|_| malformed(name, "holds a number out of range"))?;
        if let Some(value) = without_empty(value) {
            refuse_nul(name, &value)?;
            values.insert(name.to_owned(), value);
        }
    }
    let mut values = Members(values);
    values.drop_bad_addresses();
    // Whatever method was asked, it is answered with `none`.
    values.text("token_endpoint_auth_method", TEXT_BYTES_MAX)?;
    let grant_types = values.texts("grant_types")?;
    let response_types = values.texts("response_types")?;
    Ok(Metadata {
        redirect_uris: values.redirect_uris()?,
        client_name: values.name()?,
        grant_types: supported(
            "grant_types",
            grant_types,
            "authorization_code",
            &["authorization_code", "refresh_token"],
        )?,
        response_types: supported("response_types", response_types, "code", &["code"])?,
        scope: values.text("scope", SCOPE_BYTES_MAX)?,
        application_type: values.text("application_type", TEXT_BYTES_MAX)?,
        client_uri: values.text("client_uri", TEXT_BYTES_MAX)?,
        logo_uri: values.text("logo_uri", TEXT_BYTES_MAX)?,
        software_id: values.text("software_id", TEXT_BYTES_MAX)?,
        software_version: values.text("software_version", TEXT_BYTES_MAX)?,
        other: values.0,
    })
}

impl Metadata {
    /// What kind of application it says it is (OpenID Connect Registration section 2).
    pub fn application_type(&self) -> Option<&str> {
        self.application_type.as_deref()
    }

    /// Which software this is, as far as it says so itself: one id for all its installations.
    pub fn software(&self) -> Option<&str> {
        let name = self.client_name.as_deref();
        let known = name.and_then(known_clients::by_dcr_name);
        self.software_id
            .as_deref()
            .or(known.map(|client| client.id.as_str()))
            .or(name)
    }

    /// The digest of what identifies the software and where it may be answered, so that the same again is recognised:
    /// its `software_id`, or else its name as people see it, and its addresses, whatever their order, and whatever port a
    /// program on somebody's machine got this time, for the port is never compared. A new version, scope or contact makes
    /// no other client.
    ///
    /// How it authenticates is no part of it, since that is `none` whatever was asked. Nor is its kind of application,
    /// which decided which addresses are here at all.
    ///
    /// Whoever comes first under somebody's `software_id` gains nothing: the record is the same only for the same
    /// addresses, so codes go where the honest software waits for them, and are good with its verifier alone.
    pub fn fingerprint(&self, redirect_uris: &[RedirectUri]) -> Digest {
        let mut addresses: Vec<_> = redirect_uris
            .iter()
            .map(|uri| uri.for_any_port().into_owned())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let name = visible(self.client_name.as_deref().unwrap_or_default());
        let bytes = match &self.software_id {
            Some(id) => serde_json::to_vec(&("software_id", id, addresses)),
            None if !name.is_empty() => serde_json::to_vec(&("client_name", name, addresses)),
            // Nothing says which software it is, so only all of it together can.
            None => {
                let nobody = ClientId::from_text("");
                let mut response = self.response(&nobody, redirect_uris, Timestamp::default());
                response.redirect_uris = addresses;
                serde_json::to_vec(&response)
            }
        };
        Digest::of(bytes.expect("metadata is plain JSON"))
    }

    /// What people are shown: self-asserted, so without characters that hide or turn text.
    pub fn display_name(&self, redirect_uris: &[RedirectUri]) -> String {
        let named = visible(self.client_name.as_deref().unwrap_or_default());
        if !named.is_empty() {
            return named;
        }
        redirect_uris
            .first()
            .map_or_else(String::new, RedirectUri::display_host)
    }

    /// The answer that is stored and echoed.
    pub fn into_response(
        self,
        id: &ClientId,
        redirect_uris: &[RedirectUri],
        now: Timestamp,
    ) -> ClientRegistrationResponse {
        self.response(id, redirect_uris, now)
    }

    fn response(
        &self,
        id: &ClientId,
        redirect_uris: &[RedirectUri],
        now: Timestamp,
    ) -> ClientRegistrationResponse {
        let mut other = self.other.clone();
        // There is no secret, so it never expires; some clients want to read the number all the same.
        other.insert("client_secret_expires_at".into(), 0.into());
        ClientRegistrationResponse {
            client_id: id.as_str().to_owned(),
            client_id_issued_at: now.unix_seconds(),
            redirect_uris: redirect_uris
                .iter()
                .map(|uri| uri.as_str().to_owned())
                .collect(),
            token_endpoint_auth_method: "none".into(),
            grant_types: self.grant_types.clone(),
            response_types: self.response_types.clone(),
            client_name: self.client_name.clone(),
            scope: self.scope.clone(),
            application_type: self.application_type.clone(),
            client_uri: self.client_uri.clone(),
            logo_uri: self.logo_uri.clone(),
            software_id: self.software_id.clone(),
            software_version: self.software_version.clone(),
            other,
        }
    }
}

#[cfg(test)]
mod tests;
