//! Copies of a database while others write, and back into the other kind.

use std::path::Path;

use base::OsRandom;
use domain::{AuditEventKind, Group, GroupId};
use store::{DatabaseUrl, Redeemed, Store, StoreError, StoreOptions};
use testkit::MovableClock;

use crate::databases::{TestDatabase, on_every_database};
use crate::epoch::{Issued, all_is_dead, spend_and_revoke};
use crate::fixture::{Fixture, at, event, redeem, server, session};

async fn open_file(path: &Path) -> Store {
    let options = StoreOptions::new(DatabaseUrl::Sqlite(path.to_owned()));
    Store::open(options, &MovableClock::default())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_while_others_write_is_whole_and_of_one_moment() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let issued = Issued::by(&fixture).await;
        let writing = {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                loop {
                    fixture.refresh_token().await;
                }
            })
        };
        let folder = tempfile::tempdir().unwrap();
        for number in 0..3 {
            let path = folder.path().join(format!("{number}.db"));
            store.copy_to(&path, at(30)).await.unwrap();
            let inspected = store::inspect_copy(&path).await.unwrap();
            assert_eq!(inspected.problems, Vec::<String>::new());
            assert_eq!(inspected.name.as_deref(), Some("authority"));
            assert_eq!(inspected.version, store::schema_version());
            // One transaction writes a family and its refresh token.
            assert_eq!(
                inspected.rows["token_family"],
                inspected.rows["refresh_token"]
            );
            let copied = open_file(&path).await;
            assert_eq!(
                copied.check_integrity().await.unwrap(),
                Vec::<String>::new()
            );
            // A copy as such is as good as what was copied; only restoring it begins an epoch.
            let redeemed = copied.redeem_code(redeem(&issued.code, at(20))).await;
            assert_eq!(redeemed.unwrap(), Redeemed::Fresh);
            copied.close().await;
        }
        writing.abort();
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_copy_goes_back_into_postgres_with_everything_but_what_was_issued() {
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    let store = database.open().await;
    let fixture = Fixture::new(&store).await;
    let issued = Issued::by(&fixture).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    store.copy_to(&path, at(5)).await.unwrap();
    spend_and_revoke(&store, &issued).await;
    let refused = store
        .replace_from(&path, false, "a test", at(15))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unavailable(why) if why.contains("--replace")),
        "{refused}"
    );
    let redeemed = store.redeem_code(redeem(&issued.code, at(20))).await;
    assert_ne!(
        redeemed.unwrap(),
        Redeemed::Unknown,
        "a refused restore changed something"
    );
    store
        .replace_from(&path, true, "a test", at(15))
        .await
        .unwrap();
    assert_eq!(store.epoch().number, 2);
    all_is_dead(&store, &fixture, &issued).await;
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await;
    let store = database.open().await;
    assert_eq!(store.epoch().number, 2);
    assert_eq!(store.count_users().await.unwrap(), 1);
    store.close().await;

    let empty = TestDatabase::postgres().unwrap();
    let store = empty.open().await;
    store
        .replace_from(&path, false, "a test", at(15))
        .await
        .unwrap();
    assert_eq!(store.list_clients(None, 10).await.unwrap().len(), 1);
    store.close().await;
    empty.remove().await;
    database.remove().await;
}

/// Nodes that run look at the mark alone.
#[tokio::test]
async fn the_same_copy_put_into_postgres_again_is_another_change_and_another_epoch() {
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    let stores = [database.open().await, database.open().await];
    let fixture = Fixture::new(&stores[0]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    stores[0].copy_to(&path, at(5)).await.unwrap();
    let mut mark = stores[1].change_mark().await.unwrap();
    let mut began_at = stores[1].epoch().began_at;
    for round in 1..4 {
        let issued = Issued::by(&fixture).await;
        stores[0]
            .replace_from(&path, true, "a test", at(15))
            .await
            .unwrap();
        let now = stores[1].change_mark().await.unwrap();
        assert!(
            now.counter > mark.counter,
            "round {round}: {mark:?} {now:?}"
        );
        assert_eq!(now.epoch, 1 + round);
        mark = now;
        // Also when both were restored within one second: what was issued between them bears the moment of the first.
        let epoch = stores[1].refresh_epoch().await.unwrap();
        assert!(epoch.began_at > began_at, "round {round}");
        began_at = epoch.began_at;
        all_is_dead(&stores[1], &fixture, &issued).await;
        // Changes go on behind it, and none is taken for an earlier one.
        let added = event(AuditEventKind::ServerAdded);
        let other = server(&format!("other-{round}"));
        stores[1].insert_server(&other, added).await.unwrap();
        let now = stores[1].change_mark().await.unwrap();
        assert_eq!(now.counter, mark.counter + 1);
        mark = now;
    }
    for store in stores {
        store.close().await;
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_nodes_write_while_a_copy_is_put_into_postgres_is_replaced_or_comes_after_it() {
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    let stores = [database.open().await, database.open().await];
    let fixture = Fixture::new(&stores[0]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    stores[0].copy_to(&path, at(5)).await.unwrap();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, fixture) = (stores[1].clone(), fixture.clone());
            tokio::spawn(async move {
                loop {
                    let added = event(AuditEventKind::ConsentGiven);
                    let written = store.insert_code(fixture.code(), fixture.consent(), added);
                    written.await.unwrap();
                    let signed_in = event(AuditEventKind::UserSignedIn);
                    let session = session(&fixture.user);
                    let written = store.insert_login_session(&session, signed_in);
                    written.await.unwrap();
                }
            })
        })
        .collect();
    for round in 0..3 {
        let replaced = stores[0].replace_from(&path, true, "a test", at(15)).await;
        assert_eq!(replaced, Ok(0), "round {round}");
    }
    for writer in &writers {
        assert!(!writer.is_finished(), "a write failed");
        writer.abort();
    }
    assert_eq!(
        stores[0].check_integrity().await.unwrap(),
        Vec::<String>::new()
    );
    for store in stores {
        store.close().await;
    }
    database.remove().await;
}

#[tokio::test]
async fn groups_and_roles_go_back_into_postgres_with_their_people() {
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    let store = database.open().await;
    let fixture = Fixture::new(&store).await;
    let group = Group {
        id: GroupId::random(&OsRandom),
        name: "editors".to_owned(),
        created_at: at(0),
    };
    let added = event(AuditEventKind::GroupAdded);
    store.insert_group(&group, added).await.unwrap();
    let joined = event(AuditEventKind::GroupJoined);
    let joined = store.join_group(&group.id, &fixture.user.id, joined);
    assert!(joined.await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    store.copy_to(&path, at(5)).await.unwrap();
    for _ in 0..2 {
        let replaced = store.replace_from(&path, true, "a test", at(15)).await;
        assert_eq!(replaced, Ok(0));
        assert_eq!(
            store.list_group_members().await.unwrap(),
            [(group.id.clone(), fixture.user.id.clone())]
        );
    }
    store.close().await;
    database.remove().await;
}
