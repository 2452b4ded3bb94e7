use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Timestamp};
use store::{ActivityLog, Store, StoreError};

/// The chore, for the nodes that share a database.
const LEASE: &str = "housekeeping";
/// Longer than two turns, so that the node that has it keeps it, and another takes over half an hour after it stopped.
const LEASE_LIFE: Duration = Duration::from_secs(25 * 60);
/// Rows that one transaction deletes; whoever waits for the one writer of SQLite goes between two of them.
const ROWS: usize = 500;
/// Every client is looked at, so it is not done in each turn.
const IDLE_CLIENTS_EVERY: u64 = 6;

/// Deletes what has ended: on one of several nodes at a time, in small pieces.
pub struct Housekeeper {
    /// What the authority keeps.
    pub store: Store,
    /// Calls.
    pub activity: ActivityLog,
    /// Tells when something has ended.
    pub clock: Arc<dyn Clock>,
    /// What this node is called among those that share the database.
    pub holder: String,
    /// How long calls are kept.
    pub activity_kept: Duration,
    /// How long audit events are kept; none without end.
    pub audit_kept: Option<Duration>,
}

impl Housekeeper {
    /// Does what there is to do in this turn, unless another node does.
    pub async fn turn(&self, number: u64) {
        let began = self.clock.now();
        match self.hold().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "nothing that has ended was deleted");
                return;
            }
        }
        let expired = self.in_pieces(|| self.store.purge_expired(began, ROWS));
        let expired = told("what has ended", expired.await);
        let events = match self.audit_kept {
            None => 0,
            Some(kept) => {
                let before = began.before(kept);
                let events = self.in_pieces(|| self.store.purge_audit_events(before, ROWS));
                let gone = told("old audit events", events.await);
                let seals = self.in_pieces(|| self.store.purge_audit_seals(before, ROWS));
                told("seals of old audit events", seals.await);
                gone
            }
        };
        let before = began.before(self.activity_kept);
        let calls = told(
            "old calls",
            self.in_pieces(|| self.activity.purge(before, ROWS)).await,
        );
        let clients = match number.is_multiple_of(IDLE_CLIENTS_EVERY) {
            true => oauth::idle_clients::forget(&self.store, began).await,
            false => Ok(0),
        };
        let clients = told("clients that nobody uses", clients);
        if expired + events + calls + clients > 0 {
            tracing::info!(
                expired,
                events,
                calls,
                clients,
                "what had ended was deleted"
            );
        }
    }

    async fn hold(&self) -> Result<bool, StoreError> {
        let now: Timestamp = self.clock.now();
        let until = now.after(LEASE_LIFE);
        self.store.take_lease(LEASE, &self.holder, now, until).await
    }

    /// Goes on until a piece was not full, or another node has taken over.
    async fn in_pieces<F>(&self, piece: impl Fn() -> F) -> Result<u64, StoreError>
    where
        F: Future<Output = Result<u64, StoreError>>,
    {
        let mut gone = 0;
        loop {
            let rows = piece().await?;
            gone += rows;
            if rows < ROWS as u64 || !self.hold().await? {
                return Ok(gone);
            }
        }
    }
}

/// One that fails does not keep the others from theirs.
fn told(what: &'static str, gone: Result<u64, StoreError>) -> u64 {
    gone.unwrap_or_else(|error| {
        tracing::warn!(%error, what, "could not be deleted");
        0
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use domain::{AuditEvent, AuditEventKind};
    use store::{ActivityOptions, DatabaseUrl, StoreOptions};
    use testkit::MovableClock;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct House {
        _folder: tempfile::TempDir,
        clock: MovableClock,
        first: Housekeeper,
        second: Housekeeper,
    }

    async fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let clock = MovableClock::default();
        let url = |name| DatabaseUrl::Sqlite(folder.path().join(name));
        let store = Store::open(StoreOptions::new(url("a.db")), &clock)
            .await
            .unwrap();
        let options = ActivityOptions { url: url("b.db") };
        let activity = ActivityLog::open(options, &clock).await.unwrap();
        let keeper = |holder: &str| Housekeeper {
            store: store.clone(),
            activity: activity.clone(),
            clock: Arc::new(clock.clone()),
            holder: holder.to_owned(),
            activity_kept: DAY,
            audit_kept: Some(2 * DAY),
        };
        let (first, second) = (keeper("first"), keeper("second"));
        House {
            _folder: folder,
            clock,
            first,
            second,
        }
    }

    impl House {
        /// Something happens so many times.
        async fn happens(&self, times: usize) {
            let event = AuditEvent {
                at: self.clock.now(),
                kind: AuditEventKind::SignInRefused,
                server: None,
                user: None,
                client: None,
                grant: None,
                detail: String::new(),
            };
            let writes = (0..times).map(|_| self.first.store.insert_audit_event(event.clone()));
            for written in futures_util::future::join_all(writes).await {
                written.unwrap();
            }
        }

        /// At most a page.
        async fn events(&self) -> usize {
            let events = self.first.store.list_audit_events(0, 1000).await;
            events.unwrap().len()
        }
    }

    #[tokio::test]
    async fn one_node_keeps_the_house_and_another_takes_over_when_it_stops() {
        let house = house().await;
        house.first.turn(0).await;
        house.happens(3).await;
        house.clock.advance(3 * DAY);
        house.first.turn(1).await;
        assert_eq!(house.events().await, 1, "the newest stays");
        house.happens(3).await;
        house.clock.advance(LEASE_LIFE - Duration::from_secs(1));
        house.second.turn(0).await;
        assert!(house.events().await > 1);
        // The node that had the chore is gone; time goes on.
        house.clock.advance(3 * DAY);
        house.second.turn(1).await;
        assert_eq!(house.events().await, 1);
        house.happens(1).await;
        house.clock.advance(Duration::from_secs(60));
        house.first.turn(2).await;
        assert_eq!(house.events().await, 2, "the other has it now");
    }

    #[tokio::test]
    async fn what_is_kept_for_ever_stays_and_a_backlog_of_many_pieces_goes_in_one_turn() {
        let mut house = house().await;
        house.happens(600).await;
        house.happens(600).await;
        house.clock.advance(1000 * DAY);
        house.first.audit_kept = None;
        house.first.turn(0).await;
        assert_eq!(house.events().await, 1000);
        house.first.audit_kept = Some(2 * DAY);
        house.first.turn(1).await;
        assert_eq!(house.events().await, 1);
    }
}
