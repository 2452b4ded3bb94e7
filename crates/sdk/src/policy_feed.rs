use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use authz::FeedSnapshot;
use base::{Clock, Timestamp};
use tokio::sync::watch;

/// How long the last good snapshot is used after contact with the authority was lost.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Makes both ends of a policy feed. Nothing is permitted before the first [`FeedPublisher::publish`].
pub fn policy_feed(clock: Arc<dyn Clock>) -> (FeedPublisher, PolicyFeed) {
    let (sender, receiver) = watch::channel(None);
    let last_contact = Arc::new(AtomicI64::new(i64::MIN));
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
    last_contact: Arc<AtomicI64>,
    clock: Arc<dyn Clock>,
}

impl FeedPublisher {
    /// Replaces the snapshot; it is in force for the next call. Counts as contact.
    pub fn publish(&self, snapshot: Arc<FeedSnapshot>) {
        self.contact();
        self.sender.send_replace(Some(snapshot));
    }

    /// Says that the authority was asked and that nothing has changed. Without it a snapshot is stale after five minutes.
    pub fn contact(&self) {
        self.last_contact
            .store(self.clock.now().unix_ms(), Ordering::Relaxed);
    }
}

/// The end that enforcement reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PolicyFeed {
    receiver: watch::Receiver<Option<Arc<FeedSnapshot>>>,
    last_contact: Arc<AtomicI64>,
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
        let contact = Timestamp::from_unix_ms(self.last_contact.load(Ordering::Relaxed));
        if now.since(contact) > STALE_AFTER {
            return Err(FeedGap::Stale);
        }
        Ok(snapshot)
    }

    /// How long ago the authority was last heard of; nothing before the first snapshot.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.receiver.borrow().as_ref()?;
        let contact = Timestamp::from_unix_ms(self.last_contact.load(Ordering::Relaxed));
        Some(now.since(contact))
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
