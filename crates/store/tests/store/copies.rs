//! Copies of a database while others write, and back into the other kind.

use std::path::Path;

use store::{DatabaseUrl, Redeemed, Store, StoreError, StoreOptions};
use testkit::MovableClock;

use crate::databases::{TestDatabase, on_every_database};
use crate::epoch::{Issued, all_is_dead, spend_and_revoke};
use crate::fixture::{Fixture, at, redeem};

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
