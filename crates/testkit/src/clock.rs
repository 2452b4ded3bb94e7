use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base::{Clock, Timestamp};

/// A clock that stands still until a test moves it. Clones share the same time.
#[derive(Debug, Clone)]
pub struct MovableClock(Arc<AtomicI64>);

impl MovableClock {
    /// A clock standing at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.unix_ms())))
    }

    /// Moves the time forward by `duration`.
    pub fn advance(&self, duration: Duration) {
        let step = i64::try_from(duration.as_millis()).expect("a test stays within this era");
        self.0.fetch_add(step, Ordering::SeqCst);
    }

    /// Sets the time, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.unix_ms(), Ordering::SeqCst);
    }
}

impl Default for MovableClock {
    /// 2026-11-20T00:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp::from_unix_seconds(1_795_132_800))
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_time_and_it_moves_only_by_hand() {
        let clock = MovableClock::default();
        let other = clock.clone();
        let before = clock.now();
        assert_eq!(other.now(), before);
        other.advance(Duration::from_secs(61));
        assert_eq!(clock.now().since(before), Duration::from_secs(61));
        clock.set(before);
        assert_eq!(other.now(), before);
    }
}
