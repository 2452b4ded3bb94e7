use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::StoreError;
use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::values::{Args, RowReader};
use crate::writer::WAIT_MAX;

/// What one transaction does with its data. A plain function of both, so that it can be called again from the
/// start, and awaits nothing but its connection.
pub(crate) type Plain<D, T> =
    for<'a> fn(&'a mut Conn, &'a D) -> BoxFuture<'a, Result<T, StoreError>>;

/// What the transaction does once it is known whether its gate was passed.
type Then<D, T> = for<'a> fn(&'a mut Conn, &'a D, bool) -> BoxFuture<'a, Result<T, StoreError>>;

/// A transaction that begins with one conditional write and does the rest according to its outcome.
///
/// The jobs of a group share one statement for their gates; on PostgreSQL it runs over one row.
pub(crate) struct Gated<D, T> {
    /// Returns the key of each row that passed.
    pub(crate) gate: &'static BulkStatement,
    /// What the gate will return for this job; without it the gate runs for itself.
    pub(crate) key: fn(&D) -> Option<&str>,
    /// The values of its row.
    pub(crate) row: fn(&D) -> Args,
    pub(crate) then: Then<D, T>,
}

/// Either kind of transaction.
pub(crate) enum Work<D, T> {
    Plain(Plain<D, T>),
    Gated(Gated<D, T>),
}

impl<D, T> Work<D, T> {
    /// Does it. `passed` says how the gate went, when it was run for the group.
    async fn run_unguarded(
        &self,
        conn: &mut Conn,
        data: &D,
        passed: Option<bool>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Plain(work) => work(conn, data).await,
            Self::Gated(gated) => {
                let passed = match passed {
                    Some(passed) => passed,
                    None => gated.pass(conn, data).await?,
                };
                (gated.then)(conn, data, passed).await
            }
        }
    }

    /// Does it; a panic becomes an error, so that it cannot take the writer with it.
    pub(crate) async fn run(
        &self,
        conn: &mut Conn,
        data: &D,
        passed: Option<bool>,
    ) -> Result<T, StoreError> {
        AssertUnwindSafe(self.run_unguarded(conn, data, passed))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(StoreError::Internal("a write panicked".to_owned())))
    }
}

impl<D, T> Gated<D, T> {
    async fn pass(&self, conn: &mut Conn, data: &D) -> Result<bool, StoreError> {
        let row = conn
            .fetch_optional(self.gate.one(), (self.row)(data))
            .await?;
        let Some(row) = row else { return Ok(false) };
        let returned = RowReader::new(&row, "gate").text(0)?;
        match (self.key)(data) {
            Some(key) if key != returned => Err(StoreError::Internal(format!(
                "a write met {returned} where {key} was expected"
            ))),
            _ => Ok(true),
        }
    }
}

/// Whether a write begins or is given up: whoever takes it first decides, the writer or the caller.
#[derive(Clone, Default)]
pub(crate) struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Takes it; false when the other side did.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The answer of a write that waited too long to begin.
pub(crate) fn overdue() -> StoreError {
    StoreError::Unavailable(format!(
        "a write waited {} seconds for its turn: the disk is slow, or another process holds the database file",
        WAIT_MAX.as_secs()
    ))
}

/// A job whose types are forgotten.
pub(crate) trait Queued: Send + Sync {
    /// Whether it is to be done no more, though it has not begun: its caller gave up, or went away long ago.
    fn is_overdue(&self) -> bool;
    /// Begins it, unless its caller gave up: from now on only its outcome counts.
    fn begin(&self) -> bool;
    /// The gate that may be run together with others, with its key and row.
    fn gate(&self) -> Option<(&'static BulkStatement, &str, Args)>;
    /// Runs it, keeps the outcome, and says whether it worked.
    fn run<'a>(&'a mut self, conn: &'a mut Conn, passed: Option<bool>) -> BoxFuture<'a, bool>;
    /// Replaces an outcome that was not made durable.
    fn fail(&mut self, error: StoreError);
    /// Tells the caller, if it still listens.
    fn answer(self: Box<Self>);
}

/// A job in the queue.
pub(crate) struct Job<D, T> {
    data: D,
    work: Work<D, T>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    turn: Turn,
    queued: Instant,
}

impl<D, T> Job<D, T> {
    pub(crate) fn new(
        data: D,
        work: Work<D, T>,
        reply: oneshot::Sender<Result<T, StoreError>>,
        turn: Turn,
    ) -> Self {
        Self {
            data,
            work,
            outcome: None,
            reply,
            turn,
            queued: Instant::now(),
        }
    }
}

impl<D: Send + Sync, T: Send + Sync> Queued for Job<D, T> {
    fn is_overdue(&self) -> bool {
        self.turn.is_taken() || self.queued.elapsed() >= WAIT_MAX
    }

    fn begin(&self) -> bool {
        self.turn.take()
    }

    fn gate(&self) -> Option<(&'static BulkStatement, &str, Args)> {
        let Work::Gated(gated) = &self.work else {
            return None;
        };
        let key = (gated.key)(&self.data)?;
        Some((gated.gate, key, (gated.row)(&self.data)))
    }

    fn run<'a>(&'a mut self, conn: &'a mut Conn, passed: Option<bool>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let outcome = self.work.run(conn, &self.data, passed).await;
            let worked = outcome.is_ok();
            self.outcome = Some(outcome);
            worked
        })
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(overdue()));
        // A caller that went away asked for the write all the same.
        let _ = self.reply.send(outcome);
    }
}
