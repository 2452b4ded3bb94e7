//! How long a write waits: it is done, or refused before it began, and never both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use tokio::sync::Semaphore;

use super::super::WAIT_MAX;
use super::{Then, hold, job, sqlite, there};
use crate::StoreError;

const A_LITTLE: Duration = Duration::from_millis(1500);

fn refused(outcome: &Result<(), StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(why)) if why.contains("waited 3 seconds"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waited_too_long_behind_another_is_refused_and_not_done_and_a_short_wait_is() {
    let (store, _directory) = sqlite().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = hold(&store, &gate).await;
    let started = Instant::now();
    assert!(refused(&job(&store, "too long", Then::Succeed).await));
    assert!(started.elapsed() < WAIT_MAX + A_LITTLE);
    let late = {
        let store = store.clone();
        tokio::spawn(async move { job(&store, "short", Then::Succeed).await })
    };
    tokio::time::sleep(A_LITTLE).await;
    gate.add_permits(1);
    // The holder took longer than anybody may wait; it had begun, so it is told of its commit.
    held.await.unwrap();
    late.await.unwrap().unwrap();
    assert!(there(&store, "holder").await && there(&store, "short").await);
    assert!(!there(&store, "too long").await);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_process_holds_the_file_writes_are_refused_in_time_and_a_short_hold_is_waited_for()
 {
    let (store, directory) = sqlite().await;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("writer.sqlite"));
    let mut other = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    for (name, short) in [("long", false), ("short", true)] {
        sqlx::raw_sql("BEGIN IMMEDIATE")
            .execute(&mut other)
            .await
            .unwrap();
        let started = Instant::now();
        let waiting: Vec<_> = (0..300)
            .map(|number| {
                let (store, name) = (store.clone(), format!("{name} {number}"));
                tokio::spawn(async move { job(&store, &name, Then::Succeed).await })
            })
            .collect();
        if short {
            tokio::time::sleep(A_LITTLE).await;
            sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        }
        for one in waiting {
            let outcome = one.await.unwrap();
            assert_eq!(
                (outcome.is_ok(), refused(&outcome)),
                (short, !short),
                "{outcome:?}"
            );
        }
        assert!(started.elapsed() < WAIT_MAX + A_LITTLE);
        if !short {
            sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
            // Behind everything that was given up.
            job(&store, "afterwards", Then::Succeed).await.unwrap();
        }
        for number in 0..300 {
            assert_eq!(there(&store, &format!("{name} {number}")).await, short);
        }
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_no_longer_for_a_file_that_another_process_holds() {
    let (store, directory) = sqlite().await;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("writer.sqlite"));
    let mut other = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let orphan = {
        let store = store.clone();
        tokio::spawn(async move { job(&store, "orphan", Then::Succeed).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    orphan.abort();
    let started = Instant::now();
    store.close().await;
    assert!(started.elapsed() < WAIT_MAX + A_LITTLE);
}
