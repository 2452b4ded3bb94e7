use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::base64url;

/// A source of unpredictable bytes.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills `bytes` with random data.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom::new()
            .fill(bytes)
            .expect("the operating system's random source never fails after start");
    }
}

/// `prefix` followed by 256 random bits in base64url without padding (43 characters).
pub fn random_token(random: &dyn Random, prefix: &str) -> String {
    let mut bytes = [0u8; 32];
    random.fill(&mut bytes);
    format!("{prefix}{}", base64url(bytes))
}
