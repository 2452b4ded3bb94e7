//! Single-use things under races: 16 racers each, exactly one fresh winner.

use std::sync::Arc;

use base::OsRandom;
use domain::{AuditEvent, AuditEventKind, Group, GroupId, RoleHolder};
use store::{GivenRole, Redeemed, Rotated};
use tokio::sync::Barrier;

use crate::databases::on_every_database;
use crate::fixture::{Fixture, at, event, redeem, rotate};

pub const RACERS: usize = 16;

/// How many things are raced for; the full count is set by whoever proves.
pub fn races() -> usize {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_joins_a_group_while_it_is_given_a_role_is_always_cut_off() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let fixture = Fixture::new(&stores[0]).await;
        let (server, user) = (fixture.server.slug.clone(), fixture.user.id.clone());
        fixture.publish_roles(&["rol_1"]).await;
        let mut before = 0;
        for round in 0..races() {
            let group = Group {
                id: GroupId::random(&OsRandom),
                name: format!("group {round}"),
                created_at: at(0),
            };
            let added = event(AuditEventKind::GroupAdded);
            stores[0].insert_group(&group, added).await.unwrap();
            let now = at(10 * i64::try_from(round).unwrap());
            let on = |kind| AuditEvent {
                at: now,
                ..event(kind)
            };
            let role = GivenRole {
                server: server.clone(),
                role: "rol_1".to_owned(),
                holder: RoleHolder::Group(group.id.clone()),
            };
            let (joined, given) = tokio::join!(
                stores[0].join_group(&group.id, &user, on(AuditEventKind::GroupJoined)),
                stores[1].give_role(role, on(AuditEventKind::RoleGiven)),
            );
            assert_eq!((joined, given), (Ok(true), Ok(true)));
            let standing = stores[0].standing_of(&server, user.as_str()).await.unwrap();
            assert!(standing.revision > before, "round {round}");
            before = standing.revision;
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

/// More than one statement's worth of rows, and of sizes that do not divide evenly.
const CROWD: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_redeems_and_rotates_together_and_everyone_gets_their_own() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let mut tasks = Vec::new();
        for _ in 0..CROWD {
            let (store, fixture) = (store.clone(), fixture.clone());
            tasks.push(tokio::spawn(async move {
                let code = fixture.issued_code().await;
                let found = store.find_code(code.digest).await.unwrap().unwrap();
                assert_eq!(found.code.grant, code.grant);
                assert_eq!(found.code.redeemed_at, None);
                let first = redeem(&code, at(1));
                let token = first.refresh.clone().unwrap();
                assert_eq!(store.redeem_code(first).await.unwrap(), Redeemed::Fresh);
                let found = store.find_refresh_token(token.digest).await.unwrap();
                assert_eq!(found.unwrap().family.id, code.grant);
                let next = rotate(&token, at(2));
                let (salt, successor) = (next.salt.clone(), next.successor.clone());
                assert_eq!(
                    store.rotate_refresh_token(next).await.unwrap(),
                    Rotated::Fresh
                );
                let found = store.find_refresh_token(token.digest).await.unwrap();
                assert_eq!(found.unwrap().token.spent, Some((at(2), salt)));
                let found = store.find_refresh_token(successor.digest).await.unwrap();
                assert_eq!(found.unwrap().family.id, code.grant);
                let again = store.redeem_code(redeem(&code, at(3))).await.unwrap();
                assert_eq!(again, Redeemed::Repeated { grant: code.grant });
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert!(store.check_integrity().await.unwrap().is_empty());
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_crowd_a_write_that_fails_spends_nothing_and_hurts_nobody() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let taken = fixture.refresh_token().await;
        let mut tasks = Vec::new();
        for number in 0..CROWD {
            let code = fixture.issued_code().await;
            let store = store.clone();
            let taken = taken.digest;
            tasks.push(async move {
                let mut first = redeem(&code, at(1));
                let fails = number % 50 == 7;
                if fails {
                    first.refresh.as_mut().unwrap().digest = taken;
                }
                let outcome = store.redeem_code(first).await;
                assert_eq!(outcome.is_err(), fails, "{outcome:?}");
                // Whether it was spent is seen by trying again.
                let again = store.redeem_code(redeem(&code, at(2))).await.unwrap();
                assert_eq!(again == Redeemed::Fresh, fails);
            });
        }
        futures_util::future::join_all(tasks).await;
        assert!(store.check_integrity().await.unwrap().is_empty());
        store.close().await;
    })
    .await;
}
