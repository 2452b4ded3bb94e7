use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use base::{Digest, Timestamp};

use crate::VerifiedCaller;

/// How many verified tokens are kept. A kept one takes about a kilobyte.
const TOKENS_MAX: usize = 16 * 1024;

const SHARDS: usize = 16;

/// Verified tokens by their SHA-256, so that a signature is checked once and not with each call.
///
/// Only tokens that verified get in, so strangers cannot fill it. Whether a token is revoked or has expired is not
/// answered here: both are asked with each call.
#[derive(Debug)]
pub(crate) struct TokenCache {
    shards: [RwLock<Shard>; SHARDS],
    shard_tokens_max: usize,
}

type Shard = HashMap<Digest, Arc<VerifiedCaller>, BuildHasherDefault<DigestHasher>>;

impl TokenCache {
    pub(crate) fn new() -> Self {
        Self::with_shards_of(TOKENS_MAX / SHARDS)
    }

    fn with_shards_of(shard_tokens_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            shard_tokens_max,
        }
    }

    pub(crate) fn find(&self, token: &Digest) -> Option<Arc<VerifiedCaller>> {
        self.shard(token)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .map(Arc::clone)
    }

    pub(crate) fn insert(&self, token: Digest, caller: Arc<VerifiedCaller>, now: Timestamp) {
        let mut shard = self
            .shard(&token)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= self.shard_tokens_max {
            shard.retain(|_, kept| now < kept.expires_at());
        }
        if shard.len() >= self.shard_tokens_max {
            // All live: let any one go. It costs its owner one signature check.
            if let Some(any) = shard.keys().next().copied() {
                shard.remove(&any);
            }
        }
        shard.insert(token, caller);
    }

    fn shard(&self, token: &Digest) -> &RwLock<Shard> {
        &self.shards[usize::from(token.as_bytes()[31]) % SHARDS]
    }
}

/// A digest is its own hash: nobody can choose tokens of ours whose digests collide.
#[derive(Debug, Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use base::base64url;
    use serde_json::json;
    use wire::oauth::JwkSet;

    use super::*;

    /// Callers whose tokens end at these moments, in Unix seconds.
    fn callers(ends: &[i64]) -> Vec<(Digest, Arc<VerifiedCaller>)> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let keys: JwkSet = serde_json::from_value(json!({"keys": [{
            "kty": "EC", "kid": "k", "use": "sig", "alg": "ES256", "crv": "P-256",
            "x": base64url(&point[1..33]), "y": base64url(&point[33..65]),
        }]}))
        .unwrap();
        let keys = authz::VerifyingKeys::from_jwks(&keys);
        let verify = |(index, end): (usize, &i64)| {
            let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": "k"}).to_string();
            let claims = json!({
                "iss": "i", "sub": "s", "aud": "a", "exp": end, "iat": 0, "jti": index.to_string(),
                "client_id": "c", "scope": "", "grant_id": "g",
            })
            .to_string();
            let signed = format!("{}.{}", base64url(header), base64url(claims));
            let random = aws_lc_rs::rand::SystemRandom::new();
            let signature = key.sign(&random, signed.as_bytes()).unwrap();
            let token = format!("{signed}.{}", base64url(signature.as_ref()));
            let expected = authz::Expected {
                issuer: "i",
                audience: "a",
                keys: &keys,
                now: Timestamp::default(),
                leeway: std::time::Duration::ZERO,
            };
            let verified = authz::verify_access_token(&token, &expected).unwrap();
            (Digest::of(&token), Arc::new(VerifiedCaller::new(verified)))
        };
        ends.iter().enumerate().map(verify).collect()
    }

    #[test]
    fn the_cache_never_holds_more_than_it_may_and_lets_expired_tokens_go_first() {
        let cache = TokenCache::with_shards_of(2);
        let held = |callers: &[(Digest, Arc<VerifiedCaller>)]| {
            let found = callers
                .iter()
                .filter(|(token, _)| cache.find(token).is_some());
            found.count()
        };
        let short = callers(&[100; 200]);
        for (token, caller) in &short {
            cache.insert(*token, Arc::clone(caller), Timestamp::default());
            assert!(cache.find(token).is_some(), "the newest is there");
        }
        let full = held(&short);
        assert!(full <= 2 * SHARDS && full > SHARDS, "{full}");
        let long = callers(&[1000; 1]);
        let later = Timestamp::from_unix_seconds(200);
        cache.insert(long[0].0, Arc::clone(&long[0].1), later);
        assert!(held(&short) < full, "expired ones made room");
        assert_eq!(held(&long), 1);
    }
}
