use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Timestamp;
use domain::DocumentKind;
use http::HeaderMap;

use super::document::Refused;
use super::freshness::{Bounds, back_off};

/// The most failures that are remembered.
const FAILURES_MAX: usize = 4096;

/// A kind of document that other hosts serve: how it is fetched, read and kept.
pub(crate) trait Kind: Send + Sync + 'static {
    /// What it is once it is read.
    type Value: Send + Sync;
    const KIND: DocumentKind;
    const ACCEPT: &'static str;
    const BYTES_MAX: usize;
    /// How many are held in memory.
    const HELD_MAX: usize;
    const BOUNDS: Bounds;
    /// Reads what came.
    fn read(url: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self::Value, Refused>;
    /// The body as it is kept: as it came, when it is text.
    fn to_text(body: &[u8]) -> Option<String> {
        String::from_utf8(body.to_vec()).ok()
    }
    /// Reads what was kept.
    fn from_text(url: &str, text: &str) -> Option<Self::Value>;
    /// Whether what matters in both is the same.
    fn is_same(one: &Self::Value, other: &Self::Value) -> bool;
}

/// A document that was good.
pub(crate) struct Held<K: Kind> {
    pub value: Arc<K::Value>,
    /// What is kept of it.
    pub text: Arc<str>,
    pub fetched_at: Timestamp,
    pub fresh_until: Timestamp,
    pub changed_at: Timestamp,
    /// Whether the database has it like this.
    pub is_stored: bool,
}

impl<K: Kind> Clone for Held<K> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            text: Arc::clone(&self.text),
            ..*self
        }
    }
}

/// An address that lately had nothing good.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Until when it is left alone.
    pub until: Timestamp,
    pub count: u32,
    /// Whether the host itself said that there is no good document.
    pub is_denial: bool,
    /// Why, for the log; and for whoever asked, when they may be told.
    pub reason: String,
    pub may_be_told: bool,
}

/// The documents of one kind in memory, and the addresses that are left alone for a while. Both are bounded: when one is
/// full, what was not used for longest goes.
pub(crate) struct Shelf<K: Kind> {
    held: Mutex<HashMap<String, (Held<K>, u64)>>,
    failures: Mutex<HashMap<String, Failure>>,
    uses: std::sync::atomic::AtomicU64,
}

impl<K: Kind> Default for Shelf<K> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            failures: Mutex::default(),
            uses: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

impl<K: Kind> Shelf<K> {
    pub fn find(&self, url: &str) -> Option<Held<K>> {
        let use_number = self.next_use();
        let mut held = lock(&self.held);
        let (found, used) = held.get_mut(url)?;
        *used = use_number;
        Some(found.clone())
    }

    /// The first that `wanted` likes.
    pub fn find_by(&self, wanted: impl Fn(&K::Value) -> bool) -> Option<Held<K>> {
        let held = lock(&self.held);
        let found = held.values().find(|(held, _)| wanted(&held.value));
        found.map(|(held, _)| held.clone())
    }

    /// Holds a document, unless a younger one of this address is held.
    pub fn put(&self, url: &str, document: Held<K>) {
        let use_number = self.next_use();
        let mut held = lock(&self.held);
        if held
            .get(url)
            .is_some_and(|(other, _)| other.fetched_at > document.fetched_at)
        {
            return;
        }
        if held.len() >= K::HELD_MAX && !held.contains_key(url) {
            let oldest = held.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                held.remove(&oldest);
            }
        }
        held.insert(url.to_owned(), (document, use_number));
    }

    /// Notes that the database has this document now.
    pub fn note_stored(&self, url: &str, fetched_at: Timestamp) {
        if let Some((held, _)) = lock(&self.held).get_mut(url)
            && held.fetched_at == fetched_at
        {
            held.is_stored = true;
        }
    }

    /// Why this address is left alone now, if it is.
    pub fn failure(&self, url: &str, now: Timestamp) -> Option<Failure> {
        let failures = lock(&self.failures);
        let failure = failures.get(url)?;
        // A clock that was set back must not keep it closed for long.
        let is_over = now >= failure.until || failure.until.since(now) > back_off(u32::MAX);
        (!is_over).then(|| failure.clone())
    }

    /// Leaves the address alone for a while. Of many who failed together only the first one counts.
    pub fn note_failure(&self, url: &str, failure: &Failure, now: Timestamp) {
        let mut failures = lock(&self.failures);
        let before = failures.get(url);
        if before.is_some_and(|failure| now < failure.until) {
            return;
        }
        let count = before.map_or(1, |failure| failure.count.saturating_add(1));
        if failures.len() >= FAILURES_MAX && before.is_none() {
            failures.retain(|_, failure| now < failure.until);
            if failures.len() >= FAILURES_MAX {
                let oldest = failures.iter().min_by_key(|(_, failure)| failure.until);
                if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                    failures.remove(&oldest);
                }
            }
        }
        let failure = Failure {
            until: now.after(back_off(count)),
            count,
            ..failure.clone()
        };
        failures.insert(url.to_owned(), failure);
    }

    pub fn note_success(&self, url: &str) {
        lock(&self.failures).remove(url);
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
