#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;
use wire::mcp::definition::ListKind;

use super::*;

fn limit(rate: &str, burst: Option<u32>) -> RateLimit {
    RateLimit {
        id: "lim_1".into(),
        per: LimitPer::Person,
        what: LimitWhat::All,
        rate: rate.parse().unwrap(),
        burst,
        note: String::new(),
    }
}

const START: Timestamp = Timestamp::from_unix_seconds(1_750_000_000);

fn after_ms(ms: u64) -> Timestamp {
    START.after(Duration::from_millis(ms))
}

/// How many of `calls` at one moment go through.
fn through(limit: &RateLimit, count: &mut CallCount, calls: u32, now: Timestamp) -> u32 {
    (0..calls)
        .filter(|_| match count.take(limit, now) {
            Ok(next) => {
                *count = next;
                true
            }
            Err(_) => false,
        })
        .count() as u32
}

#[test]
fn the_last_call_at_once_passes_the_next_waits_and_passes_when_it_has_waited() {
    for (rate, burst, at_once, interval_ms) in [
        ("60 per 1m", None, 60, 1_000),
        ("60 per 1m", Some(5), 5, 1_000),
        ("1 per 31d", None, 1, 31 * 24 * 3_600_000),
        ("1000 per 1s", Some(1), 1, 1),
    ] {
        let limit = limit(rate, burst);
        let mut count = CallCount::default();
        assert_eq!(through(&limit, &mut count, at_once, START), at_once);
        let wait = count.take(&limit, START).unwrap_err();
        assert_eq!(wait, Duration::from_millis(interval_ms));
        let early = after_ms(interval_ms - 1);
        count.take(&limit, early).unwrap_err();
        let due = after_ms(interval_ms);
        assert_eq!(through(&limit, &mut count, 2, due), 1);
        assert!(!count.is_nothing(due));
        let much_later = due.after(Duration::from_millis(interval_ms) * at_once);
        assert!(count.is_nothing(much_later));
        assert_eq!(
            through(&limit, &mut count, at_once + 1, much_later),
            at_once
        );
    }
}

#[test]
fn what_is_given_back_was_not_called() {
    let limit = limit("2 per 1h", None);
    let one = CallCount::default().take(&limit, START).unwrap();
    let two = one.take(&limit, START).unwrap();
    two.take(&limit, START).unwrap_err();
    assert_eq!(two.give_back(limit.rate).take(&limit, START), Ok(two));
}

#[test]
fn a_limit_that_is_changed_goes_on_with_what_was_counted() {
    let (narrow, wide) = (limit("10 per 1h", None), limit("20 per 1h", None));
    let mut count = CallCount::default();
    assert_eq!(through(&narrow, &mut count, 11, START), 10);
    // An hour's worth of calls is used up by either.
    assert_eq!(through(&wide, &mut count, 20, START), 0);
    let half = START.after(Duration::from_secs(1800));
    assert_eq!(through(&wide, &mut count, 20, half), 10);
    assert_eq!(through(&narrow, &mut count, 10, half), 0);
}

#[test]
fn after_a_clock_was_set_back_a_day_there_is_room_again_soon() {
    let limit = limit("3 per 30s", None);
    let mut count = CallCount::default();
    assert_eq!(through(&limit, &mut count, 3, START), 3);
    let now = START.before(Duration::from_secs(24 * 3600));
    assert_eq!(count.take(&limit, now), Err(Duration::from_secs(10)));
    let due = now.after(Duration::from_secs(10));
    count.at_most_full(&limit, now).take(&limit, due).unwrap();
}

