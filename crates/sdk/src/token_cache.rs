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
}

type Shard = HashMap<Digest, Arc<VerifiedCaller>, BuildHasherDefault<DigestHasher>>;

impl TokenCache {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
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
        if shard.len() >= TOKENS_MAX / SHARDS {
            shard.retain(|_, kept| now < kept.expires_at());
        }
        if shard.len() >= TOKENS_MAX / SHARDS {
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
