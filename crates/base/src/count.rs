use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{ClockMoved, wall};

/// How far clocks may differ before one of them is wrong: what the verification of access tokens forgives.
const APART_MAX: Duration = Duration::from_secs(5);

/// How long the word of a witness counts.
const WITNESS_LIFE: i64 = 10_000;

/// The part of the time passed by which our own count gives way to another clock: four seconds in an hour, which is not more than
/// the verification of a token of an hour forgives.
const GIVES_WAY: i64 = 1_000;

/// What clocks are corrected by without anybody's noticing, in milliseconds.
const MOVED_MIN: i64 = 900;

/// Of the one process there is.
pub(crate) static COUNT: LazyLock<Count> = LazyLock::new(|| Count::from(wall(), Instant::now()));

/// What the process counts by itself. All are milliseconds; what is counted from its beginning is so by the monotonic clock.
pub(crate) struct Count {
    began: Instant,
    /// The Unix time at `began`, as we count it.
    began_at: AtomicI64,
    /// The Unix time at `began`, as the witness has it, and how long after `began` it said so.
    witness: AtomicI64,
    heard: AtomicI64,
    /// The Unix time at `began`, as the wall clock had it at the last look, and how long after `began` that was.
    wall: AtomicI64,
    looked: AtomicI64,
}

/// What the three clocks say at one moment.
#[derive(Debug, Clone, Copy)]
struct Sources {
    wall: i64,
    counted: i64,
    witness: Option<i64>,
}

impl Count {
    fn from(wall: i64, began: Instant) -> Self {
        Self {
            began,
            began_at: AtomicI64::new(wall),
            witness: AtomicI64::new(0),
            heard: AtomicI64::new(i64::MIN),
            wall: AtomicI64::new(wall),
            looked: AtomicI64::new(0),
        }
    }

