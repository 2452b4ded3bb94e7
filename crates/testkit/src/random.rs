use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Digest, Random};

/// Bytes that look random and repeat from run to run: SHA-256 over the seed and a counter. Clones share the sequence.
#[derive(Debug, Clone)]
pub struct SeededRandom {
    seed: u64,
    counter: Arc<AtomicU64>,
}

impl SeededRandom {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            counter: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let counter = self.counter.fetch_add(1, Ordering::SeqCst);
            let mut input = [0u8; 16];
            input[..8].copy_from_slice(&self.seed.to_be_bytes());
            input[8..].copy_from_slice(&counter.to_be_bytes());
            chunk.copy_from_slice(&Digest::of(input).as_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            let mut first = [0u8; 40];
            let mut second = [0u8; 40];
            random.fill(&mut first);
            random.fill(&mut second);
            assert_ne!(first, second);
            (first, second)
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
