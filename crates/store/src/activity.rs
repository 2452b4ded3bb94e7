mod queue;
mod row;
mod scan;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Timestamp};
use domain::{CallRecord, WhenFull};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::queue::{Dropped, write_batches};
use self::row::{read, select_calls};
pub use self::scan::{CallFilter, CallPage, CallPlace};
use crate::db::{Database, DatabaseUrl, Synchronous};
use crate::job::Work;
use crate::migrate::ACTIVITY;
use crate::values::{Args, RowReader};
use crate::{StoreError, event_id, metric};

/// How many calls may wait to be written, when nothing else is said.
const QUEUE_RECORDS_MAX: usize = 8192;

/// The calls that went through the gateway, in a file or schema of their own. Calls are added, and deleted by age; nothing
/// changes one. Recording never waits, unless it is asked to: when the log cannot keep up, calls are dropped and counted.
#[derive(Clone)]
pub struct ActivityLog(Arc<Inner>);

/// How to open an [`ActivityLog`].
#[derive(Debug, Clone)]
pub struct ActivityOptions {
    /// A file, or a PostgreSQL schema, that holds nothing else.
    pub url: DatabaseUrl,
}

/// What waits to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityQueue {
    /// How many calls may wait.
    pub records_max: usize,
    /// What happens to one more, and to what cannot be written.
    pub when_full: WhenFull,
}

impl Default for ActivityQueue {
    fn default() -> Self {
        Self {
            records_max: QUEUE_RECORDS_MAX,
            when_full: WhenFull::Drop,
        }
    }
}

struct Inner {
    database: Arc<Database>,
    queue: Mutex<Option<mpsc::Sender<CallRecord>>>,
    when_full: WhenFull,
    dropped: Dropped,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl ActivityLog {
    /// Opens the log and makes it when it is missing.
    ///
    /// # Errors
    /// As [`crate::Store::open`].
    pub async fn open(options: ActivityOptions, clock: &dyn Clock) -> Result<Self, StoreError> {
        Self::open_with(options, ActivityQueue::default(), clock).await
    }

    /// The same with a queue of its own size.
    ///
    /// # Errors
    /// As [`crate::Store::open`].
    pub async fn open_with(
        options: ActivityOptions,
        queue: ActivityQueue,
        clock: &dyn Clock,
    ) -> Result<Self, StoreError> {
        let when_full = queue.when_full;
        let database = Database::open(
            &options.url,
            Synchronous::default(),
            &ACTIVITY,
            clock.now(),
            Duration::ZERO,
        )
        .await?;
        let database = Arc::new(database);
        let (queue, records) = mpsc::channel(queue.records_max.max(1));
        let dropped = Dropped::default();
        let task = tokio::spawn(write_batches(
            Arc::clone(&database),
            records,
            when_full,
            dropped.clone(),
        ));
        Ok(Self(Arc::new(Inner {
            database,
            queue: Mutex::new(Some(queue)),
            when_full,
            dropped,
            task: Mutex::new(Some(task)),
        })))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    fn queue(&self) -> Option<mpsc::Sender<CallRecord>> {
        let queue = self.0.queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands a call to the log. Never waits.
    pub fn record(&self, record: CallRecord) {
        let sent = match &*self.0.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.try_send(record).is_ok(),
            None => false,
        };
        if !sent {
            self.0.dropped.add(1);
        }
    }

    /// Hands a call to the log; where none may be lost, waits until there is room.
    pub async fn record_in_turn(&self, record: CallRecord) {
        let queue = match self.0.when_full {
            WhenFull::Drop => return self.record(record),
            WhenFull::Refuse => self.queue(),
        };
        let sent = match queue {
            Some(queue) => queue.send(record).await.is_ok(),
            None => false,
        };
        if !sent {
            self.0.dropped.add(1);
        }
    }

    /// Hands several calls to the log: where none may be lost, all of them or none.
    ///
    /// # Errors
    /// When there is no room and none may be lost: then somebody else keeps them until there is.
    pub fn record_all(&self, records: Vec<CallRecord>) -> Result<(), StoreError> {
        if self.0.when_full == WhenFull::Refuse && !records.is_empty() {
            let queue = self.queue().ok_or(StoreError::Busy)?;
            let places = queue.try_reserve_many(records.len());
            let places = places.map_err(|_| StoreError::Busy)?;
            places
                .zip(records)
                .for_each(|(place, record)| place.send(record));
            return Ok(());
        }
        records.into_iter().for_each(|record| self.record(record));
        Ok(())
    }

    /// How many calls were not written since the log was opened.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.count()
    }

    /// The latest calls, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_recent(&self, limit: usize) -> Result<Vec<CallRecord>, StoreError> {
        let sql = select_calls!("ORDER BY id DESC LIMIT $1");
        let rows = self
            .0
            .database
            .fetch_all(sql, Args::with_capacity(1).limit(limit))
            .await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "call_record")))
            .collect()
    }

    /// The calls on behalf of `subject` behind `after` (0: from the beginning), oldest first, each with where the next page
    /// begins.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_calls_of(
        &self,
        subject: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, CallRecord)>, StoreError> {
        let sql = select_calls!("WHERE id > $1 AND subject = $2 ORDER BY id LIMIT $3");
        let args = Args::with_capacity(3).int(after).text(subject).limit(limit);
        let rows = self.0.database.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "call_record");
                Ok((row.int(0)?, read(&row)?))
            })
            .collect()
    }

    /// Deletes calls from before `before`, at most `limit`, and says how many went.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let first = event_id::first(before);
        // Asked by a reader, so that the writer is held only when there is something to do.
        let probe = "SELECT id FROM call_record WHERE id < $1 LIMIT 1";
        let found = self
            .0
            .database
            .fetch_optional(probe, Args::with_capacity(1).int(first));
        if found.await?.is_none() {
            return Ok(0);
        }
        let gone = self
            .0
            .database
            .write(
                (first, limit),
                Work::Plain(|conn, (first, limit)| {
                    Box::pin(async move {
                        let sql = "DELETE FROM call_record WHERE id IN \
                               (SELECT id FROM call_record WHERE id < $1 ORDER BY id LIMIT $2)";
                        let args = Args::with_capacity(2).int(*first).limit(*limit);
                        conn.execute(sql, args).await
                    })
                }),
            )
            .await?;
        metric::purged("call_record", gone);
        Ok(gone)
    }

    /// Writes what waits, drops what comes after, and closes.
    pub async fn close(&self) {
        drop(
            self.0
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let task = self
            .0
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the activity log ended badly");
        }
        self.0.database.close().await;
    }
}

impl std::fmt::Debug for ActivityLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ActivityLog")
    }
}
