use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::{Digest, Timestamp};

use crate::VerifiedCaller;

/// How many verified tokens are kept. A kept one takes two kilobytes.
const TOKENS_MAX: usize = 16 * 1024;

/// A token that is not used for this long, or for twice as long, leaves: its next use costs one signature check.
const IDLE: Duration = Duration::from_secs(120);

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

/// Two generations: what is used moves to the young one, and the old one leaves whole.
#[derive(Debug, Default)]
struct Shard {
    young: Generation,
    old: Generation,
    /// When the young one began.
    since: Timestamp,
}

type Generation = HashMap<Digest, Arc<VerifiedCaller>, BuildHasherDefault<DigestHasher>>;

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

    pub(crate) fn find(&self, token: &Digest, now: Timestamp) -> Option<Arc<VerifiedCaller>> {
        let old = {
            let shard = self.shard(token).read();
            let shard = shard.unwrap_or_else(PoisonError::into_inner);
            if let Some(caller) = shard.young.get(token) {
                return Some(Arc::clone(caller));
            }
            Arc::clone(shard.old.get(token)?)
        };
        self.insert(*token, Arc::clone(&old), now);
        Some(old)
    }

    pub(crate) fn insert(&self, token: Digest, caller: Arc<VerifiedCaller>, now: Timestamp) {
        let mut shard = self
            .shard(&token)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        shard.old.remove(&token);
        shard.grow_old(now);
        shard.make_room(self.shard_tokens_max, now);
        shard.young.insert(token, caller);
    }

    fn shard(&self, token: &Digest) -> &RwLock<Shard> {
        &self.shards[usize::from(token.as_bytes()[31]) % SHARDS]
    }
}

impl Shard {
    fn grow_old(&mut self, now: Timestamp) {
        // A clock that was set back begins a generation too.
        if now.since(self.since) >= IDLE || now < self.since {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
    }

    fn make_room(&mut self, tokens_max: usize, now: Timestamp) {
        if self.young.len() + self.old.len() < tokens_max {
            return;
        }
        self.old = Generation::default();
        if self.young.len() >= tokens_max {
            self.young.retain(|_, kept| now < kept.expires_at());
        }
        if self.young.len() >= tokens_max {
            // All live: let any one go. It costs its owner one signature check.
            if let Some(any) = self.young.keys().next().copied() {
                self.young.remove(&any);
            }
        }
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
                .filter(|(token, _)| cache.find(token, Timestamp::default()).is_some());
            found.count()
        };
        let short = callers(&[100; 200]);
        for (token, caller) in &short {
            cache.insert(*token, Arc::clone(caller), Timestamp::default());
            assert!(
                cache.find(token, Timestamp::default()).is_some(),
                "the newest is there"
            );
        }
        let full = held(&short);
        assert!(full <= 2 * SHARDS && full > SHARDS, "{full}");
        let long = callers(&[1000; 1]);
        let later = Timestamp::from_unix_seconds(200);
        cache.insert(long[0].0, Arc::clone(&long[0].1), later);
        assert!(held(&short) < full, "expired ones made room");
        assert_eq!(held(&long), 1);
    }

    #[test]
    fn a_token_that_is_used_stays_and_one_that_is_not_leaves() {
        let cache = TokenCache::new();
        let both = callers(&[100_000; 2]);
        let [used, idle] = [&both[0], &both[1]];
        let at = |seconds: i64| Timestamp::from_unix_seconds(1000 + seconds);
        for (token, caller) in &both {
            cache.insert(*token, Arc::clone(caller), at(0));
        }
        for round in 1..=4 {
            let now = at(round * 121);
            for shard in &cache.shards {
                shard.write().unwrap().grow_old(now);
            }
            assert!(cache.find(&used.0, now).is_some(), "round {round}");
        }
        assert!(cache.find(&idle.0, at(500)).is_none(), "idle for 8 minutes");
    }
}
