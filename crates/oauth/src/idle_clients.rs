use std::time::Duration;

use base::Timestamp;
use store::{IdleClients, Store, StoreError};

/// How long a client that nobody ever approved is kept. Some register when they are installed, long before the person
/// signs in, and several never register again; a list that fills up meanwhile makes room sooner.
const UNUSED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long one is kept that people approved once and of which nothing lives any more.
const IDLE_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Clients that are looked at in one piece.
const PAGE: usize = 200;

/// Forgets clients that registered themselves and that nobody uses; says how many. One with a token family that is not
/// over is never among them, nor one that was blocked or waits for an admin.
///
/// # Errors
/// When they cannot be read or deleted.
pub async fn forget(store: &Store, now: Timestamp) -> Result<u64, StoreError> {
    let idle = IdleClients {
        now,
        unused_before: now.before(UNUSED_KEPT),
        idle_before: now.before(IDLE_KEPT),
    };
    let mut forgotten = 0;
    let mut after = None;
    loop {
        let (next, gone) = store
            .forget_idle_clients(idle, after.as_ref(), PAGE)
            .await?;
        forgotten += gone;
        if next.is_none() {
            return Ok(forgotten);
        }
        after = next;
    }
}
