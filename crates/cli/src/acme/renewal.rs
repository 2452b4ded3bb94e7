//! When a certificate is renewed, and when an order is tried again.

use std::time::Duration;

use base::{Random, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);
/// Even when the certificate says that it is over, because a clock is wrong or it lives for minutes only.
const SOONEST: Duration = Duration::from_secs(15 * 60);

/// No pause after a failure is longer.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5 * 3600);

/// At two thirds of its life, and not sooner than a quarter of an hour after it was issued.
pub(super) fn at_two_thirds(
    not_before: Timestamp,
    not_after: Timestamp,
    issued_at: Timestamp,
) -> Timestamp {
    let renew_at = not_before.after(not_after.since(not_before) / 3 * 2);
    renew_at.max(issued_at.after(SOONEST))
}

/// A moment in the window that the ACME server suggests (RFC 9773 section 4.2), the same care taken.
pub(super) fn within(
    start: Timestamp,
    end: Timestamp,
    issued_at: Timestamp,
    random: &dyn Random,
) -> Timestamp {
    let moment = start.after(part_of(end.since(start), random));
    moment.max(issued_at.after(SOONEST))
}

/// How long to wait after so many failures in a row. Let's Encrypt lets five proofs of one name fail in an hour; these are at
/// most four.
pub(super) fn pause(failures: i64, random: &dyn Random) -> Duration {
    let pause = match failures {
        ..=1 => 2 * MINUTE,
        2 => 12 * MINUTE,
        3 => 40 * MINUTE,
        4 => 90 * MINUTE,
        _ => 240 * MINUTE,
    };
    // Between three and five quarters, so that many nodes of many owners do not come at once.
    pause * 3 / 4 + part_of(pause / 2, random)
}

/// After an ACME server said that it is asked too often.
pub(super) fn pause_when_limited(failures: i64, random: &dyn Random) -> Duration {
    pause(failures.max(4), random)
}

/// Whether a moment has come that was never set further ahead than `most`. One that lies beyond is of a clock that was set back
/// since, and is not waited for.
pub(super) fn has_come(moment: Timestamp, most: Duration, now: Timestamp) -> bool {
    moment <= now || moment > now.after(most)
}

fn part_of(whole: Duration, random: &dyn Random) -> Duration {
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    whole.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use base::OsRandom;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_certificate_of_ninety_days_is_renewed_at_sixty_and_one_that_is_over_not_at_once() {
        let begin = Timestamp::from_unix_seconds(1_800_000_000);
        let renew_at = at_two_thirds(begin, begin.after(90 * DAY), begin);
        assert_eq!(renew_at, begin.after(60 * DAY));
        let now = begin.after(200 * DAY);
        let renew_at = at_two_thirds(begin, begin.after(90 * DAY), now);
        assert_eq!(renew_at, now.after(SOONEST));
    }

    #[test]
    fn a_suggested_window_is_used_all_over() {
        let begin = Timestamp::from_unix_seconds(1_800_000_000);
        let (start, end) = (begin.after(30 * DAY), begin.after(32 * DAY));
        let moments: Vec<_> = (0..64)
            .map(|_| within(start, end, begin, &OsRandom))
            .collect();
        assert!(moments.iter().all(|at| (start..=end).contains(at)));
        assert!(moments.iter().any(|at| *at < start.after(DAY)));
        assert!(moments.iter().any(|at| *at > start.after(DAY)));
    }

    #[test]
    fn failures_are_never_tried_again_more_than_four_times_in_an_hour() {
        for _ in 0..64 {
            let mut tries = 1;
            let mut waited = Duration::ZERO;
            for failures in 1.. {
                waited += pause(failures, &OsRandom);
                if waited > 60 * MINUTE {
                    break;
                }
                tries += 1;
            }
            assert!((2..=4).contains(&tries), "{tries}");
        }
        assert!(pause_when_limited(1, &OsRandom) > 60 * MINUTE);
        assert!(pause(1_000_000, &OsRandom) < 6 * 60 * MINUTE);
    }

    #[test]
    fn a_try_is_not_put_off_for_a_day_by_a_clock_that_was_set_back() {
        let now = Timestamp::from_unix_seconds(1_000_000);
        for (ahead, has_come_now) in [
            (Duration::ZERO, true),
            (MINUTE, false),
            (PAUSE_MAX, false),
            (Duration::from_secs(24 * 3600), true),
        ] {
            assert_eq!(
                has_come(now.after(ahead), PAUSE_MAX, now),
                has_come_now,
                "{ahead:?}"
            );
        }
        let longest = (1..100).map(|failures| pause_when_limited(failures, &OsRandom));
        assert!(longest.max() <= Some(PAUSE_MAX));
    }
}
