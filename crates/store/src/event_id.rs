use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use base::{OsRandom, Random as _, Timestamp};

/// How many bits below the milliseconds tell apart what happened in the same one.
const SEQUENCE_BITS: u32 = 21;

static SEQUENCE: LazyLock<AtomicU32> = LazyLock::new(|| {
    // A random start keeps two processes that write the same table apart.
    let mut bytes = [0u8; 4];
    OsRandom.fill(&mut bytes);
    AtomicU32::new(u32::from_le_bytes(bytes))
});

/// The greatest id of an audit event that this process has given or found.
static LATEST: AtomicI64 = AtomicI64::new(0);

/// As [`next`], and behind every one before it, whatever the clock has done meanwhile: the audit log tells what came
/// after what. While the clock is behind, each is in the millisecond after the last one, at a place of our own in it, so
/// that two nodes that are behind the same event do not give the same id.
pub(crate) fn next_in_order(at: Timestamp) -> i64 {
    let wanted = next(at);
    let behind = |latest: i64| {
        if wanted > latest {
            return wanted;
        }
        let milliseconds = (latest >> SEQUENCE_BITS).saturating_add(1);
        first(Timestamp::from_unix_ms(milliseconds)) | (wanted & ((1 << SEQUENCE_BITS) - 1))
    };
    let mut latest = LATEST.load(Ordering::Relaxed);
    loop {
        let given = behind(latest);
        match LATEST.compare_exchange_weak(latest, given, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return given,
            Err(seen) => latest = seen,
        }
    }
}

/// Gives no id in order before this one, which another process gave.
pub(crate) fn found(id: i64) {
    LATEST.fetch_max(id, Ordering::Relaxed);
}

/// The next id of an event at `at`: it orders events by time, without asking the database for a sequence.
pub(crate) fn next(at: Timestamp) -> i64 {
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed) & ((1 << SEQUENCE_BITS) - 1);
    first(at) | i64::from(sequence)
}

/// When the event with this id happened.
pub(crate) fn time(id: i64) -> Timestamp {
    Timestamp::from_unix_ms(id >> SEQUENCE_BITS)
}

/// The smallest id of an event at `at`.
pub(crate) fn first(at: Timestamp) -> i64 {
    at.unix_ms().clamp(0, i64::MAX >> SEQUENCE_BITS) << SEQUENCE_BITS
}
