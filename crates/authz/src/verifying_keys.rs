use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base::base64url_decode;
use wire::oauth::{Jwk, JwkSet};

/// The most keys that are read from one set.
const KEYS_MAX: usize = 64;
/// The most keys that are read of a client: an assertion that names none is tried with each.
pub const CLIENT_KEYS_MAX: usize = 32;
/// The longest key id that is read, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;
/// RSA moduli have 2048 bits, which is the least that is trusted, to 4096: longer ones cost more than they protect.
const RSA_MODULUS_BYTES: RangeInclusive<usize> = 256..=512;
/// The one public exponent in use (65537); small ones have a history of forgeries.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// The algorithms that an access token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
}

impl Algorithm {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// Public keys of one issuer, parsed once. The algorithm comes from the key, never from a token.
#[derive(Clone, Default)]
pub struct VerifyingKeys {
    keys: Arc<[VerifyingKey]>,
}

#[derive(Clone)]
pub(crate) struct VerifyingKey {
    pub(crate) id: Arc<str>,
    algorithm: Algorithm,
    pub(crate) key: ParsedPublicKey,
}

impl VerifyingKeys {
    /// Parses the keys that can verify a signature here; keys of other kinds, sizes or uses, and those without an id
    /// or with one that is taken, are left out.
    pub fn from_jwks(jwks: &JwkSet) -> Self {
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for jwk in jwks.keys.iter().take(KEYS_MAX) {
            if let Some(key) = parse(jwk)
                && !keys.iter().any(|other| other.id == key.id)
            {
                keys.push(key);
            }
        }
        Self { keys: keys.into() }
    }

    /// As [`VerifyingKeys::from_jwks`], for the keys of a client: those without an id count too, since libraries sign
    /// without naming one.
    pub fn from_client_jwks(jwks: &JwkSet) -> Self {
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for jwk in jwks.keys.iter().take(CLIENT_KEYS_MAX) {
            if let Some(key) = parse_any(jwk)
                && (key.id.is_empty() || !keys.iter().any(|other| other.id == key.id))
            {
                keys.push(key);
            }
        }
        Self { keys: keys.into() }
    }

    /// Those of them whose algorithm, as JOSE calls it, is one of `algorithms`.
    pub fn only(&self, algorithms: &[String]) -> Self {
        let named = |key: &&VerifyingKey| {
            let mut names = algorithms.iter();
            names.any(|name| Algorithm::from_name(name) == Some(key.algorithm))
        };
        Self {
            keys: self.keys.iter().filter(named).cloned().collect(),
        }
    }

    /// How many keys can verify.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none can, so that no token will be good.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether one of them has this id.
    pub fn contains(&self, id: &str) -> bool {
        self.keys.iter().any(|key| *key.id == *id)
    }

    /// Whether the key `id`, which must be of the algorithm that JOSE calls `algorithm`, made this signature. For
    /// tokens that are not access tokens; nothing but the signature is checked.
    pub fn verifies(&self, id: &str, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        Algorithm::from_name(algorithm)
            .and_then(|algorithm| self.find(id, algorithm))
            .is_some_and(|key| key.key.verify_sig(signed, signature).is_ok())
    }

    pub(crate) fn find(&self, id: &str, algorithm: Algorithm) -> Option<&VerifyingKey> {
        self.keys
            .iter()
            .find(|key| *key.id == *id && key.algorithm == algorithm)
    }

    /// The keys that may have signed what a client sent: the one of the id, or each of the algorithm when it named
    /// none.
    pub(crate) fn of_client<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a ParsedPublicKey> {
        self.keys
            .iter()
            .filter(move |key| key.algorithm == algorithm && id.is_none_or(|id| *key.id == *id))
            .map(|key| &key.key)
    }
}

impl fmt::Debug for VerifyingKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.keys.iter().map(|key| (&key.id, key.algorithm)))
            .finish()
    }
}

fn parse(jwk: &Jwk) -> Option<VerifyingKey> {
    parse_any(jwk).filter(|key| !key.id.is_empty())
}

/// A key whose id may be empty.
fn parse_any(jwk: &Jwk) -> Option<VerifyingKey> {
    let id = jwk.kid.as_deref().unwrap_or_default();
    if id.len() > KEY_ID_BYTES_MAX {
        return None;
    }
    if jwk
        .key_use
        .as_deref()
        .is_some_and(|key_use| key_use != "sig")
    {
        return None;
    }
    let member = |text: &Option<String>| text.as_deref().and_then(base64url_decode);
    let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC", Some("P-256")) => {
            let (x, y) = (member(&jwk.x)?, member(&jwk.y)?);
            // Where one number ends; the length of both together is checked with the point.
            if x.len() != 32 {
                return None;
            }
            // SEC 1 section 2.3.3: the uncompressed point.
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
            (Algorithm::Es256, key)
        }
        ("OKP", Some("Ed25519")) => {
            let x = member(&jwk.x).filter(|x| x.len() == 32)?;
            (Algorithm::EdDsa, ParsedPublicKey::new(&ED25519, x).ok()?)
        }
        ("RSA", _) => {
            let (n, e) = (member(&jwk.n)?, member(&jwk.e)?);
            // RFC 7518 section 6.3.1.1: some libraries send a zero octet in front.
            let n = n.strip_prefix(&[0]).map(<[u8]>::to_vec).unwrap_or(n);
            // The highest bit is set, so that 256 bytes are 2048 bits and not the 7 that a padded number may have.
            let is_long = RSA_MODULUS_BYTES.contains(&n.len()) && n[0] >= 0x80;
            if !is_long || e != RSA_EXPONENT {
                return None;
            }
            let key = RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .ok()?;
            (Algorithm::Rs256, key)
        }
        _ => return None,
    };
    if let Some(alg) = &jwk.alg
        && Algorithm::from_name(alg) != Some(algorithm)
    {
        return None;
    }
    Some(VerifyingKey {
        id: id.into(),
        algorithm,
        key,
    })
}

#[cfg(test)]
mod tests;
