use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::db::closed;
use crate::job::{Job, Queued, Turn, Work, overdue};
use crate::metric::WriterMetric;
use crate::values::{Args, RowReader};

/// How many writes may wait. One more is [`StoreError::Busy`].
pub(crate) const QUEUE_JOBS_MAX: usize = 1024;

/// How long a write may wait before it begins. After that it is [`StoreError::Unavailable`], and never done.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(3);

/// How many writes one commit carries.
const GROUP_JOBS_MAX: usize = 256;

/// The one writer of an SQLite file: it takes what waits, up to a group, and makes it durable with one commit.
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Queued>>,
    closing: Arc<Notify>,
    metric: Arc<WriterMetric>,
    pace: Arc<Pace>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// How long commits take.
#[derive(Debug, Default)]
struct Pace(Mutex<Commits>);

#[derive(Debug, Default, Clone, Copy)]
struct Commits {
    /// The present one.
    began: Option<Instant>,
    /// How long the last one took, and when it ended.
    last: Option<(Duration, Instant)>,
}

/// After this long the last commit says nothing of the next one.
const PACE_HOLDS: Duration = Duration::from_secs(15);

impl Pace {
    fn change(&self, change: impl FnOnce(&mut Commits)) -> Commits {
        let mut commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut commits);
        *commits
    }

    fn begins(&self) {
        self.change(|commits| commits.began = Some(Instant::now()));
    }

    /// Gives how long it took.
    fn ends(&self) -> Duration {
        let ended = Instant::now();
        let commits = self.change(|commits| {
            let took = commits.began.take().map(|began| ended - began);
            commits.last = took.map(|took| (took, ended));
        });
        commits.last.map_or(Duration::ZERO, |(took, _)| took)
    }

    fn takes(&self) -> Duration {
        let commits = self.change(|_| {});
        let present = commits.began.map(|began| began.elapsed());
        let last = commits
            .last
            .filter(|(_, ended)| ended.elapsed() < PACE_HOLDS);
        present.max(last.map(|(took, _)| took)).unwrap_or_default()
    }
}

impl Writer {
    pub(crate) fn start(conn: Conn, metric: WriterMetric) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let closing = Arc::new(Notify::new());
        let metric = Arc::new(metric);
        let pace = Arc::new(Pace::default());
        let task = tokio::spawn(run(
            conn,
            jobs,
            Arc::clone(&closing),
            Arc::clone(&metric),
            Arc::clone(&pace),
        ));
        Self {
            queue,
            closing,
            metric,
            pace,
            task: Mutex::new(Some(task)),
        }
    }

    pub(crate) async fn write<D, T>(&self, data: D, work: Work<D, T>) -> Result<T, StoreError>
    where
        D: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let turn = Turn::default();
        let job = Box::new(Job::new(data, work, reply, turn.clone()));
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.metric.refused();
                StoreError::Busy
            }
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        match tokio::time::timeout(WAIT_MAX, &mut answer).await {
            Err(_) if turn.take() => {
                self.metric.refused();
                Err(overdue())
            }
            // It has begun, so only its end says what became of it.
            Err(_) => answer.await.map_err(|_| closed())?,
            Ok(answer) => answer.map_err(|_| closed())?,
        }
    }

    /// How many writes wait to be taken up.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// How long the last commit took, or the present one has taken when that is longer.
    pub(crate) fn commit_takes(&self) -> Duration {
        self.pace.takes()
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

async fn run(
    mut conn: Conn,
    mut jobs: mpsc::Receiver<Box<dyn Queued>>,
    closing: Arc<Notify>,
    metric: Arc<WriterMetric>,
    pace: Arc<Pace>,
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
        // The first job woke this task ahead of everybody else who is ready; let them speak, and share the commit.
        tokio::task::yield_now().await;
        while group.len() < GROUP_JOBS_MAX
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        pace.begins();
        let committed = commit_group(&mut conn, &mut group).await;
        let took = pace.ends();
        match committed {
            Ok(()) if group.is_empty() => {}
            Ok(()) => metric.committed(group.len(), took),
            Err(NotCommitted) => metric.failed(),
        }
        for job in group.drain(..) {
            job.answer();
        }
    }
    conn.close().await;
}

/// No job of the group was made durable.
struct NotCommitted;

