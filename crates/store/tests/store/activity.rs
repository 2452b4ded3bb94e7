use std::time::Duration;

use domain::{CallDecision, CallOutcome, CallRecord, WhenFull};
use store::{ActivityLog, ActivityOptions, ActivityQueue, CallFilter, DatabaseUrl, StoreError};
use testkit::MovableClock;

use crate::databases::{TestDatabase, on_every_database};
use crate::fixture::at;

fn call(number: i64) -> CallRecord {
    CallRecord {
        at: at(number),
        server: "todo".into(),
        subject: Some("usr_1".into()),
        client: Some("cli_1".into()),
        grant: None,
        method: "tools/call".into(),
        name: Some(format!("tool {number}")),
        arguments_digest: Some("kQ".into()),
        arguments: Some(r#"{"/list":"home"}"#.into()),
        decision: Some(CallDecision::NeedsScope),
        cause: Some("insufficient_scope".into()),
        rule: Some("tool add: todo:write".into()),
        policy_revision: Some(3),
        judged_us: Some(80),
        outcome: CallOutcome::NeedsScope,
        reason: "needs todo:write".into(),
        status: 403,
        duration_us: 120,
        correlation_id: Some("c-1".into()),
    }
}

#[tokio::test]
async fn calls_are_written_in_batches_listed_newest_first_and_purged_by_time() {
    on_every_database(|database| async move {
        let options = ActivityOptions {
            url: database.url.clone(),
        };
        let clock = MovableClock::default();
        let log = ActivityLog::open(options.clone(), &clock).await.unwrap();
        for number in 0..100 {
            log.record(call(number));
        }
        let mut shown_clean = call(100);
        shown_clean.name = Some("a\0b".into());
        shown_clean.subject = Some("usr\0".into());
        log.record(shown_clean);
        log.close().await;
        assert_eq!(log.dropped(), 0);
        log.record(call(101));
        assert_eq!(log.dropped(), 1);

        let log = ActivityLog::open(options, &clock).await.unwrap();
        let recent = log.list_recent(3).await.unwrap();
        assert_eq!(recent[0].name.as_deref(), Some("a\u{fffd}b"));
        assert_eq!(recent[1..], [call(99), call(98)]);
        assert_eq!(log.purge(at(90), 60).await.unwrap(), 60);
        assert_eq!(log.purge(at(90), 60).await.unwrap(), 30);
        assert_eq!(log.purge(at(90), 60).await.unwrap(), 0);
        assert_eq!(log.list_recent(1000).await.unwrap().len(), 11);
        log.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_is_dropped_and_counted_and_never_waits() {
    on_every_database(|database| async move {
        let options = ActivityOptions {
            url: database.url.clone(),
        };
        let log = ActivityLog::open(options, &MovableClock::default())
            .await
            .unwrap();
        // Nothing here awaits, so on this one thread nothing is written meanwhile.
        for number in 0..10_000 {
            log.record(call(number));
        }
        let dropped = log.dropped();
        assert_eq!(dropped, 10_000 - 8192);
        log.close().await;
        assert_eq!(log.dropped(), dropped);
    })
    .await;
}

async fn opened(database: &TestDatabase, queue: ActivityQueue) -> ActivityLog {
    let url = database.url.clone();
    let clock = MovableClock::default();
    ActivityLog::open_with(ActivityOptions { url }, queue, &clock)
        .await
        .unwrap()
}

/// All that looks forward find, and all that looks back find.
async fn looked(log: &ActivityLog, filter: &CallFilter) -> (Vec<i64>, Vec<i64>) {
    let (mut forward, mut back) = (Vec::new(), Vec::new());
    let (mut from, mut before) = (None, None);
    loop {
        let page = log.look(filter, from).await.unwrap();
        forward.extend(page.calls.iter().map(|call| call.at.unix_ms()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    loop {
        let page = log.look_back(filter, before).await.unwrap();
        back.extend(page.calls.iter().map(|call| call.at.unix_ms()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    (forward, back)
}

#[tokio::test]
async fn calls_are_found_by_what_they_are_of_in_order_of_time_however_many_there_are() {
    on_every_database(|database| async move {
        let log = opened(
            &database,
            ActivityQueue {
                records_max: 6000,
                ..ActivityQueue::default()
            },
        )
        .await;
        // More than one look goes through, and several in one moment.
        for number in 0..6000 {
            let mut call = call(number / 3);
            match number % 4 {
                0 => call.server = "other".into(),
                1 => call.subject = None,
                2 => call.client = Some("cli_2".into()),
                _ => {}
            }
            if number % 6 != 0 {
                call.outcome = CallOutcome::Allowed;
                call.decision = Some(CallDecision::Allowed);
            }
            if number % 6 == 1 {
                call.decision = Some(CallDecision::WouldBeDenied);
            }
            if number % 6 == 2 {
                call.decision = None;
            }
            log.record(call);
        }
        log.close().await;
        let log = opened(&database, ActivityQueue::default()).await;
        let count = async |filter: CallFilter| {
            let (forward, back) = looked(&log, &filter).await;
            assert!(forward.is_sorted());
            assert!(back.iter().rev().eq(forward.iter()));
            forward.len()
        };
        assert_eq!(count(CallFilter::default()).await, 6000);
        let of_server = CallFilter {
            server: Some("other".into()),
            ..CallFilter::default()
        };
        assert_eq!(count(of_server).await, 1500);
        let of_subject = CallFilter {
            subject: Some("usr_1".into()),
            ..CallFilter::default()
        };
        assert_eq!(count(of_subject).await, 4500);
        let of_client = CallFilter {
            client: Some("cli_2".into()),
            ..CallFilter::default()
        };
        assert_eq!(count(of_client).await, 1500);
        let denied = CallFilter {
            denied: true,
            ..CallFilter::default()
        };
        assert_eq!(count(denied).await, 2000);
        let nothing = CallFilter {
            server: Some("' OR ''='".into()),
            ..CallFilter::default()
        };
        assert_eq!(count(nothing).await, 0);
        // The first moment is in, the last one is not.
        let between = CallFilter {
            since: Some(at(10)),
            until: Some(at(1010)),
            ..CallFilter::default()
        };
        assert_eq!(count(between.clone()).await, 3000);
        let (forward, _) = looked(&log, &between).await;
        let first_and_last = (forward[0], forward[2999]);
        assert_eq!(first_and_last, (at(10).unix_ms(), at(1009).unix_ms()));

        let mut counts = [0u64; 4];
        let mut from = None;
        loop {
            let (some, next) = log
                .count_decisions("other", &CallFilter::default(), from)
                .await
                .unwrap();
            for (decision, count) in some {
                counts[decision as usize] += count;
            }
            from = next;
            if from.is_none() {
                break;
            }
        }
        // Of every twelve, number 0 needs scope, 4 is allowed, 8 was not judged.
        assert_eq!(counts, [500, 0, 500, 0]);
        log.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_the_release_before_records_is_read_and_it_reads_what_is_recorded_now() {
    on_every_database(|database| async move {
        let log = opened(&database, ActivityQueue::default()).await;
        log.record(call(2));
        log.close().await;
        database
            .tamper(
                "INSERT INTO call_record (id, at, server, subject, client_id, grant_id, method, name, outcome, reason, \
                 status, duration_us, correlation_id) VALUES (1, 1, 'todo', 'usr_1', 'cli_1', NULL, 'tools/call', 'add', \
                 'denied', 'unmapped (default: deny)', 200, 5, NULL)",
            )
            .await;
        let log = opened(&database, ActivityQueue::default()).await;
        let denied = CallFilter {
            denied: true,
            ..CallFilter::default()
        };
        let calls = log.look(&denied, None).await.unwrap().calls;
        assert_eq!(calls[0].outcome, CallOutcome::Denied);
        let new = (&calls[0].decision, &calls[0].rule, &calls[0].arguments);
        assert_eq!(new, (&None, &None, &None));
        assert_eq!(calls[1], call(2));
        log.close().await;
    })
    .await;
}

/// Whatever else is changed, a record is not.
#[test]
fn nothing_in_the_program_changes_a_recorded_call_and_only_age_deletes_one() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join("activity.rs")];
    files.extend(
        std::fs::read_dir(source.join("activity"))
            .unwrap()
            .map(|file| file.unwrap().path()),
    );
    let mut text = String::new();
    for file in &files {
        text.push_str(&std::fs::read_to_string(file).unwrap());
    }
    assert!(text.contains("INSERT INTO call_record"));
    assert!(!text.contains("UPDATE"), "a call is changed");
    let deletes: Vec<_> = text.match_indices("DELETE FROM call_record").collect();
    assert_eq!(deletes.len(), 1);
    let statement = &text[deletes[0].0..deletes[0].0 + 200];
    assert!(statement.contains("WHERE id < $1"), "{statement}");
    // And whoever else speaks of them only reads.
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "rs") && !files.contains(&path) {
            let text = std::fs::read_to_string(&path).unwrap();
            let writes = ["INSERT", "UPDATE", "DELETE"]
                .iter()
                .any(|word| text.contains(word));
            let path = path.display();
            assert!(!text.contains("call_record") || !writes, "{path}");
        }
    }
}

/// A writer from elsewhere that does not come to an end.
struct Blocked(sqlx::SqliteConnection);

impl Blocked {
    async fn begin(path: &std::path::Path) -> Self {
        use sqlx::ConnectOptions as _;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .unwrap();
        Self(connection)
    }

    async fn end(self) {
        use sqlx::Connection as _;
        self.0.close().await.unwrap();
    }
}

fn refusing(records_max: usize) -> ActivityQueue {
    ActivityQueue {
        records_max,
        when_full: WhenFull::Refuse,
    }
}

#[tokio::test]
async fn where_none_may_be_lost_a_record_waits_for_room_and_a_report_comes_whole_or_not_at_all() {
    on_every_database(|database| async move {
        let log = opened(&database, refusing(4)).await;
        // Nothing here awaits, so on this one thread nothing is written meanwhile.
        log.record_all((0..3).map(call).collect()).unwrap();
        let refused = log.record_all((3..5).map(call).collect());
        assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
        assert_eq!(log.dropped(), 0);
        log.record_all(vec![call(3)]).unwrap();
        for number in 4..40 {
            log.record_in_turn(call(number)).await;
        }
        log.close().await;
        assert_eq!(log.dropped(), 0);
        let log = opened(&database, ActivityQueue::default()).await;
        let (forward, _) = looked(&log, &CallFilter::default()).await;
        let expected: Vec<_> = (0..40).map(|number| at(number).unix_ms()).collect();
        assert_eq!(forward, expected);

        // The same where they may.
        log.close().await;
        let log = opened(
            &database,
            ActivityQueue {
                records_max: 4,
                ..ActivityQueue::default()
            },
        )
        .await;
        log.record_all((40..50).map(call).collect()).unwrap();
        assert_eq!(log.dropped(), 6);
        log.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_loses_calls_or_keeps_them_as_it_was_told() {
    for when_full in [WhenFull::Drop, WhenFull::Refuse] {
        let database = TestDatabase::sqlite();
        let DatabaseUrl::Sqlite(path) = &database.url else {
            unreachable!()
        };
        let queue = ActivityQueue {
            records_max: 64,
            when_full,
        };
        let log = opened(&database, queue).await;
        let blocked = Blocked::begin(path).await;
        log.record(call(1));
        // Longer than a write waits for its turn.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let lost = match when_full {
            WhenFull::Drop => 1,
            WhenFull::Refuse => 0,
        };
        assert_eq!(log.dropped(), lost);
        blocked.end().await;
        log.record_in_turn(call(2)).await;
        log.close().await;
        let log = opened(&database, ActivityQueue::default()).await;
        let (found, _) = looked(&log, &CallFilter::default()).await;
        let expected: Vec<_> = (1 + lost..3)
            .map(|number| at(i64::try_from(number).unwrap()).unix_ms())
            .collect();
        assert_eq!(found, expected, "{when_full:?}");
        log.close().await;
    }
}
