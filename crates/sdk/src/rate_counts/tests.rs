#![allow(clippy::unwrap_used)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use authz::LimitWhat;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_750_000_000);

fn limit(id: &str, per: LimitPer, rate: &str) -> RateLimit {
    RateLimit {
        id: id.into(),
        per,
        what: LimitWhat::All,
        rate: rate.parse().unwrap(),
        burst: None,
        note: String::new(),
    }
}

fn of(subject: &str, client: &str) -> Principal {
    Principal {
        issuer: "https://a.example/servers/todo".into(),
        subject: subject.into(),
        client: client.into(),
    }
}

/// Each byte of it is this one.
#[derive(Debug)]
struct Same(u8);

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

fn passes(counts: &RateCounts, limit: &RateLimit, principal: &Principal) -> bool {
    counts.take([limit].into_iter(), principal, NOW).is_ok()
}

#[test]
fn each_limit_counts_those_apart_whom_it_tells_apart() {
    let (ann, ann_elsewhere) = (of("usr_ann", "cli_1"), of("usr_ann", "cli_2"));
    let (bob, bob_elsewhere) = (of("usr_bob", "cli_1"), of("usr_bob", "cli_2"));
    for (per, expected) in [
        (LimitPer::Person, [false, true, false]),
        (LimitPer::Client, [true, false, false]),
        (LimitPer::PersonAndClient, [true, true, true]),
        (LimitPer::Everybody, [false, false, false]),
    ] {
        let counts = RateCounts::new();
        let limit = limit("lim_1", per, "1 per 1h");
        assert!(passes(&counts, &limit, &ann));
        assert!(!passes(&counts, &limit, &ann));
        let passed = [&ann_elsewhere, &bob, &bob_elsewhere].map(|who| passes(&counts, &limit, who));
        assert_eq!(passed, expected, "{per}");
    }
    // What one id names is not what another does.
    let counts = RateCounts::new();
    let both = limit("lim_1", LimitPer::PersonAndClient, "1 per 1h");
    assert!(passes(&counts, &both, &of("a", "bc")));
    assert!(passes(&counts, &both, &of("ab", "c")));
    assert!(passes(
        &counts,
        &limit("lim_2", LimitPer::Person, "1 per 1h"),
        &ann
    ));
    assert!(passes(
        &counts,
        &limit("lim_3", LimitPer::Person, "1 per 1h"),
        &ann
    ));
}

#[test]
fn a_call_counts_under_all_limits_or_under_none_and_waits_for_the_longest() {
    let counts = RateCounts::new();
    let ann = of("usr_ann", "cli_1");
    let wide = limit("lim_wide", LimitPer::Everybody, "3 per 1h");
    let narrow = limit("lim_narrow", LimitPer::Person, "1 per 10s");
    let both = || [&wide, &narrow].into_iter();
    counts.take(both(), &ann, NOW).unwrap();
    for _ in 0..10 {
        let reached = counts.take(both(), &ann, NOW).unwrap_err();
        assert_eq!(reached.retry_after(&Same(0)), 10);
        assert!(reached.reason().starts_with("rate_limited (lim_narrow: "));
    }
    let bob = of("usr_bob", "cli_1");
    counts.take(both(), &bob, NOW).unwrap();
    let cyn = of("usr_cyn", "cli_1");
    counts.take(both(), &cyn, NOW).unwrap();
    let reached = counts.take(both(), &cyn, NOW).unwrap_err();
    assert_eq!(
        reached.retry_after(&Same(0)),
        20 * 60,
        "the wide one is used up too"
    );
    assert!(reached.reason().starts_with("rate_limited (lim_wide: "));
}

#[test]
fn what_has_to_wait_for_part_of_a_second_is_told_a_whole_one() {
    let counts = RateCounts::new();
    let ann = of("usr_ann", "cli_1");
    for (rate, at_once, told) in [("1000 per 1s", 1000, 1), ("2 per 3s", 2, 2)] {
        let limit = limit(rate, LimitPer::Person, rate);
        for _ in 0..at_once {
            assert!(passes(&counts, &limit, &ann));
        }
        let reached = counts.take([&limit].into_iter(), &ann, NOW).unwrap_err();
        assert_eq!(reached.retry_after(&Same(0)), told);
        let later = NOW.after(Duration::from_secs(u64::from(told)));
        counts.take([&limit].into_iter(), &ann, later).unwrap();
    }
}

#[test]
fn half_of_those_who_wait_for_the_same_room_are_told_a_second_more() {
    for (per, more) in [
        (LimitPer::Everybody, 1),
        (LimitPer::Client, 1),
        (LimitPer::Person, 0),
        (LimitPer::PersonAndClient, 0),
    ] {
        let counts = RateCounts::new();
        let limit = limit("lim_1", per, "1 per 10s");
        let ann = of("usr_ann", "cli_1");
        assert!(passes(&counts, &limit, &ann));
        let reached = counts.take([&limit].into_iter(), &ann, NOW).unwrap_err();
        assert_eq!(reached.retry_after(&Same(2)), 10, "{per}");
        assert_eq!(reached.retry_after(&Same(3)), 10 + more, "{per}");
    }
}