#[test]
fn what_begins_something_is_counted_and_what_goes_on_with_it_is_not() {
    let all = limit("1 per 1m", None);
    let mut tools = all.clone();
    tools.what = LimitWhat::Tools(["send".to_owned()].into());
    let tool = |name| Call::Tool {
        name,
        arguments: None,
    };
    for (call, by_all, by_tools) in [
        (tool("send"), true, true),
        (tool("read"), true, false),
        (Call::Resource { uri: "note://1" }, true, false),
        (Call::Prompt { name: "send" }, true, false),
        (Call::PromptCompletion { name: "send" }, true, false),
        (Call::ResourceCompletion { uri: "send" }, true, false),
        (Call::Subscription { uris: Vec::new() }, true, false),
        (Call::List(ListKind::Tools), true, false),
        (
            Call::Task {
                method: "tasks/get",
                id: "send",
            },
            false,
            false,
        ),
        (Call::Protocol { method: "ping" }, false, false),
        (Call::Unknown { method: "send" }, false, false),
    ] {
        assert_eq!(all.counts("any", &call), by_all, "{call:?}");
        assert_eq!(tools.counts("any", &call), by_tools, "{call:?}");
    }
    let resource = Call::Resource { uri: "note://1" };
    assert!(all.counts(method::RESOURCES_SUBSCRIBE, &resource));
    assert!(!all.counts(method::RESOURCES_UNSUBSCRIBE, &resource));
}

#[test]
fn lists_are_counted_where_each_person_has_a_count_of_their_own() {
    for (per, counted) in [
        (LimitPer::Person, true),
        (LimitPer::PersonAndClient, true),
        (LimitPer::Client, false),
        (LimitPer::Everybody, false),
    ] {
        let limit = RateLimit {
            per,
            ..limit("1 per 1m", None)
        };
        for kind in ListKind::ALL {
            let list = Call::List(kind);
            assert_eq!(limit.counts(kind.method(), &list), counted, "{per}");
        }
        assert!(limit.counts(
            "tools/call",
            &Call::Tool {
                name: "send",
                arguments: None
            }
        ));
    }
}

#[test]
fn it_is_written_as_people_read_it() {
    let said = json!({"id": "lim_1", "per": "person", "rate": "60 per 1m"});
    let read: RateLimit = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(read, limit("60 per 1m", None));
    assert_eq!(serde_json::to_value(&read).unwrap(), said);
    assert_eq!(read.to_string(), "60 per 1m, for each person: all calls");
    let said = json!({"id": "lim_1", "per": "person_and_client", "what": {"tools": ["send"]},
        "rate": "60 per 1m", "burst": 5, "note": "it costs"});
    let read: RateLimit = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), said);
    assert_eq!(
        read.to_string(),
        "60 per 1m, 5 at once, for each person through each client: tools send"
    );
    for bad in [
        json!({"id": "lim_1", "per": "person", "rate": "60"}),
        json!({"id": "lim_1", "per": "group", "rate": "60 per 1m"}),
        json!({"id": "lim_1", "per": "person", "rate": "60 per 1m", "more": 1}),
    ] {
        assert!(serde_json::from_value::<RateLimit>(bad).is_err());
    }
}

proptest! {
    /// In whatever window, never more than the burst and what the rate gives in that time; and who waits as long as told
    /// gets through.
    #[test]
    fn no_window_lets_more_through_than_burst_and_rate_give(
        calls in 1u32..500,
        seconds in 1u32..100,
        burst in 1u32..500,
        gaps in proptest::collection::vec(0u64..2_000, 1..200),
    ) {
        let limit = limit(&format!("{calls} per {seconds}s"), Some(burst.min(calls)));
        let mut count = CallCount::default();
        let mut now = START;
        let mut passed: Vec<Timestamp> = Vec::new();
        for gap in gaps {
            now = now.after(Duration::from_millis(gap));
            match count.take(&limit, now) {
                Ok(next) => {
                    count = next;
                    passed.push(now);
                }
                Err(wait) => {
                    let waited = now.after(Duration::from_secs(wait.as_secs() + 1));
                    prop_assert!(count.take(&limit, waited).is_ok());
                }
            }
        }
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                let window_ms = u64::try_from(to.since(*from).as_millis()).unwrap();
                let by_rate = window_ms * u64::from(calls) / (u64::from(seconds) * 1_000);
                let most = u64::from(limit.at_once()) + by_rate;
                prop_assert!((last - first + 1) as u64 <= most);
            }
        }
    }
}
