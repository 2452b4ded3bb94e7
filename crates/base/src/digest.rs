use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A SHA-256 digest: the only form in which a code, token or cookie is stored.
#[derive(Clone, Copy, Eq, Hash, PartialOrd, Ord)]
#[allow(
    clippy::derived_hash_with_manual_eq,
    reason = "two digests are equal by hand exactly when they would be by derive"
)]
pub struct Digest([u8; 32]);

impl PartialEq for Digest {
    /// In a time that does not depend on where they differ.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let mut out = [0u8; 32];
        out.copy_from_slice(digest(&SHA256, bytes.as_ref()).as_ref());
        Self(out)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Base64url without padding, 43 characters: how a digest stands in a database column.
    pub fn to_text(&self) -> String {
        base64url(self.0)
    }

    /// Reads what [`Digest::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        base64url_decode(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log, too little to look one up.
        write!(formatter, "Digest({}..)", &self.to_text()[..6])
    }
}

/// Base64url without padding (RFC 4648 section 5).
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; `None` when it is anything else.
pub fn base64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// How many comparisons are timed together, and how many such times of each kind are compared.
    const TOGETHER: usize = 50;
    const TIMES: usize = 4000;

    /// Welch's t between the times of comparing with something that differs at the beginning, and at the end; the slowest
    /// tenth of each is somebody else's doing. The two take turns, so that what the machine does besides meets both alike.
    fn t(equal: impl Fn(&[u8; 32], &[u8; 32]) -> bool) -> f64 {
        let kept = [0x5au8; 32];
        let (mut first, mut last) = (kept, kept);
        (first[0], last[31]) = (0, 0);
        let mut times = [Vec::with_capacity(TIMES), Vec::with_capacity(TIMES)];
        for turn in 0..TIMES {
            // Whichever comes second finds the processor warmer.
            for kind in [turn % 2, 1 - turn % 2] {
                let other = [&first, &last][kind];
                let begun = Instant::now();
                for _ in 0..TOGETHER {
                    let (kept, other) = (std::hint::black_box(&kept), std::hint::black_box(other));
                    std::hint::black_box(equal(kept, other));
                }
                times[kind].push(begun.elapsed().as_nanos() as f64);
            }
        }
        let [one, other] = times.map(mean_and_its_variance);
        (one.0 - other.0) / (one.1 + other.1).sqrt()
    }

    fn mean_and_its_variance(mut times: Vec<f64>) -> (f64, f64) {
        times.sort_by(f64::total_cmp);
        times.truncate(TIMES * 9 / 10);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let squares = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        (mean, squares / (count - 1.0) / count)
    }

    #[test]
    fn comparing_takes_as_long_wherever_two_differ_and_a_plain_comparison_does_not() {
        let ours = |one: &[u8; 32], other: &[u8; 32]| Digest(*one) == Digest(*other);
        // The best of a few: a busy machine can only blur the times.
        let least = (0..5).map(|_| t(ours).abs()).fold(f64::MAX, f64::min);
        assert!(least < 4.5, "{least}");
        let plain = |one: &[u8; 32], other: &[u8; 32]| one.iter().zip(other).all(|(a, b)| a == b);
        let most = (0..5).map(|_| t(plain).abs()).fold(0.0, f64::max);
        assert!(most > 4.5, "{most}");
    }

    #[test]
    fn digests_of_the_same_are_equal_and_those_of_two_texts_are_not() {
        let digest = Digest::of("one");
        assert_eq!(digest, Digest::of("one"));
        for bit in 0..256 {
            let mut other = digest;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(digest, other, "{bit}");
        }
        assert_eq!(Digest::from_text(&digest.to_text()), Some(digest));
    }
}