    fn passed(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The time, when the wall clock says `wall`.
    pub(crate) fn believed(&self, wall: i64) -> i64 {
        self.sources_after(self.passed(), wall).believed()
    }

    fn sources_after(&self, passed: i64, wall: i64) -> Sources {
        let heard = self.heard.load(Ordering::Acquire);
        let is_fresh = passed.saturating_sub(heard) <= WITNESS_LIFE;
        Sources {
            wall,
            counted: self.began_at.load(Ordering::Acquire).saturating_add(passed),
            witness: is_fresh.then(|| self.witness.load(Ordering::Acquire).saturating_add(passed)),
        }
    }

    /// Another clock says `now`.
    pub(crate) fn hear_witness(&self, now: i64) {
        self.hear_witness_after(self.passed(), now);
    }

    fn hear_witness_after(&self, passed: i64, now: i64) {
        let began_at = now.saturating_sub(passed);
        self.witness.store(began_at, Ordering::Release);
        let is_first = self.heard.swap(passed, Ordering::AcqRel) == i64::MIN;
        if is_first && are_apart(self.began_at.load(Ordering::Acquire), began_at) {
            self.began_at.store(began_at, Ordering::Release);
        }
    }

    /// Gives way to the others, and says when the wall clock was moved since the last look.
    pub(crate) fn look(&self, wall: i64) -> Option<ClockMoved> {
        let passed = self.passed();
        self.look_after(passed, wall)
    }

    fn look_after(&self, passed: i64, wall: i64) -> Option<ClockMoved> {
        let sources = self.sources_after(passed, wall);
        let looked = self.looked.swap(passed, Ordering::AcqRel);
        let step = (passed - looked).max(0) / GIVES_WAY;
        let towards = sources.witness.unwrap_or(wall) - sources.counted;
        self.began_at
            .fetch_add(towards.clamp(-step, step), Ordering::AcqRel);
        let before = self
            .wall
            .swap(wall.saturating_sub(passed), Ordering::AcqRel);
        let moved = wall.saturating_sub(passed).saturating_sub(before);
        (moved.abs() >= MOVED_MIN).then(|| ClockMoved {
            forward: moved > 0,
            by: Duration::from_millis(moved.unsigned_abs()),
            is_believed: sources.believed().abs_diff(wall) < MOVED_MIN.unsigned_abs(),
        })
    }
}

impl Sources {
    fn believed(self) -> i64 {
        let Self { wall, counted, .. } = self;
        let agrees = |other| {
            self.witness
                .is_some_and(|witness| !are_apart(witness, other))
        };
        let one_is_wrong = are_apart(wall, counted);
        if wall >= counted {
            let wall_is_alone = one_is_wrong && agrees(counted) && !agrees(wall);
            if wall_is_alone { counted } else { wall }
        } else {
            // The process began while the clock was ahead.
            let count_is_alone = one_is_wrong && agrees(wall) && !agrees(counted);
            if count_is_alone { wall } else { counted }
        }
    }
}

fn are_apart(one: i64, other: i64) -> bool {
    u128::from(one.abs_diff(other)) > APART_MAX.as_millis()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: i64 = 1_000;
    const HOUR: i64 = 3_600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    const BEGAN: i64 = 1_764_000_000_000;

    fn believed(count: &Count, passed: i64, moved: i64) -> i64 {
        let wall = BEGAN + passed + moved;
        count.sources_after(passed, wall).believed() - BEGAN - passed
    }

    fn count() -> Count {
        Count::from(BEGAN, Instant::now())
    }

    /// A witness whose clock was moved by so much.
    fn hear(count: &Count, passed: i64, moved: i64) {
        count.hear_witness_after(passed, BEGAN + passed + moved);
    }

    #[test]
    fn a_clock_that_is_ahead_is_believed_also_when_it_comes_back_and_one_that_is_behind_is_not() {
        let count = count();
        for jump in [SECOND, 60 * SECOND, HOUR, DAY] {
            assert_eq!(believed(&count, HOUR, jump), jump);
            assert_eq!(believed(&count, HOUR, 0), 0, "taken back");
            assert_eq!(believed(&count, HOUR, -jump), 0, "set back");
        }
    }

    #[test]
    fn of_three_clocks_the_one_that_is_alone_is_wrong() {
        let count = count();
        hear(&count, HOUR, 0);
        assert_eq!(believed(&count, HOUR, DAY), 0, "ours was set ahead");
        assert_eq!(believed(&count, HOUR, -DAY), 0, "and back");
        assert_eq!(believed(&count, HOUR, SECOND), SECOND, "not apart");
        hear(&count, HOUR, DAY);
        assert_eq!(believed(&count, HOUR, DAY), DAY, "we slept");
        assert_eq!(believed(&count, HOUR, 0), 0, "the witness is alone");
        hear(&count, HOUR, -DAY);
        assert_eq!(
            believed(&count, HOUR, -DAY),
            -DAY,
            "it was ahead when we began"
        );
        let late = HOUR + WITNESS_LIFE + 1;
        assert_eq!(believed(&count, late, -DAY), 0, "it was heard too long ago");
    }

    #[test]
    fn a_process_that_begins_while_its_clock_is_wrong_goes_by_the_witness_it_hears() {
        for jump in [DAY, -DAY] {
            let count = count();
            hear(&count, SECOND, -jump);
            assert_eq!(believed(&count, 2 * SECOND, 0), -jump, "set {jump}");
            assert_eq!(believed(&count, 2 * SECOND, -jump), -jump, "set right");
        }
    }

    #[test]
    fn our_count_gives_way_slowly_and_each_move_is_told_once() {
        let count = count();
        assert_eq!(count.look_after(SECOND, BEGAN + SECOND), None);
        let ahead = count.look_after(2 * SECOND, BEGAN + 2 * SECOND + DAY);
        assert!(ahead.unwrap().forward, "{ahead:?}");
        let taken_back = count.look_after(3 * SECOND, BEGAN + 3 * SECOND).unwrap();
        assert!(!taken_back.forward && taken_back.is_believed);
        let back = count.look_after(4 * SECOND, BEGAN + 4 * SECOND - 60 * SECOND);
        let by = Duration::from_secs(60);
        let moved = ClockMoved {
            forward: false,
            by,
            is_believed: false,
        };
        assert_eq!(back, Some(moved));
        for second in 5..=HOUR / SECOND {
            let passed = second * SECOND;
            assert_eq!(count.look_after(passed, BEGAN + passed - 60 * SECOND), None);
        }
        let left = believed(&count, HOUR, -60 * SECOND) + 60 * SECOND;
        assert!((56 * SECOND..57 * SECOND).contains(&left), "{left}");
        let again = count
            .look_after(HOUR + SECOND, BEGAN + HOUR + SECOND)
            .unwrap();
        assert!(again.forward && again.is_believed, "{again:?}");
    }
}