#[test]
fn a_call_that_is_not_made_is_given_back_under_each_of_its_limits() {
    let counts = RateCounts::new();
    let ann = of("usr_ann", "cli_1");
    let (all, person) = (
        limit("lim_all", LimitPer::Everybody, "2 per 1h"),
        limit("lim_person", LimitPer::Person, "1 per 1h"),
    );
    let both = || [&all, &person].into_iter();
    for _ in 0..5 {
        let counted = counts.take(both(), &ann, NOW).unwrap();
        assert_eq!(counted.len(), 2);
        counts.give_back(counted);
    }
    counts.take(both(), &ann, NOW).unwrap();
    counts.take(both(), &ann, NOW).unwrap_err();
    let (bob, cyn) = (of("usr_bob", "cli_1"), of("usr_cyn", "cli_1"));
    counts.take(both(), &bob, NOW).unwrap();
    counts.take(both(), &cyn, NOW).unwrap_err();
}

#[test]
fn nobody_is_refused_because_of_a_call_that_another_limit_refuses_at_that_moment() {
    const ROUNDS: usize = 3_000;
    let all = limit("lim_all", LimitPer::Everybody, "2 per 1h");
    let person = limit("lim_person", LimitPer::Person, "1 per 1h");
    let rounds: Vec<RateCounts> = std::iter::repeat_with(RateCounts::new)
        .take(ROUNDS)
        .collect();
    let passed: [AtomicUsize; 2] = Default::default();
    let together = Barrier::new(3);
    // Bob calls twice at once, which he may not; Ann has her share of what all may all the same.
    std::thread::scope(|scope| {
        for (index, who) in [(0, "usr_bob"), (0, "usr_bob"), (1, "usr_ann")] {
            let (rounds, passed, together) = (&rounds, &passed[index], &together);
            let limits = [&all, &person];
            scope.spawn(move || {
                let principal = of(who, "cli_1");
                for counts in rounds {
                    together.wait();
                    if counts.take(limits.into_iter(), &principal, NOW).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.map(AtomicUsize::into_inner), [ROUNDS, ROUNDS]);
}

#[test]
fn of_calls_that_race_never_more_pass_than_may_whatever_another_limit_says() {
    let counts = RateCounts::new();
    let person = limit("lim_person", LimitPer::Person, "100 per 1h");
    let all = limit("lim_all", LimitPer::Everybody, "250 per 1h");
    let passed: [AtomicUsize; 4] = Default::default();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (counts, passed, limits) = (&counts, &passed, [&all, &person]);
            scope.spawn(move || {
                for call in 0..200 {
                    let who = (thread + call) % 4;
                    let principal = of(&format!("usr_{who}"), "cli_1");
                    if counts.take(limits.into_iter(), &principal, NOW).is_ok() {
                        passed[who].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let passed = passed.map(AtomicUsize::into_inner);
    assert!(passed.iter().all(|passed| *passed <= 100), "{passed:?}");
    assert_eq!(passed.iter().sum::<usize>(), 250, "{passed:?}");
}

#[test]
fn a_flood_of_callers_frees_nobody_and_is_itself_counted_as_one() {
    let counts = RateCounts::new();
    let limit = limit("lim_1", LimitPer::Client, "1 per 1h");
    let ann = of("usr_ann", "cli_ann");
    assert!(passes(&counts, &limit, &ann));
    let flood = COUNTS_MAX + COUNTS_MAX / 8;
    let passed = (0..flood)
        .filter(|index| passes(&counts, &limit, &of("usr_bob", &format!("cli_{index}"))))
        .count();
    let kept = || -> usize {
        let shards = counts.shards.iter();
        shards.map(|shard| shard.lock().unwrap().counts.len()).sum()
    };
    let most = COUNTS_MAX + SHARDS;
    assert!(kept() <= most && kept() > COUNTS_MAX * 9 / 10, "{}", kept());
    assert!(passed <= most, "{passed} passed");
    assert!(!passes(&counts, &limit, &ann), "hers is kept");
    assert!(!passes(&counts, &limit, &of("usr_bob", "cli_0")));
    // An hour later nothing is left of it, and everybody has a count of their own again.
    let later = NOW.after(Duration::from_secs(3600));
    for index in 0..5_000 {
        let client = of("usr_bob", &format!("cli_new_{index}"));
        counts.take([&limit].into_iter(), &client, later).unwrap();
    }
    assert!(kept() < 20_000, "{}", kept());
}

#[test]
fn counts_of_which_nothing_is_left_take_no_memory() {
    let counts = RateCounts::new();
    let limit = limit("lim_1", LimitPer::Client, "1 per 1s");
    let mut now = NOW;
    for index in 0..50_000 {
        let client = of("usr_bob", &format!("cli_{index}"));
        counts.take([&limit].into_iter(), &client, now).unwrap();
        now = now.after(Duration::from_millis(1));
    }
    let shards = counts.shards.iter();
    let kept: usize = shards.map(|shard| shard.lock().unwrap().counts.len()).sum();
    // A thousand are of the last second.
    assert!(kept < SHARDS * CLEAN_FROM + 4_000, "{kept}");
}

#[test]
fn whoever_used_up_a_long_time_waits_no_longer_under_a_limit_that_was_made_shorter() {
    let counts = RateCounts::new();
    let ann = of("usr_ann", "cli_1");
    let hour = limit("lim_1", LimitPer::Person, "2 per 1h");
    assert!(passes(&counts, &hour, &ann) && passes(&counts, &hour, &ann));
    let second = limit("lim_1", LimitPer::Person, "10 per 1s");
    let reached = counts.take([&second].into_iter(), &ann, NOW).unwrap_err();
    assert_eq!(reached.retry_after(&Same(0)), 1);
    let later = NOW.after(Duration::from_millis(100));
    counts.take([&second].into_iter(), &ann, later).unwrap();
    counts.take([&second].into_iter(), &ann, later).unwrap_err();
}
