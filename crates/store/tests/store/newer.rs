//! A database that a newer Portcullis expanded: this one works with it until something is taken away.

use domain::AuditEventKind;
use store::{Redeemed, Rotated, Store, StoreError, StoreOptions};
use testkit::MovableClock;

use crate::databases::{TestDatabase, on_every_database};
use crate::fixture::{Fixture, at, redeem, rotate};

/// The tables of every aggregate that this binary writes.
const EXPANDED: &str = "
    ALTER TABLE app_user ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE mcp_server ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE client ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE client_consent ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE authorization_code ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE token_family ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE refresh_token ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE login_session ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE audit_event ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'x';
    CREATE TABLE of_the_next_release (id TEXT NOT NULL PRIMARY KEY);
    INSERT INTO audit_event (id, at, kind, detail) VALUES (1, 0, 'of_the_next_release', 'x');
    INSERT INTO schema_version (version, name, applied_at, usable_from) VALUES (98, 'authority', 0, 7)";

async fn open(database: &TestDatabase) -> Result<Store, StoreError> {
    let options = StoreOptions::new(database.url.clone());
    Store::open(options, &MovableClock::default()).await
}

async fn redeems_a_code(store: &Store, fixture: &Fixture) {
    let code = fixture.issued_code().await;
    let redeemed = store.redeem_code(redeem(&code, at(5))).await.unwrap();
    assert_eq!(redeemed, Redeemed::Fresh);
}

#[tokio::test]
async fn a_node_goes_on_while_a_newer_one_expands_the_database_and_starts_again_after_it() {
    on_every_database(|database| async move {
        let running = database.open().await;
        let fixture = Fixture::new(&running).await;
        redeems_a_code(&running, &fixture).await;
        let token = fixture.refresh_token().await;
        database.tamper(EXPANDED).await;
        let expanded = database.content().await;
        redeems_a_code(&running, &fixture).await;
        let rotated = running.rotate_refresh_token(rotate(&token, at(6))).await;
        assert_eq!(rotated.unwrap(), Rotated::Fresh);
        let again = open(&database).await.unwrap();
        assert_eq!(again.list_clients(None, 10).await.unwrap().len(), 1);
        let events = again.list_audit_events(0, 100).await.unwrap();
        assert_eq!(events[0].event.kind, AuditEventKind::Unknown);
        assert_eq!(events[1].event.kind, AuditEventKind::ServerAdded);
        let added = |content: &[String]| {
            let of_the_next = |line: &&String| line.contains("of_the_next_release");
            content
                .iter()
                .filter(of_the_next)
                .cloned()
                .collect::<Vec<_>>()
        };
        assert!(!added(&expanded).is_empty());
        for line in added(&expanded) {
            assert!(added(&database.content().await).contains(&line), "{line}");
        }
        again.close().await;
        running.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_database_from_which_something_was_taken_away_is_refused_even_if_expanded_later() {
    on_every_database(|database| async move {
        database.open().await.close().await;
        database.tamper(EXPANDED).await;
        open(&database).await.unwrap().close().await;
        database
            .tamper("INSERT INTO schema_version (version, name, applied_at, usable_from) VALUES (96, 'authority', 0, 96)")
            .await;
        let before = database.content().await;
        let refused = open(&database).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Newer { found: 98, known: 7.. }),
            "{refused:?}"
        );
        assert_eq!(database.content().await, before);
    })
    .await;
}
