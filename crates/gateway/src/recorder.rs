use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use metrics::Counter;
use tokio::sync::mpsc;

use crate::metric;
use crate::record::{CallRecorded, Outcome};

/// Passes records on without ever waiting; what does not fit is counted.
#[derive(Debug)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<CallRecorded>,
    /// Where each call must be recorded: how many records may wait to be taken.
    waiting_max: Option<usize>,
    /// Places of calls that are not over yet: they are taken in the channel, and nothing waits there.
    kept: Arc<AtomicUsize>,
    dropped: AtomicU64,
    dropped_metric: Counter,
}

/// Room for one record, whatever comes meanwhile.
#[derive(Debug)]
pub(crate) struct KeptPlace {
    permit: mpsc::OwnedPermit<CallRecorded>,
    kept: Kept,
}

/// Counts a place until the record is there, or nobody needs it any more.
#[derive(Debug)]
struct Kept(Arc<AtomicUsize>);

impl Recorder {
    /// With `waiting_max`, no call is answered that finds no place for its record.
    pub(crate) fn new(sender: mpsc::Sender<CallRecorded>, waiting_max: Option<usize>) -> Self {
        Self {
            sender,
            waiting_max,
            kept: Arc::default(),
            dropped: AtomicU64::new(0),
            dropped_metric: metric::records_dropped(),
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A place for the record of a call that is about to go on, where it may not go on without one.
    ///
    /// # Errors
    /// When there is no room.
    pub(crate) fn keep_place(&self) -> Result<Option<KeptPlace>, Full> {
        let Some(waiting_max) = self.waiting_max else {
            return Ok(None);
        };
        if self.waiting() >= waiting_max {
            return Err(Full);
        }
        let permit = self.sender.clone().try_reserve_owned().map_err(|_| Full)?;
        self.kept.fetch_add(1, Ordering::Relaxed);
        let kept = Kept(Arc::clone(&self.kept));
        Ok(Some(KeptPlace { permit, kept }))
    }

    /// Passes on the record of what kept no place.
    pub(crate) fn pass_on(&self, record: CallRecorded) {
        let went_on = matches!(record.outcome, Outcome::Allowed | Outcome::UpstreamFailed);
        // What was refused takes half of the room and no more, whoever asked: no flood of it, of strangers or of somebody
        // with a token, keeps others from going on, or takes the place of the records of what did.
        let most = self.waiting_max.unwrap_or(self.sender.max_capacity());
        let may_be_crowded = !went_on || self.waiting_max.is_some();
        let is_crowded = may_be_crowded && self.waiting() >= most / 2;
        if is_crowded || self.sender.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.dropped_metric.increment(1);
        }
    }

    /// How many records nobody has taken yet. Those that come and go meanwhile may be counted or not.
    fn waiting(&self) -> usize {
        let taken = self.sender.max_capacity() - self.sender.capacity();
        taken.saturating_sub(self.kept.load(Ordering::Relaxed))
    }
}

impl KeptPlace {
    /// Passes the record on.
    pub(crate) fn send(self, record: CallRecorded) {
        let Self { permit, kept } = self;
        permit.send(record);
        drop(kept);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// There is no room for another record.
#[derive(Debug)]
pub(crate) struct Full;
