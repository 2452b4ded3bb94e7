//! Single-use things under races: 16 racers each, exactly one fresh winner.

use std::sync::Arc;

use store::{Redeemed, Rotated};
use tokio::sync::Barrier;

use crate::databases::on_every_database;
use crate::fixture::{Fixture, at, redeem, rotate};

const RACERS: usize = 16;

/// How many things are raced for; the full count is set by whoever proves.
fn races() -> usize {
    match std::env::var("PORTCULLIS_RACES") {
        Ok(count) => count.parse().unwrap(),
        Err(_) => 50,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_that_redeem_one_code_exactly_one_is_fresh() {
    on_every_database(|database| async move {
        // Two handles, as two processes of one authority would have.
        let stores = [database.open().await, database.open().await];
        let fixture = Fixture::new(&stores[0]).await;
        for _ in 0..races() {
            let code = fixture.issued_code().await;
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let store = stores[racer % 2].clone();
                let redeem = redeem(&code, at(1));
                let start = Arc::clone(&start);
                racers.push(tokio::spawn(async move {
                    let digest = redeem.refresh.as_ref().unwrap().digest;
                    start.wait().await;
                    (digest, store.redeem_code(redeem).await.unwrap())
                }));
            }
            let mut fresh = Vec::new();
            for racer in racers {
                let (digest, outcome) = racer.await.unwrap();
                match outcome {
                    Redeemed::Fresh => fresh.push(digest),
                    Redeemed::Repeated { grant } => assert_eq!(grant, code.grant),
                    Redeemed::Unknown => panic!("the code is there"),
                }
            }
            assert_eq!(fresh.len(), 1);
            let kept = stores[0].find_refresh_token(fresh[0]).await.unwrap();
            assert_eq!(kept.unwrap().family.id, code.grant);
        }
        assert!(stores[0].check_integrity().await.unwrap().is_empty());
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_that_rotate_one_refresh_token_exactly_one_is_fresh() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let fixture = Fixture::new(&stores[0]).await;
        for _ in 0..races() {
            let token = fixture.refresh_token().await;
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let store = stores[racer % 2].clone();
                let rotate = rotate(&token, at(2));
                let start = Arc::clone(&start);
                racers.push(tokio::spawn(async move {
                    let digest = rotate.successor.digest;
                    start.wait().await;
                    (digest, store.rotate_refresh_token(rotate).await.unwrap())
                }));
            }
            let mut fresh = Vec::new();
            for racer in racers {
                let (digest, outcome) = racer.await.unwrap();
                match outcome {
                    Rotated::Fresh => fresh.push(digest),
                    Rotated::AlreadySpent => {
                        assert!(
                            stores[0]
                                .find_refresh_token(digest)
                                .await
                                .unwrap()
                                .is_none()
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(fresh.len(), 1);
            let kept = stores[0].find_refresh_token(fresh[0]).await.unwrap();
            assert_eq!(kept.unwrap().token.generation, 1);
        }
        assert!(stores[0].check_integrity().await.unwrap().is_empty());
        for store in stores {
            store.close().await;
        }
    })
    .await;
}
