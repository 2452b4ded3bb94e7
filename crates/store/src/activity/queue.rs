use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{CallRecord, WhenFull};
use tokio::sync::mpsc;

use super::row::{INSERT, row};
use crate::db::Database;
use crate::job::Work;
use crate::metric;

/// How many calls one transaction carries.
const BATCH_RECORDS_MAX: usize = 1024;

/// How many are written before others have their turn: a whole batch at once would keep the calls of its moment waiting.
const STEP_RECORDS: usize = 16;

/// How long a call waits for others to travel with.
const BATCH_WAIT: Duration = Duration::from_millis(250);

/// How long until calls are written again that could not be.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Calls that were lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Dropped(Arc<AtomicU64>);

impl Dropped {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
        metric::activity_dropped(count);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes what is queued, until the queue is closed and empty. What cannot be written is lost, or tried again for as long
/// as the log is open when no call may be.
pub(super) async fn write_batches(
    database: Arc<Database>,
    mut records: mpsc::Receiver<CallRecord>,
    when_full: WhenFull,
    dropped: Dropped,
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
        let travelling = Arc::new(std::mem::take(&mut batch));
        let count = travelling.len() as u64;
        let mut told = false;
        loop {
            let work = Work::Plain(|conn, batch: &Arc<Vec<CallRecord>>| {
                Box::pin(async move {
                    for step in batch.chunks(STEP_RECORDS) {
                        for record in step {
                            conn.insert_later(&INSERT, row(record));
                        }
                        conn.flush().await?;
                    }
                    Ok(())
                })
            });
            let Err(error) = database.write(Arc::clone(&travelling), work).await else {
                break;
            };
            if when_full == WhenFull::Drop || records.is_closed() {
                dropped.add(count);
                tracing::warn!(%error, records = count, "the activity log lost calls");
                break;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    %error,
                    records = count,
                    "calls cannot be written to the activity log; it is tried again, and when no more find room, calls are refused"
                );
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}
