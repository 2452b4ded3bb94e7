use domain::{CallOutcome, CallRecord};
use store::{ActivityLog, ActivityOptions};
use testkit::MovableClock;

use crate::databases::on_every_database;
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
