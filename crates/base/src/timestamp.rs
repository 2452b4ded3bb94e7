use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in Unix milliseconds. The one form in which the house keeps and compares times.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From Unix milliseconds.
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// From Unix seconds, as JWT claims carry them (RFC 7519 section 2, NumericDate).
    pub const fn from_unix_seconds(unix_seconds: i64) -> Self {
        Self(unix_seconds.saturating_mul(1000))
    }

    /// Unix milliseconds.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Unix seconds, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment plus `duration`, saturating.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment minus `duration`, saturating.
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Whether `other` is at most so far away, whichever comes first. What lies further ahead than it can is of a clock that was
    /// set back since.
    pub fn is_near(self, other: Self, within: Duration) -> bool {
        self.since(other).max(other.since(self)) <= within
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_so_on_both_sides_and_what_lies_a_day_ahead_is_not() {
        let now = Timestamp::from_unix_seconds(1_000_000);
        let minute = Duration::from_secs(60);
        for (seconds, is_near) in [(0, true), (60, true), (61, false), (24 * 3600, false)] {
            let apart = Duration::from_secs(seconds);
            assert_eq!(now.is_near(now.before(apart), minute), is_near);
            assert_eq!(now.is_near(now.after(apart), minute), is_near);
        }
    }
}
