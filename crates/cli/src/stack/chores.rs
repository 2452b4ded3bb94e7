//! What runs beside the answers.

use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use store::{ActivityLog, Store};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use crate::handshake::{self, Sighting};

const PURGE_EVERY: Duration = Duration::from_secs(10 * 60);
const PURGE_ROWS: usize = 1000;
const ACTIVITY_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Passes what the authority saw on to the terminal, except our own self-check.
pub async fn follow_events(
    mut events: broadcast::Receiver<server::Event>,
    sightings: mpsc::Sender<Sighting>,
    self_check: String,
) {
    loop {
        match events.recv().await {
            Ok(event) if event.user_agent.as_deref() == Some(self_check.as_str()) => {}
            Ok(event) => {
                if let Some(sighting) = handshake::of_event(event) {
                    // A terminal that cannot keep up misses a line; the audit log has it.
                    let _ = sightings.try_send(sighting);
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Deletes what has expired, now and then.
pub async fn purge(store: Store, activity: ActivityLog, clock: Arc<dyn Clock>) {
    let mut ticks = tokio::time::interval(PURGE_EVERY);
    loop {
        ticks.tick().await;
        let now = clock.now();
        loop {
            match store.purge_expired(now, PURGE_ROWS).await {
                Ok(purged) if purged >= PURGE_ROWS as u64 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "what has expired could not be deleted");
                    break;
                }
            }
        }
        if let Err(error) = activity.purge(now.before(ACTIVITY_KEPT)).await {
            tracing::warn!(%error, "old activity could not be deleted");
        }
    }
}
