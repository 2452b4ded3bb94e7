use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::Error;

const TYPE: &str = "portcullis-identity+jwt";
/// The token lives for a minute and both clocks are the same machine's, so this is only for a step of the clock.
const LEEWAY_SECONDS: i64 = 5;
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Whose todos a request is about. Only [`IdentityVerifier::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    subject: String,
}

impl Person {
    /// The `sub` of the identity.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    #[cfg(test)]
    pub(crate) fn for_test(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
        }
    }
}

/// Checks `Portcullis-Identity`: a JWT of its own type, ES256, for this server, not expired.
pub(crate) struct IdentityVerifier {
    keys: RwLock<HashMap<String, DecodingKey>>,
    validation: Validation,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

impl IdentityVerifier {
    pub(crate) fn new(
        jwk_set: &str,
        issuer: &str,
        audience: &str,
        now: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Result<Self, Error> {
        let keys = RwLock::new(read_keys(jwk_set)?);
        let mut validation = Validation::new(Algorithm::ES256);
        // The library would ask the machine's clock; `verify` asks ours.
        validation.validate_exp = false;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        Ok(Self {
            keys,
            validation,
            now,
        })
    }

    /// Takes the keys of a newer JWK Set instead of those before.
    ///
    /// # Errors
    /// When the set cannot be used; those before it then stay.
    pub(crate) fn replace_keys(&self, jwk_set: &str) -> Result<(), Error> {
        let keys = read_keys(jwk_set)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// The person behind `token`, or the reason why it is not believed.
    pub(crate) fn verify(&self, token: &str) -> Result<Person, String> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(format!(
                "Portcullis-Identity is longer than {TOKEN_BYTES_MAX} bytes"
            ));
        }
        let refused = |reason: String| format!("Portcullis-Identity is not accepted: {reason}");
        let header = decode_header(token).map_err(|error| refused(error.to_string()))?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(refused(format!("its typ is not {TYPE}")));
        }
        if header.crit.is_some() {
            return Err(refused("its crit names something unknown here".into()));
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = header.kid.as_ref().and_then(|kid| keys.get(kid));
        let key = key.ok_or_else(|| refused("its kid names no known key".into()))?;
        let claims = decode::<Claims>(token, key, &self.validation)
            .map_err(|error| refused(error.to_string()))?
            .claims;
        let now = (self.now)();
        if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(refused("it has expired".into()));
        }
        if claims
            .nbf
            .is_some_and(|from| from > now.saturating_add(LEEWAY_SECONDS))
        {
            return Err(refused("it is not valid yet".into()));
        }
        if claims.sub.is_empty() || claims.sub.len() > 255 {
            return Err(refused("its sub is empty or too long".into()));
        }
        Ok(Person {
            subject: claims.sub,
        })
    }
}

fn read_keys(jwk_set: &str) -> Result<HashMap<String, DecodingKey>, Error> {
    let set: JwkSet = serde_json::from_str(jwk_set)
        .map_err(|error| Error::IdentityKeys(format!("not a JWK Set: {error}")))?;
    let mut keys = HashMap::new();
    for jwk in &set.keys {
        let Some(key_id) = jwk.common.key_id.clone() else {
            return Err(Error::IdentityKeys("a key has no kid".into()));
        };
        let key = DecodingKey::from_jwk(jwk)
            .map_err(|error| Error::IdentityKeys(format!("key {key_id}: {error}")))?;
        keys.insert(key_id, key);
    }
    if keys.is_empty() {
        return Err(Error::IdentityKeys("there is no key".into()));
    }
    Ok(keys)
}
