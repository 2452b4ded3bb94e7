#![allow(clippy::unwrap_used)]

mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base::{OsRandom, Random as _, Secret};
use futures_util::FutureExt as _;
use testkit::MovableClock;
use tokio::sync::Semaphore;

use super::QUEUE_JOBS_MAX;
use crate::values::Args;
use crate::{DatabaseUrl, Store, StoreError, StoreOptions};

/// What a test job does after it wrote its row.
#[derive(Clone)]
enum Then {
    Succeed,
    Fail,
    Panic,
    /// Waits until the test says so. A real job never waits for anything but its connection.
    Wait(Arc<Semaphore>),
    /// Leaves a broken foreign key that SQLite finds at the commit.
    BreakTheCommit,
    /// Adds consents of nobody with one statement that gives them back.
    BreakAForeignKey,
    /// Fails as PostgreSQL does when it asks for another try, this many times.
    Conflict(Arc<AtomicU32>),
}

async fn job(store: &Store, name: &str, then: Then) -> Result<(), StoreError> {
    store
        .write((name.to_owned(), then), |conn, (name, then)| {
            Box::pin(async move {
                let sql = "INSERT INTO setting (name, value) VALUES ($1, 'x')";
                conn.execute(sql, Args::default().text(name)).await?;
                match then {
                    Then::Succeed => Ok(()),
                    Then::Fail => Err(StoreError::Internal("as the test wants".into())),
                    Then::Panic => panic!("as the test wants"),
                    Then::Wait(gate) => {
                        gate.acquire().await.unwrap().forget();
                        Ok(())
                    }
                    Then::BreakTheCommit => {
                        conn.run("PRAGMA defer_foreign_keys = ON").await?;
                        let sql = "INSERT INTO client_consent \
                            (user_id, client_id, redirect_uri, server, scopes, approved_at) \
                            VALUES ('no', 'no', '', '', '', 0)";
                        conn.execute(sql, Args::default()).await.map(|_| ())
                    }
                    Then::BreakAForeignKey => {
                        let sql = "INSERT INTO client_consent \
                            (user_id, client_id, redirect_uri, server, scopes, approved_at) \
                            SELECT 'no', 'no', name, '', '', 0 FROM setting RETURNING user_id";
                        conn.fetch_optional(sql, Args::default()).await.map(|_| ())
                    }
                    Then::Conflict(left) if left.load(Ordering::SeqCst) > 0 => {
                        left.fetch_sub(1, Ordering::SeqCst);
                        conn.run(
                            "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$",
                        )
                        .await
                    }
                    Then::Conflict(_) => Ok(()),
                }
            })
        })
        .await
}

async fn sqlite() -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(directory.path().join("writer.sqlite"));
    let store = Store::open(StoreOptions::new(url), &MovableClock::default())
        .await
        .unwrap();
    (store, directory)
}

async fn postgres() -> Option<Store> {
    let url = std::env::var("PORTCULLIS_TEST_POSTGRES_URL").ok()?;
    let mut name = [0u8; 8];
    OsRandom.fill(&mut name);
    let url = DatabaseUrl::Postgres {
        url: Secret::new(url),
        schema: Some(format!("test_{:016x}", u64::from_le_bytes(name))),
    };
    let store = Store::open(StoreOptions::new(url), &MovableClock::default())
        .await
        .unwrap();
    Some(store)
}

async fn there(store: &Store, name: &str) -> bool {
    store.find_setting(name).await.unwrap().is_some()
}

