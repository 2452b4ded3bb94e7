use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Timestamp};
use domain::{CallOutcome, CallRecord};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bulk::BulkStatement;
use crate::db::{Database, DatabaseUrl, Synchronous};
use crate::job::Work;
use crate::migrate::ACTIVITY;
use crate::values::{Args, RowReader};
use crate::{StoreError, event_id, metric};

/// How many calls may wait to be written. One more is dropped and counted.
const QUEUE_RECORDS_MAX: usize = 8192;

/// How many calls one transaction carries.
const BATCH_RECORDS_MAX: usize = 1024;

/// How long a call waits for others to travel with.
const BATCH_WAIT: Duration = Duration::from_millis(250);

static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO call_record (id, at, server, subject, client_id, grant_id, method, name, outcome, reason, status, \
     duration_us, correlation_id) VALUES",
    13,
    "",
);

/// The calls that went through the gateway, in a file or schema of their own. Recording never waits: when the log
/// cannot keep up, calls are dropped and counted.
#[derive(Clone)]
pub struct ActivityLog(Arc<Inner>);

/// How to open an [`ActivityLog`].
#[derive(Debug, Clone)]
pub struct ActivityOptions {
    /// A file, or a PostgreSQL schema, that holds nothing else.
    pub url: DatabaseUrl,
}

struct Inner {
    database: Arc<Database>,
    queue: Mutex<Option<mpsc::Sender<CallRecord>>>,
    dropped: Arc<AtomicU64>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl ActivityLog {
    /// Opens the log and makes it when it is missing.
    ///
    /// # Errors
    /// As [`crate::Store::open`].
    pub async fn open(options: ActivityOptions, clock: &dyn Clock) -> Result<Self, StoreError> {
        let database = Database::open(
            &options.url,
            Synchronous::default(),
            &ACTIVITY,
            clock.now(),
            Duration::ZERO,
        )
        .await?;
        let database = Arc::new(database);
        let (queue, records) = mpsc::channel(QUEUE_RECORDS_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(write_batches(
            Arc::clone(&database),
            records,
            Arc::clone(&dropped),
        ));
        Ok(Self(Arc::new(Inner {
            database,
            queue: Mutex::new(Some(queue)),
            dropped,
            task: Mutex::new(Some(task)),
        })))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    /// Hands a call to the log. Never waits.
    pub fn record(&self, record: CallRecord) {
        let sent = match &*self.0.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.try_send(record).is_ok(),
            None => false,
        };
        if !sent {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            metric::activity_dropped(1);
        }
    }

    /// How many calls were not written since the log was opened.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// The latest calls, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_recent(&self, limit: usize) -> Result<Vec<CallRecord>, StoreError> {
        let sql = "SELECT id, at, server, subject, client_id, grant_id, method, name, outcome, reason, status, \
                   duration_us, correlation_id FROM call_record ORDER BY id DESC LIMIT $1";
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
        let sql = "SELECT id, at, server, subject, client_id, grant_id, method, name, outcome, reason, status, \
                   duration_us, correlation_id FROM call_record WHERE id > $1 AND subject = $2 ORDER BY id LIMIT $3";
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

async fn write_batches(
    database: Arc<Database>,
    mut records: mpsc::Receiver<CallRecord>,
    dropped: Arc<AtomicU64>,
) {
    let mut batch = Vec::new();
    while records.recv_many(&mut batch, BATCH_RECORDS_MAX).await > 0 {
        let full = async {
            while batch.len() < BATCH_RECORDS_MAX {
                let room = BATCH_RECORDS_MAX - batch.len();
                if records.recv_many(&mut batch, room).await == 0 {
                    break;
                }
            }
        };
        // When the time is up, what there is travels.
        let _ = tokio::time::timeout(BATCH_WAIT, full).await;
        let count = batch.len() as u64;
        let work = Work::Plain(|conn, batch: &Vec<CallRecord>| {
            Box::pin(async move {
                for record in batch {
                    conn.insert_later(&INSERT, row(record));
                }
                Ok(())
            })
        });
        let written = database.write(std::mem::take(&mut batch), work).await;
        if let Err(error) = written {
            dropped.fetch_add(count, Ordering::Relaxed);
            metric::activity_dropped(count);
            tracing::warn!(%error, records = count, "the activity log lost calls");
        }
    }
}

fn row(record: &CallRecord) -> Args {
    Args::with_capacity(13)
        .int(event_id::next(record.at))
        .time(record.at)
        .text(&record.server)
        .optional_text(record.subject.as_deref())
        .optional_text(record.client.as_deref())
        .optional_text(record.grant.as_deref())
        .clean_text(&record.method)
        .optional_clean_text(record.name.as_deref())
        .text(record.outcome.as_str())
        .clean_text(&record.reason)
        .int(i64::from(record.status))
        .int(record.duration_us)
        .optional_text(record.correlation_id.as_deref())
}

fn read(row: &RowReader<'_>) -> Result<CallRecord, StoreError> {
    Ok(CallRecord {
        at: row.time(1)?,
        server: row.text(2)?.to_owned(),
        subject: row.optional_text(3)?.map(str::to_owned),
        client: row.optional_text(4)?.map(str::to_owned),
        grant: row.optional_text(5)?.map(str::to_owned),
        method: row.text(6)?.to_owned(),
        name: row.optional_text(7)?.map(str::to_owned),
        outcome: row.parse(8, CallOutcome::parse)?,
        reason: row.text(9)?.to_owned(),
        status: u16::try_from(row.int(10)?).map_err(|_| row.corrupt("status is no HTTP status"))?,
        duration_us: row.int(11)?,
        correlation_id: row.optional_text(12)?.map(str::to_owned),
    })
}
