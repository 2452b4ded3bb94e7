use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Timestamp;
use crate::count::COUNT;

/// Tells the time. Everything that compares or stores a time asks a `Clock` it was given.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock, as far as it is believed.
///
/// It may be set while we run. The process counts by itself what has passed since it began, and:
///
/// - a clock that is behind our count was set back, and is not believed: what is over stays over, and what waits for its time
///   does not wait for a day. The count gives way to it slowly, as `adjtime` does;
/// - a clock that is ahead is believed, since the machine may have slept; and also when it comes back to where our count is. It
///   is not when a [witness](SystemClock::hear_witness) agrees with our count.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The clock was set while the process ran, or the machine slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockMoved {
    /// Ahead rather than back.
    pub forward: bool,
    /// By how much.
    pub by: Duration,
    /// Whether we go by it.
    pub is_believed: bool,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(COUNT.believed(wall()))
    }
}

impl SystemClock {
    /// Tells it what another clock says at this moment, such as that of a database that several nodes share; how far the machine's
    /// is from that. It counts for ten seconds. The first time that we hear it, our count has no word of its own yet.
    pub fn hear_witness(&self, now: Timestamp) -> Duration {
        COUNT.hear_witness(now.unix_ms());
        Duration::from_millis(wall().abs_diff(now.unix_ms()))
    }

    /// To be called about once a second: lets our count give way, and says when the clock was moved since the last call.
    pub fn look(&self) -> Option<ClockMoved> {
        COUNT.look(wall())
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the one home of the wall clock"
)]
pub(crate) fn wall() -> i64 {
    // A clock set before 1970 reads as 1970: every token is then expired or not yet valid, which denies.
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_and_is_that_of_the_machine() {
        let (before, now, after) = (wall(), SystemClock.now(), wall());
        assert!((before..=after + 1_000).contains(&now.unix_ms()), "{now:?}");
        assert!(SystemClock.now() >= now);
    }
}
