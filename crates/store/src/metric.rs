//! What the store counts, through the `metrics` facade. `database` is `authority` or `activity`.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

const GROUP: &str = "portcullis_store_group_writes";
const COMMIT_DURATION: &str = "portcullis_store_commit_duration_seconds";
const REFUSED: &str = "portcullis_store_writes_refused_total";
const FAILED: &str = "portcullis_store_commits_failed_total";
const RETRIES: &str = "portcullis_store_retries_total";
const ACQUIRE_TIMEOUTS: &str = "portcullis_store_acquire_timeouts_total";
const PURGED: &str = "portcullis_purged_rows_total";
const ACTIVITY_DROPPED: &str = "portcullis_activity_records_dropped_total";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[
    (
        REFUSED,
        "SQLite: writes refused because the queue was full, or because they waited too long to begin",
    ),
    (
        FAILED,
        "SQLite: groups of writes that were not made durable",
    ),
    (
        RETRIES,
        "PostgreSQL: transactions tried again, after a conflict (40001, 40P01) or for want of a connection",
    ),
    (
        ACQUIRE_TIMEOUTS,
        "PostgreSQL: times that no connection became free in time",
    ),
    (PURGED, "Rows deleted because their time was over, by table"),
    (ACTIVITY_DROPPED, "Calls that the activity log lost"),
];

/// The histograms, in seconds.
pub const DURATIONS: &[(&str, &str)] = &[(
    COMMIT_DURATION,
    "SQLite: from the begin of a group of writes to its durable end",
)];

/// The histograms of counts.
pub const SIZES: &[(&str, &str)] = &[(GROUP, "SQLite: how many writes one commit carried")];

/// What the one writer of an SQLite file counts.
pub(crate) struct WriterMetric {
    group: Histogram,
    duration: Histogram,
    failed: Counter,
    refused: Counter,
}

impl WriterMetric {
    pub(crate) fn new(database: &'static str) -> Self {
        Self {
            group: histogram!(GROUP, "database" => database),
            duration: histogram!(COMMIT_DURATION, "database" => database),
            failed: counter!(FAILED, "database" => database),
            refused: counter!(REFUSED, "database" => database),
        }
    }

    pub(crate) fn committed(&self, writes: usize, duration: Duration) {
        self.group.record(writes as f64);
        self.duration.record(duration);
    }

    pub(crate) fn failed(&self) {
        self.failed.increment(1);
    }

    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }
}

/// What a PostgreSQL database counts.
pub(crate) struct PoolMetric {
    retries: Counter,
    acquire_timeouts: Counter,
}

impl PoolMetric {
    pub(crate) fn new(database: &'static str) -> Self {
        Self {
            retries: counter!(RETRIES, "database" => database),
            acquire_timeouts: counter!(ACQUIRE_TIMEOUTS, "database" => database),
        }
    }

    pub(crate) fn retried(&self) {
        self.retries.increment(1);
    }

    pub(crate) fn timed_out(&self) {
        self.acquire_timeouts.increment(1);
    }
}

/// Counts calls that the activity log lost.
pub(crate) fn activity_dropped(calls: u64) {
    counter!(ACTIVITY_DROPPED).increment(calls);
}

/// Counts rows whose time was over.
pub(crate) fn purged(table: &'static str, rows: u64) {
    if rows > 0 {
        counter!(PURGED, "table" => table).increment(rows);
    }
}
