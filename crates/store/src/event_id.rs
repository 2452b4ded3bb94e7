use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{OsRandom, Random as _, Timestamp};

/// How many bits below the milliseconds tell apart what happened in the same one.
const SEQUENCE_BITS: u32 = 21;

static SEQUENCE: LazyLock<AtomicU32> = LazyLock::new(|| {
    // A random start keeps two processes that write the same table apart.
    let mut bytes = [0u8; 4];
    OsRandom.fill(&mut bytes);
    AtomicU32::new(u32::from_le_bytes(bytes))
});

/// The next id of an event at `at`: it orders events by time, without asking the database for a sequence.
pub(crate) fn next(at: Timestamp) -> i64 {
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed) & ((1 << SEQUENCE_BITS) - 1);
    first(at) | i64::from(sequence)
}

/// The smallest id of an event at `at`.
pub(crate) fn first(at: Timestamp) -> i64 {
    at.unix_ms().clamp(0, i64::MAX >> SEQUENCE_BITS) << SEQUENCE_BITS
}