/// A job that holds the writer until the gate opens, and proof that it has begun.
async fn hold(store: &Store, gate: &Arc<Semaphore>) -> tokio::task::JoinHandle<()> {
    let (store, gate) = (store.clone(), Arc::clone(gate));
    let held = tokio::spawn(async move {
        job(&store, "holder", Then::Wait(gate)).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    held
}

/// Queues jobs while the writer is held, so that they run as one group, and gives their outcomes.
async fn as_one_group(store: &Store, jobs: &[(&str, Then)]) -> Vec<Result<(), StoreError>> {
    let gate = Arc::new(Semaphore::new(0));
    let held = hold(store, &gate).await;
    let mut waiting = Vec::new();
    for (name, then) in jobs {
        let (store, name, then) = (store.clone(), (*name).to_owned(), then.clone());
        waiting.push(tokio::spawn(async move { job(&store, &name, then).await }));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.add_permits(1);
    held.await.unwrap();
    let mut outcomes = Vec::new();
    for one in waiting {
        outcomes.push(one.await.unwrap());
    }
    outcomes
}

#[tokio::test]
async fn a_failed_job_of_a_group_rolls_back_alone() {
    let (store, _directory) = sqlite().await;
    let outcomes = as_one_group(
        &store,
        &[
            ("before", Then::Succeed),
            ("failed", Then::Fail),
            ("between", Then::Succeed),
            ("panicked", Then::Panic),
            ("after", Then::Succeed),
        ],
    )
    .await;
    let worked: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(worked, [true, false, true, false, true]);
    assert_eq!(
        outcomes[1],
        Err(StoreError::Internal("as the test wants".into()))
    );
    for (name, expected) in [
        ("before", true),
        ("failed", false),
        ("between", true),
        ("panicked", false),
        ("after", true),
    ] {
        assert_eq!(there(&store, name).await, expected, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_key_that_is_taken_fails_its_own_job_and_leaves_the_others() {
    let (store, _directory) = sqlite().await;
    job(&store, "taken", Then::Succeed).await.unwrap();
    let outcomes = as_one_group(&store, &[("free", Then::Succeed), ("taken", Then::Succeed)]).await;
    assert_eq!(outcomes[0], Ok(()));
    assert_eq!(
        outcomes[1],
        Err(StoreError::Conflict("a row with this key"))
    );
    assert!(there(&store, "free").await);
    store.close().await;
}

#[tokio::test]
async fn a_foreign_key_is_checked_also_where_a_statement_returns_its_row() {
    let (store, _directory) = sqlite().await;
    assert!(job(&store, "alone", Then::BreakAForeignKey).await.is_err());
    let outcomes = as_one_group(
        &store,
        &[
            ("innocent", Then::Succeed),
            ("orphan", Then::BreakAForeignKey),
        ],
    )
    .await;
    assert!(outcomes[0].is_ok() && outcomes[1].is_err(), "{outcomes:?}");
    assert!(there(&store, "innocent").await);
    assert!(!there(&store, "orphan").await);
    store.close().await;
}

#[tokio::test]
async fn a_commit_that_fails_fails_its_whole_group_and_the_next_group_works() {
    let (store, _directory) = sqlite().await;
    let outcomes = as_one_group(
        &store,
        &[
            ("innocent", Then::Succeed),
            ("breaker", Then::BreakTheCommit),
        ],
    )
    .await;
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    assert!(!there(&store, "innocent").await);
    job(&store, "innocent", Then::Succeed).await.unwrap();
    assert!(there(&store, "innocent").await);
    store.close().await;
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit() {
    let (store, _directory) = sqlite().await;
    let first = Arc::new(Semaphore::new(0));
    let second = Arc::new(Semaphore::new(0));
    let held = hold(&store, &first).await;
    let early = {
        let store = store.clone();
        tokio::spawn(async move { job(&store, "early", Then::Succeed).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    let late = {
        let (store, second) = (store.clone(), Arc::clone(&second));
        tokio::spawn(async move { job(&store, "late", Then::Wait(second)).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    first.add_permits(1);
    held.await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // "early" has run, but "late" of the same group has not, so nothing is committed.
    assert!(!early.is_finished());
    assert!(!there(&store, "early").await);
    second.add_permits(1);
    early.await.unwrap().unwrap();
    assert!(there(&store, "early").await);
    late.await.unwrap().unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_its_job() {
    let (sqlite, _directory) = sqlite().await;
    for store in [Some(sqlite), postgres().await].into_iter().flatten() {
        // Polled once, which hands the job over, then dropped.
        assert!(
            job(&store, "orphan", Then::Succeed)
                .now_or_never()
                .is_none()
        );
        for _ in 0..100 {
            if there(&store, "orphan").await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(there(&store, "orphan").await);
        store.close().await;
    }
}

#[tokio::test]
async fn a_full_queue_is_busy_and_what_waits_is_still_done() {
    let (store, _directory) = sqlite().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = hold(&store, &gate).await;
    let mut waiting = Vec::new();
    for number in 0..QUEUE_JOBS_MAX {
        let store = store.clone();
        waiting.push(tokio::spawn(async move {
            job(&store, &format!("job {number}"), Then::Succeed).await
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        job(&store, "one more", Then::Succeed).await,
        Err(StoreError::Busy)
    );
    gate.add_permits(1);
    held.await.unwrap();
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    job(&store, "one more", Then::Succeed).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn closing_finishes_what_waits() {
    let (store, directory) = sqlite().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = hold(&store, &gate).await;
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { job(&store, "waits", Then::Succeed).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    let closing = {
        let store = store.clone();
        tokio::spawn(async move { store.close().await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.add_permits(1);
    held.await.unwrap();
    waiting.await.unwrap().unwrap();
    closing.await.unwrap();
    let url = DatabaseUrl::Sqlite(directory.path().join("writer.sqlite"));
    let again = Store::open(StoreOptions::new(url), &MovableClock::default())
        .await
        .unwrap();
    assert!(there(&again, "waits").await);
    again.close().await;
}

#[tokio::test]
async fn a_failed_or_panicked_transaction_of_postgres_leaves_nothing() {
    let Some(store) = postgres().await else {
        return;
    };
    for then in [Then::Fail, Then::Panic] {
        assert!(job(&store, "name", then).await.is_err());
        assert!(!there(&store, "name").await);
    }
    job(&store, "name", Then::Succeed).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_serialization_conflict_of_postgres_is_tried_again_but_not_forever() {
    let Some(store) = postgres().await else {
        return;
    };
    let twice = Then::Conflict(Arc::new(AtomicU32::new(2)));
    job(&store, "in the end", twice).await.unwrap();
    assert!(there(&store, "in the end").await);
    let endless = Then::Conflict(Arc::new(AtomicU32::new(u32::MAX)));
    assert_eq!(job(&store, "never", endless).await, Err(StoreError::Busy));
    assert!(!there(&store, "never").await);
    store.close().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_leaves_the_readers_good() {
    let (sqlite, _directory) = sqlite().await;
    for store in [Some(sqlite), postgres().await].into_iter().flatten() {
        job(&store, "name", Then::Succeed).await.unwrap();
        for _ in 0..50 {
            let read = store.find_setting("name");
            let _ = tokio::time::timeout(Duration::from_micros(30), read).await;
            let _ = store.find_setting("name").now_or_never();
        }
        for _ in 0..50 {
            assert!(there(&store, "name").await);
        }
        store.close().await;
    }
}