/// Runs the jobs of a group and commits them together. Afterwards each holds the outcome to be told; those that waited
/// too long were told so, and are not in the group any more.
///
/// Nearly every group has no failing job, so it runs without savepoints first, which takes a third of the CPU
/// (`examples/floor.rs`). When a job fails, everything is rolled back and the group runs again with a savepoint
/// around each, so that the failed job alone is undone.
async fn commit_group(
    conn: &mut Conn,
    group: &mut Vec<Box<dyn Queued>>,
) -> Result<(), NotCommitted> {
    let outcome = match together(conn, group).await {
        Ok(Ran::Committed | Ran::Nothing) => Ok(()),
        Ok(Ran::JobFailed) => one_by_one(conn, group).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        fail_all(conn, group, &error).await;
        return Err(NotCommitted);
    }
    Ok(())
}

enum Ran {
    Committed,
    /// Nobody wanted it any more.
    Nothing,
    JobFailed,
}

/// Begins a transaction for those of the group that still want it. Another process may hold the file; each try waits
/// as long as the connection's `busy_timeout`, and after [`WAIT_MAX`] nobody is left to try for: then it says false.
async fn begin(conn: &mut Conn, group: &mut Vec<Box<dyn Queued>>) -> Result<bool, StoreError> {
    loop {
        for overdue in group.extract_if(.., |job| job.is_overdue()) {
            overdue.answer();
        }
        if group.is_empty() {
            return Ok(false);
        }
        match execute(conn, "BEGIN IMMEDIATE").await {
            Err(StoreError::Busy) => {}
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    group.retain(|job| job.begin());
    if group.is_empty() {
        execute(conn, "ROLLBACK").await?;
    }
    Ok(!group.is_empty())
}

async fn together(conn: &mut Conn, group: &mut Vec<Box<dyn Queued>>) -> Result<Ran, StoreError> {
    if !begin(conn, group).await? {
        return Ok(Ran::Nothing);
    }
    let alone = group.len() == 1;
    let Ok(passed) = pass_gates(conn, group).await else {
        execute(conn, "ROLLBACK").await?;
        return Ok(Ran::JobFailed);
    };
    for (job, passed) in group.iter_mut().zip(passed) {
        if !job.run(conn, passed).await {
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

/// Runs the gates of the group's jobs, those of one kind by one statement, and says of each how it went; `None`
/// where the job must run its own. Nobody of a group has been answered, so the order among them is free.
async fn pass_gates(
    conn: &mut Conn,
    group: &[Box<dyn Queued>],
) -> Result<Vec<Option<bool>>, StoreError> {
    struct Batch<'a> {
        gate: &'static BulkStatement,
        rows: Vec<Args>,
        jobs: HashMap<&'a str, usize>,
    }
    let mut passed = vec![None; group.len()];
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for (index, job) in group.iter().enumerate() {
        let Some((gate, key, row)) = job.gate() else {
            continue;
        };
        let known = batches
            .iter()
            .position(|batch| std::ptr::eq(batch.gate, gate));
        let batch = match known {
            Some(position) => &mut batches[position],
            None => {
                batches.push(Batch {
                    gate,
                    rows: Vec::with_capacity(group.len()),
                    jobs: HashMap::with_capacity(group.len()),
                });
                batches.last_mut().expect("one was pushed")
            }
        };
        // A second job for the same key runs its own gate afterwards, and finds it closed.
        if let std::collections::hash_map::Entry::Vacant(place) = batch.jobs.entry(key) {
            place.insert(index);
            batch.rows.push(row);
            passed[index] = Some(false);
        }
    }
    for batch in batches {
        for row in batch.gate.fetch(conn.raw(), batch.rows).await? {
            let key = RowReader::new(&row, "gate").text(0)?;
            let index = batch.jobs.get(key).ok_or_else(|| {
                StoreError::Internal(format!("a group of writes met {key}, which nobody named"))
            })?;
            passed[*index] = Some(true);
        }
    }
    Ok(passed)
}

async fn one_by_one(conn: &mut Conn, group: &mut [Box<dyn Queued>]) -> Result<(), StoreError> {
    execute(conn, "BEGIN IMMEDIATE").await?;
    for job in group.iter_mut() {
        execute(conn, "SAVEPOINT job").await?;
        let mut worked = job.run(conn, None).await;
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
