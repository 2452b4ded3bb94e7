use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use authz::FeedSnapshot;
use base::{Clock, Timestamp};
use tokio::sync::watch;

/// How long the last good snapshot is used after contact with the authority was lost.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Makes both ends of a policy feed. Nothing is permitted before the first [`FeedPublisher::publish`].
pub fn policy_feed(clock: Arc<dyn Clock>) -> (FeedPublisher, PolicyFeed) {
    let (sender, receiver) = watch::channel(None);
    let last_contact = Arc::new(Contact {
        at: AtomicI64::new(i64::MIN),
        began: Instant::now(),
        passed_ms: AtomicU64::new(0),
    });
    let publisher = FeedPublisher {
        sender,
        last_contact: Arc::clone(&last_contact),
        clock,
    };
    (
        publisher,
        PolicyFeed {
            receiver,
            last_contact,
        },
    )
}

/// The end that brings snapshots: a poll of the same process, or a stream from the admin API.
#[derive(Debug)]
pub struct FeedPublisher {
    sender: watch::Sender<Option<Arc<FeedSnapshot>>>,
    last_contact: Arc<Contact>,
    clock: Arc<dyn Clock>,
}

impl FeedPublisher {
    /// Replaces the snapshot; it is in force for the next call. Counts as contact.
    pub fn publish(&self, snapshot: Arc<FeedSnapshot>) {
        self.contact();
        self.sender.send_replace(Some(snapshot));
    }

    /// Replaces the snapshot by one that never becomes stale: it is this program's own.
    pub(crate) fn publish_lasting(&self, snapshot: Arc<FeedSnapshot>) {
        self.last_contact.made_for_ever();
        self.sender.send_replace(Some(snapshot));
    }

    /// Says that the authority was asked and that nothing has changed. Without it a snapshot is stale after five minutes.
    pub fn contact(&self) {
        self.last_contact.made(self.clock.now());
    }
}

/// When the authority was last heard of, by both clocks: the wall clock may be set back, and the other stands still while the
/// machine sleeps.
#[derive(Debug)]
struct Contact {
    at: AtomicI64,
    began: Instant,
    passed_ms: AtomicU64,
}

impl Contact {
    fn made(&self, now: Timestamp) {
        self.passed_ms.store(self.passed_ms(), Ordering::Relaxed);
        self.at.store(now.unix_ms(), Ordering::Relaxed);
    }

    fn made_for_ever(&self) {
        self.passed_ms.store(u64::MAX, Ordering::Relaxed);
        self.at.store(i64::MAX, Ordering::Relaxed);
    }

    /// How long ago, by the clock that says more.
    fn age(&self, now: Timestamp) -> Duration {
        let at = Timestamp::from_unix_ms(self.at.load(Ordering::Relaxed));
        let passed_ms = self.passed_ms.load(Ordering::Relaxed);
        let counted = Duration::from_millis(self.passed_ms().saturating_sub(passed_ms));
        now.since(at).max(counted)
    }

    fn passed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The end that enforcement reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PolicyFeed {
    receiver: watch::Receiver<Option<Arc<FeedSnapshot>>>,
    last_contact: Arc<Contact>,
}

/// Why nothing can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedGap {
    /// No snapshot came yet.
    #[error("no policy has arrived from the authority yet")]
    Never,
    /// The last one is too old.
    #[error("the authority has not been heard of for over five minutes")]
    Stale,
    /// The snapshot does not have this MCP server.
    #[error("the authority does not know this MCP server")]
    UnknownServer,
}

impl PolicyFeed {
    /// The snapshot in force.
    ///
    /// # Errors
    /// When there never was one or it is stale: then nothing may be judged.
    pub fn current(&self, now: Timestamp) -> Result<Arc<FeedSnapshot>, FeedGap> {
        let snapshot = self.receiver.borrow().clone().ok_or(FeedGap::Never)?;
        if self.last_contact.age(now) > STALE_AFTER {
            return Err(FeedGap::Stale);
        }
        Ok(snapshot)
    }

    /// How long ago the authority was last heard of; nothing before the first snapshot.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.receiver.borrow().as_ref()?;
        Some(self.last_contact.age(now))
    }

    /// The last snapshot, however old: for what only ever closes doors.
    pub fn last(&self) -> Option<Arc<FeedSnapshot>> {
        self.receiver.borrow().clone()
    }

    /// Resolves at the next change; pends for ever once the publisher is gone.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use testkit::MovableClock;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_snapshot_is_stale_by_either_clock() {
        let clock = MovableClock::default();
        let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
        publisher.publish(Arc::default());
        assert!(feed.current(clock.now()).is_ok());
        clock.advance(DAY);
        assert_eq!(feed.current(clock.now()).unwrap_err(), FeedGap::Stale);
        publisher.contact();
        assert!(feed.current(clock.now()).is_ok());
        let set_back = clock.now().before(DAY);
        assert!(feed.current(set_back).is_ok(), "it was heard of just now");
    }

    #[test]
    fn what_is_this_program_s_own_never_becomes_stale() {
        let clock = MovableClock::default();
        let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
        publisher.publish_lasting(Arc::default());
        clock.advance(DAY * 1000);
        assert!(feed.current(clock.now()).is_ok());
        publisher.publish(Arc::default());
        clock.advance(DAY);
        assert!(feed.current(clock.now()).is_err());
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_snapshot_fresh() {
        let now = MovableClock::default().now();
        let long = STALE_AFTER + Duration::from_secs(1);
        let contact = |began| Contact {
            at: AtomicI64::new(now.unix_ms()),
            began,
            passed_ms: AtomicU64::new(0),
        };
        let set_back = now.before(DAY);
        assert!(contact(Instant::now()).age(set_back) < STALE_AFTER);
        let began = Instant::now().checked_sub(long).unwrap();
        assert!(contact(began).age(set_back) > STALE_AFTER);
    }
}
