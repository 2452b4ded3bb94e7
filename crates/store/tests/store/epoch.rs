//! A new epoch: what was issued before is dead, what is issued later lives, and what is no grant stays.

use std::path::{Path, PathBuf};

use domain::{AuditEventKind, FamilyEnd};
use store::{DatabaseUrl, EndFamily, Redeemed, Rotated, Store};

use crate::databases::{TestDatabase, on_every_store};
use crate::fixture::{Fixture, at, event, redeem, rotate};

/// What was issued: a code, a session, a refresh token, a consent.
pub struct Issued {
    pub code: domain::AuthorizationCode,
    pub refresh: domain::RefreshToken,
}

impl Issued {
    pub async fn by(fixture: &Fixture) -> Self {
        Self {
            refresh: fixture.refresh_token().await,
            code: fixture.issued_code().await,
        }
    }
}

pub async fn all_is_dead(store: &Store, fixture: &Fixture, issued: &Issued) {
    let redeemed = store.redeem_code(redeem(&issued.code, at(20))).await;
    assert_eq!(redeemed.unwrap(), Redeemed::Unknown);
    let rotated = store
        .rotate_refresh_token(rotate(&issued.refresh, at(20)))
        .await;
    assert_ne!(rotated.unwrap(), Rotated::Fresh);
    let cookie = fixture.session.cookie_digest;
    let (session, _) = store.find_login_session(cookie).await.unwrap().unwrap();
    assert!(!session.is_live(at(20)), "the session lives");
    let consent = store
        .find_consent(
            &fixture.user.id,
            &fixture.server.slug,
            &fixture.client.id,
            &issued.code.redirect_uri,
        )
        .await;
    assert!(consent.unwrap().is_none(), "the consent is remembered");
}

pub async fn all_lives(store: &Store, fixture: &Fixture, issued: &Issued) {
    let redeemed = store.redeem_code(redeem(&issued.code, at(20))).await;
    assert_eq!(redeemed.unwrap(), Redeemed::Fresh);
    let rotated = store
        .rotate_refresh_token(rotate(&issued.refresh, at(20)))
        .await;
    assert_eq!(rotated.unwrap(), Rotated::Fresh);
    let cookie = fixture.session.cookie_digest;
    let (session, _) = store.find_login_session(cookie).await.unwrap().unwrap();
    assert!(session.is_live(at(20)));
}

/// Spends the code and revokes the family, as an honest answer said it was.
pub async fn spend_and_revoke(store: &Store, issued: &Issued) {
    let redeemed = store.redeem_code(redeem(&issued.code, at(10))).await;
    assert_eq!(redeemed.unwrap(), Redeemed::Fresh);
    let end = EndFamily {
        family: issued.refresh.family.clone(),
        now: at(10),
        reason: FamilyEnd::Revoked,
        revocation_until: at(3600),
        event: event(AuditEventKind::GrantRevoked),
    };
    assert!(store.end_family(end).await.unwrap());
}

#[tokio::test]
async fn what_was_issued_before_an_epoch_is_dead_and_what_is_issued_in_it_lives() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let issued = Issued::by(&fixture).await;
        let counter = store.change_counter().await.unwrap();
        assert_eq!(store.epoch().number, 1);
        let epoch = store
            .begin_epoch("as the test wants", at(15))
            .await
            .unwrap();
        assert_eq!((epoch.number, epoch.began_at), (2, at(16)));
        assert_eq!(store.epoch(), epoch);
        assert!(store.change_counter().await.unwrap() > counter + 1000);
        all_is_dead(&store, &fixture, &issued).await;
        assert_eq!(store.list_clients(None, 10).await.unwrap().len(), 1);
        assert_eq!(store.list_servers().await.unwrap().len(), 1);
        assert_eq!(store.count_users().await.unwrap(), 1);
        let events = store.list_audit_events(0, 100).await.unwrap();
        assert!(
            events
                .iter()
                .any(|kept| kept.event.kind == AuditEventKind::EpochBegan)
        );
        let again = fixture.refresh_token().await;
        let rotated = store.rotate_refresh_token(rotate(&again, at(20))).await;
        assert_eq!(rotated.unwrap(), Rotated::Fresh);
    })
    .await;
}

fn file(database: &TestDatabase) -> &Path {
    let DatabaseUrl::Sqlite(path) = &database.url else {
        unreachable!("it is SQLite")
    };
    path
}

#[tokio::test]
async fn an_older_file_that_is_copied_back_begins_an_epoch_and_one_that_was_only_closed_does_not() {
    for copied_back in [false, true] {
        let database = TestDatabase::sqlite();
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let issued = Issued::by(&fixture).await;
        store.close().await;
        let copy: PathBuf = file(&database).with_extension("copy");
        std::fs::copy(file(&database), &copy).unwrap();
        if copied_back {
            let store = database.open().await;
            assert_eq!(store.epoch().number, 1);
            spend_and_revoke(&store, &issued).await;
            store.close().await;
            std::fs::copy(&copy, file(&database)).unwrap();
        }
        let store = database.open().await;
        let fixture = Fixture {
            store: store.clone(),
            ..fixture
        };
        if copied_back {
            assert_eq!(store.epoch().number, 2);
            all_is_dead(&store, &fixture, &issued).await;
        } else {
            assert_eq!(store.epoch().number, 1);
            all_lives(&store, &fixture, &issued).await;
        }
        // Once is enough.
        let number = store.epoch().number;
        store.close().await;
        let store = database.open().await;
        assert_eq!(store.epoch().number, number);
        store.close().await;
    }
}

#[tokio::test]
async fn a_witness_that_cannot_be_read_begins_an_epoch_and_a_missing_one_does_not() {
    let database = TestDatabase::sqlite();
    database.open().await.close().await;
    let mut name = file(&database).as_os_str().to_owned();
    name.push("-witness");
    std::fs::remove_file(&name).unwrap();
    let store = database.open().await;
    assert_eq!(store.epoch().number, 1);
    store.close().await;
    std::fs::write(&name, "portcullis-witness 1 cha").unwrap();
    let store = database.open().await;
    assert_eq!(store.epoch().number, 2);
    store.close().await;
}
