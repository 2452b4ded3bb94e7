//! Who calls, from the header `Portcullis-Identity`. Needs the crates `jsonwebtoken` and `serde`.

use std::collections::HashMap;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// The type of these tokens; an access token has another, and is not taken for one.
const TYPE: &str = "portcullis-identity+jwt";

/// What a believed identity says.
#[derive(Debug, Deserialize)]
pub struct Identity {
    /// The person, or the client itself for a machine.
    pub sub: String,
    /// The client that calls for them.
    pub client_id: String,
    /// What they may do, separated by spaces. The gateway has judged the call by it already.
    pub scope: String,
}

/// Checks identities for one MCP server.
pub struct Verifier {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl Verifier {
    /// With the text of the JWK set, the public URL of the authority, and the slug of this server. Fetch the set at start,
    /// and again (at most once in 30 seconds) when `verify` does not know a key.
    pub fn new(jwk_set: &str, issuer: &str, slug: &str) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(jwk_set).map_err(|error| error.to_string())?;
        let keys = set.keys.iter().filter_map(|jwk| {
            let key = DecodingKey::from_jwk(jwk).ok()?;
            Some((jwk.common.key_id.clone()?, key))
        });
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[slug]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.leeway = 5;
        Ok(Self {
            keys: keys.collect(),
            validation,
        })
    }

    /// The identity in the one header of this name, or why it is not believed: answer 401 then, and do nothing.
    pub fn verify(&self, header: &str) -> Result<Identity, String> {
        let head = decode_header(header).map_err(|error| error.to_string())?;
        if head.typ.as_deref() != Some(TYPE) {
            return Err(format!("its type is not {TYPE}"));
        }
        let key = head.kid.and_then(|kid| self.keys.get(&kid));
        let key = key.ok_or("no such key")?;
        decode(header, key, &self.validation)
            .map(|token| token.claims)
            .map_err(|error| error.to_string())
    }
}
