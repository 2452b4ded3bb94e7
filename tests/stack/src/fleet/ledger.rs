//! What the fleet acknowledged to the load, and what it must not have answered.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::person::{Code, Person};

use super::administrator::Written;

/// What went against a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Something that was acknowledged is gone.
    Lost,
    /// Something that may be used once was used twice.
    DoubleSpend,
    /// An answer that no honest request deserves.
    Wrong,
    /// A live token was refused.
    Refused,
    /// No answer, however often it was asked for.
    Unanswered,
}

/// One approval whose tokens live.
#[derive(Clone)]
pub(super) struct Chain {
    pub(super) person: Person,
    pub(super) code: Code,
    /// The newest refresh token.
    pub(super) refresh: String,
    /// The newest access token, and since when.
    pub(super) access: (String, Instant),
}

#[derive(Default)]
pub(super) struct Entries {
    pub(super) chains: Vec<Chain>,
    /// Those whose refresh token was revoked.
    pub(super) revoked: Vec<Chain>,
    /// Ids of registered clients.
    pub(super) clients: Vec<String>,
    /// Ids of the keys that signed access tokens.
    pub(super) keys: BTreeSet<String>,
    /// What a machine wrote over the admin API, once it has ended.
    pub(super) written: Written,
    pub(super) broken: Vec<(Broken, String)>,
    /// The longest that a gateway took to refuse a revoked token.
    pub(super) refused_after: Duration,
}

/// Entries of each kind that are kept; what a longer load does beyond them is judged by its answers alone.
const KEPT_MAX: usize = 20_000;

/// Keeps `entry` while there is room.
pub(super) fn keep<T>(entries: &mut Vec<T>, entry: T) {
    if entries.len() < KEPT_MAX {
        entries.push(entry);
    }
}

/// Kept in memory: the process that keeps it is none of those that die.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Mutex<Entries>,
    operations: AtomicU64,
    retries: AtomicU64,
    undecided: AtomicU64,
}

impl Ledger {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let mut entries = self
            .entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut entries)
    }

    /// A request was answered as it should be.
    pub(super) fn done(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// A permitted retry follows.
    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A code was refused after an attempt whose answer got lost: that one had spent it.
    pub(super) fn undecided(&self) {
        self.undecided.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn broken(&self, what: Broken, words: String) {
        self.with(|entries| entries.broken.push((what, words)));
    }

    /// A gateway refuses what was revoked so long ago.
    pub(super) fn refused_after(&self, took: Duration) {
        self.with(|entries| entries.refused_after = entries.refused_after.max(took));
    }

    pub(super) fn counts(&self) -> [u64; 3] {
        [&self.operations, &self.retries, &self.undecided]
            .map(|count| count.load(Ordering::Relaxed))
    }
}
