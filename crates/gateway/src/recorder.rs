use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use tokio::sync::mpsc;

use crate::metric;
use crate::record::CallRecorded;

/// Passes records on without ever waiting; what does not fit is counted.
#[derive(Debug)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<CallRecorded>,
    must_record: bool,
    dropped: AtomicU64,
    dropped_metric: Counter,
}

/// Room for one record, whatever comes meanwhile.
pub(crate) type KeptPlace = mpsc::OwnedPermit<CallRecorded>;

impl Recorder {
    /// `must_record`: no call is answered that finds no place for its record.
    pub(crate) fn new(sender: mpsc::Sender<CallRecorded>, must_record: bool) -> Self {
        Self {
            sender,
            must_record,
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
        if !self.must_record {
            return Ok(None);
        }
        let place = self.sender.clone().try_reserve_owned();
        place.map(Some).map_err(|_| Full)
    }

    /// Passes on the record of what kept no place.
    pub(crate) fn pass_on(&self, record: CallRecorded) {
        // Strangers may take half of the room and no more: a flood of theirs must not keep callers from going on.
        let is_crowded = || self.sender.capacity() <= self.sender.max_capacity() / 2;
        let makes_room = self.must_record && record.subject.is_none() && is_crowded();
        if makes_room || self.sender.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.dropped_metric.increment(1);
        }
    }
}

/// There is no room for another record.
#[derive(Debug)]
pub(crate) struct Full;
