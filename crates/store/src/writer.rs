use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::conn::Conn;
use crate::db::closed;
use crate::values::Args;

/// How many writes may wait. One more is [`StoreError::Busy`].
pub(crate) const QUEUE_JOBS_MAX: usize = 1024;

/// How many writes one commit carries.
const GROUP_JOBS_MAX: usize = 256;

/// What one transaction does with its data. A plain function of both, so that it can be called again from the
/// start, and awaits nothing but its connection.
pub(crate) type Work<D, T> =
    for<'a> fn(&'a mut Conn, &'a D) -> BoxFuture<'a, Result<T, StoreError>>;

/// The one writer of an SQLite file: it takes what waits, up to a group, and makes it durable with one commit.
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Queued>>,
    closing: std::sync::Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(conn: Conn) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let closing = std::sync::Arc::new(Notify::new());
        let task = tokio::spawn(run(conn, jobs, std::sync::Arc::clone(&closing)));
        Self {
            queue,
            closing,
            task: Mutex::new(Some(task)),
        }
    }

    pub(crate) async fn write<D, T>(&self, data: D, work: Work<D, T>) -> Result<T, StoreError>
    where
        D: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job {
            data,
            work,
            outcome: None,
            reply,
        });
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.map_err(|_| closed())?
    }

    /// Finishes what waits, refuses what comes after, and closes the connection.
    pub(crate) async fn close(&self) {
        self.closing.notify_one();
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer ended badly");
        }
    }
}

/// A job whose types are forgotten.
trait Queued: Send {
    /// Runs it, keeps the outcome, and says whether it worked.
    fn run<'a>(&'a mut self, conn: &'a mut Conn) -> BoxFuture<'a, bool>;
    /// Replaces an outcome that was not made durable.
    fn fail(&mut self, error: StoreError);
    /// Tells the caller, if it still listens.
    fn answer(self: Box<Self>);
}

struct Job<D, T> {
    data: D,
    work: Work<D, T>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<D: Send + Sync, T: Send> Queued for Job<D, T> {
    fn run<'a>(&'a mut self, conn: &'a mut Conn) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let outcome = AssertUnwindSafe((self.work)(conn, &self.data))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(StoreError::Internal("a write panicked".to_owned())));
            let worked = outcome.is_ok();
            self.outcome = Some(outcome);
            worked
        })
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(closed()));
        // A caller that went away asked for the write all the same.
        let _ = self.reply.send(outcome);
    }
}

async fn run(
    mut conn: Conn,
    mut jobs: mpsc::Receiver<Box<dyn Queued>>,
    closing: std::sync::Arc<Notify>,
) {
    let mut group = Vec::with_capacity(GROUP_JOBS_MAX);
    loop {
        let count = tokio::select! {
            biased;
            count = jobs.recv_many(&mut group, GROUP_JOBS_MAX) => count,
            () = closing.notified() => {
                jobs.close();
                continue;
            }
        };
        if count == 0 {
            break;
        }
        commit_group(&mut conn, &mut group).await;
        for job in group.drain(..) {
            job.answer();
        }
    }
    conn.close().await;
}

/// Runs the jobs of a group and commits them together. Afterwards each holds the outcome to be told.
///
/// Nearly every group has no failing job, so it runs without savepoints first. When a job fails, everything is
/// rolled back and the group runs again with a savepoint around each, so that the failed job alone is undone.
async fn commit_group(conn: &mut Conn, group: &mut [Box<dyn Queued>]) {
    match together(conn, group).await {
        Ok(Ran::Committed) => {}
        Ok(Ran::JobFailed) => {
            if let Err(error) = one_by_one(conn, group).await {
                fail_all(conn, group, &error).await;
            }
        }
        Err(error) => fail_all(conn, group, &error).await,
    }
}

enum Ran {
    Committed,
    JobFailed,
}

async fn together(conn: &mut Conn, group: &mut [Box<dyn Queued>]) -> Result<Ran, StoreError> {
    execute(conn, "BEGIN IMMEDIATE").await?;
    let alone = group.len() == 1;
    for job in group.iter_mut() {
        if !job.run(conn).await {
            conn.forget_pending();
            execute(conn, "ROLLBACK").await?;
            // Alone, there is nobody to protect from it, and its error is known.
            return Ok(if alone {
                Ran::Committed
            } else {
                Ran::JobFailed
            });
        }
    }
    match conn.flush().await {
        Ok(()) => {}
        Err(error) if alone => return Err(error),
        Err(_) => {
            execute(conn, "ROLLBACK").await?;
            return Ok(Ran::JobFailed);
        }
    }
    execute(conn, "COMMIT").await?;
    Ok(Ran::Committed)
}

async fn one_by_one(conn: &mut Conn, group: &mut [Box<dyn Queued>]) -> Result<(), StoreError> {
    execute(conn, "BEGIN IMMEDIATE").await?;
    for job in group.iter_mut() {
        execute(conn, "SAVEPOINT job").await?;
        let mut worked = job.run(conn).await;
        if worked {
            if let Err(error) = conn.flush().await {
                job.fail(error);
                worked = false;
            }
        } else {
            conn.forget_pending();
        }
        if !worked {
            execute(conn, "ROLLBACK TO job").await?;
        }
        execute(conn, "RELEASE job").await?;
    }
    execute(conn, "COMMIT").await
}

/// Undoes the transaction and gives every job of the group the same error.
async fn fail_all(conn: &mut Conn, group: &mut [Box<dyn Queued>], error: &StoreError) {
    tracing::error!(%error, jobs = group.len(), "a group of writes was not committed");
    conn.forget_pending();
    // Some errors end the transaction by themselves; then this one says that there is none.
    let _ = execute(conn, "ROLLBACK").await;
    for job in group {
        job.fail(error.clone());
    }
}

async fn execute(conn: &mut Conn, sql: &'static str) -> Result<(), StoreError> {
    conn.execute(sql, Args::default()).await.map(|_| ())
}

#[cfg(test)]
mod tests;
