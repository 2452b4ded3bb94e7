//! What runs beside the answers.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Timestamp};
use oauth::aliases::AliasProver;
use oauth::audit_seals::{AuditSealer, LATE, Sealing};
use oauth::{Authority, keys};
use store::Store;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use super::housekeeping::Housekeeper;
use crate::handshake::{self, Sighting};
use crate::operate;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10 * 60);
const SEALED_EVERY: Duration = Duration::from_secs(5);
const SLOW_COMMIT: Duration = Duration::from_millis(500);
const SEALED_AT_LEAST_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long after a later event one may be committed that was begun before it. Later ones are looked for each hour.
const MARGIN: Duration = Duration::from_secs(10);
const SEAL_TOLD_EVERY: Duration = Duration::from_secs(3600);
/// Often enough that a key leaves soon after its last token.
const KEYS_EVERY: Duration = Duration::from_secs(60);

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

/// Comes back each time the clock has moved on by `period`, at once at first. The period is not slept through: a timer of
/// the machine stands still while it is suspended, and the clock of the stack does not.
pub struct Every {
    clock: Arc<dyn Clock>,
    period: Duration,
    due: Timestamp,
}

impl Every {
    /// Due now.
    pub fn new(clock: Arc<dyn Clock>, period: Duration) -> Self {
        let due = clock.now();
        Self { clock, period, due }
    }

    /// Waits until it is due; gives the time it is then.
    pub async fn next(&mut self) -> Timestamp {
        while !self.is_due() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.clock.now()
    }

    /// Whether it is due now; then it is due again after a period.
    pub fn is_due(&mut self) -> bool {
        let now = self.clock.now();
        // What was missed is done once, not once for each period; a clock that was set back is believed.
        let is_due = now >= self.due || self.due.since(now) > self.period;
        if is_due {
            self.due = now.after(self.period);
        }
        is_due
    }
}

/// Keeps the house, now and then.
pub async fn keep_house(housekeeper: Housekeeper) {
    let mut turns = Every::new(Arc::clone(&housekeeper.clock), HOUSEKEEPING_EVERY);
    for number in 0.. {
        turns.next().await;
        housekeeper.turn(number).await;
    }
}

/// Rotates signing keys when their time has come, and deletes those under which nothing is good any more.
pub async fn keys(authority: Authority, clock: Arc<dyn Clock>) {
    let mut turns = Every::new(clock, KEYS_EVERY);
    loop {
        let now = turns.next().await;
        let (store, sealer) = (authority.store(), authority.key_sealer());
        match keys::rotate_when_due(store, sealer, authority.random(), now).await {
            Ok(0) => {}
            Ok(rotated) => tracing::info!(rotated, "signing keys were rotated on schedule"),
            Err(error) => tracing::warn!(%error, "signing keys could not be rotated"),
        }
        if let Err(error) = keys::purge(store, now).await {
            tracing::warn!(%error, "ended signing keys could not be deleted");
        }
    }
}

/// Puts the audit log under seal as it grows, and tells the log what the newest seal is: whoever keeps the lines of the log
/// elsewhere can show later that the audit log was not written anew.
pub async fn seal_audit_log(store: Store, sealer: AuditSealer, clock: Arc<dyn Clock>) {
    let mut sealing = Sealing::new(sealer, store.clone());
    let mut sealed_at = clock.now();
    // One that never seals anything is to be noticed as well.
    let mut whole_at = sealed_at;
    let mut late = Every::new(Arc::clone(&clock), LATE);
    let mut told = Every::new(Arc::clone(&clock), SEAL_TOLD_EVERY);
    let mut newest = None;
    let mut failing = false;
    loop {
        operate::audit_log_sealed(whole_at);
        tokio::time::sleep(SEALED_EVERY).await;
        // On a disk that takes long to sync others would wait for this, and longer than they may.
        let now = clock.now();
        if store.commit_takes() > SLOW_COMMIT && now.since(sealed_at) < SEALED_AT_LEAST_EVERY {
            continue;
        }
        sealed_at = now;
        let margin = if late.is_due() { LATE } else { MARGIN };
        match sealing.turn(now, margin).await {
            Ok(seal) => {
                newest = seal.or(newest);
                whole_at = now;
                failing = false;
            }
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the audit log is not sealed; it is tried again every few seconds");
            }
            Err(_) => {}
        }
        if let Some(seal) = newest.take_if(|_| told.is_due()) {
            tracing::info!(
                seal = seal.number,
                head = seal.head,
                "the audit log is under seal up to here"
            );
        }
    }
}

/// Proves aliases when their time has come.
pub async fn aliases(prover: AliasProver) {
    loop {
        if let Err(error) = prover.prove_due().await {
            tracing::warn!(%error, "aliases could not be proven");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::MovableClock;

    async fn is_due(turns: &mut Every) -> bool {
        // Longer than the pause between two looks.
        let looking = LOOK_EVERY + Duration::from_millis(300);
        tokio::time::timeout(looking, turns.next()).await.is_ok()
    }

    #[tokio::test]
    async fn a_chore_is_due_when_the_clock_has_moved_and_not_when_we_have_waited() {
        let hour = Duration::from_secs(3600);
        let clock = MovableClock::default();
        let begin = clock.now();
        let mut turns = Every::new(Arc::new(clock.clone()), hour);
        assert!(is_due(&mut turns).await, "the first turn is at once");
        assert!(!is_due(&mut turns).await, "the clock stands still");
        clock.advance(8 * hour);
        assert!(is_due(&mut turns).await, "a night has passed");
        assert!(!is_due(&mut turns).await, "and is made up for once");
        clock.set(begin);
        assert!(is_due(&mut turns).await, "the clock was set back");
    }
}
