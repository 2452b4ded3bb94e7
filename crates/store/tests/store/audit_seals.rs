use std::time::Duration;

use domain::{AuditEventKind, AuditSeal, AuditSealEntry};
use store::{AuditRow, Store};

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{at, event};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A seal over `rows`; what its digests mean is not for the store.
fn seal(number: i64, rows: &[AuditRow]) -> AuditSeal {
    AuditSeal {
        number,
        made_at: at(number),
        entries: rows
            .iter()
            .map(|row| AuditSealEntry {
                id: row.id,
                facts: [number as u8; 16],
                words: [255; 16],
            })
            .collect(),
        previous: format!("head {}", number - 1),
        head: format!("head {number}"),
    }
}

async fn unsealed(store: &Store, margin: Duration) -> Vec<AuditRow> {
    store
        .list_unsealed_audit_rows(at(1_000_000), margin, 1000)
        .await
        .unwrap()
}

#[tokio::test]
async fn events_come_under_a_seal_once_and_of_two_seals_with_one_number_one_is_written() {
    on_every_database(|database| async move {
        let store = database.open().await;
        assert_eq!(store.find_last_audit_seal().await.unwrap(), None);
        // Ids as the store makes them, one each millisecond.
        let many = "WITH RECURSIVE many (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 2500)
            INSERT INTO audit_event (id, at, kind, detail) SELECT i * 2097152, i, 'of_a_newer_release', 'x' FROM many";
        database.tamper(many).await;
        for (number, expected) in [(1, 1000), (2, 1000), (3, 500)] {
            let rows = unsealed(&store, HOUR).await;
            assert_eq!(rows.len(), expected);
            assert!(rows.is_sorted_by_key(|row| row.id));
            assert_eq!(rows[0].kind, "of_a_newer_release");
            let seal = seal(number, &rows);
            assert!(store.insert_audit_seal(seal.clone()).await.unwrap());
            assert!(!store.insert_audit_seal(seal.clone()).await.unwrap(), "another node was quicker");
            assert_eq!(store.find_last_audit_seal().await.unwrap(), Some(seal));
        }
        assert_eq!(unsealed(&store, HOUR).await, []);
        let listed = store.list_audit_seals(1, 10).await.unwrap();
        let numbers: Vec<_> = listed.iter().map(|seal| seal.number).collect();
        assert_eq!(numbers, [2, 3]);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_event_that_was_committed_late_is_found_within_the_margin() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let early = "INSERT INTO audit_event (id, at, kind, detail) VALUES (100000 * 2097152, 100000, 'x', 'early')";
        let late = "INSERT INTO audit_event (id, at, kind, detail) VALUES (97000 * 2097152, 97000, 'x', 'late')";
        database.tamper(early).await;
        let rows = unsealed(&store, SECOND).await;
        assert!(store.insert_audit_seal(seal(1, &rows)).await.unwrap());
        database.tamper(late).await;
        assert_eq!(unsealed(&store, SECOND).await, [], "further back than is looked");
        let found = unsealed(&store, 5 * SECOND).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].detail, "late");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn seals_leave_with_their_events_and_the_last_of_them_stays() {
    on_every_store(|store| async move {
        for number in 1..=6 {
            let mut one = event(AuditEventKind::SignInRefused);
            one.at = at(number);
            store.insert_audit_event(one).await.unwrap();
            let rows = unsealed(&store, HOUR).await;
            assert!(store.insert_audit_seal(seal(number, &rows)).await.unwrap());
        }
        let numbers = || async {
            let seals = store.list_audit_seals(0, 100).await.unwrap();
            seals.iter().map(|seal| seal.number).collect::<Vec<_>>()
        };
        assert_eq!(
            store.purge_audit_seals(at(100), 10).await.unwrap(),
            0,
            "their events are there"
        );
        assert_eq!(store.purge_audit_events(at(5), 100).await.unwrap(), 4);
        assert_eq!(store.purge_audit_seals(at(3), 10).await.unwrap(), 1);
        assert_eq!(numbers().await, [2, 3, 4, 5, 6]);
        assert_eq!(store.purge_audit_seals(at(100), 1).await.unwrap(), 1);
        assert_eq!(store.purge_audit_seals(at(100), 10).await.unwrap(), 1);
        assert_eq!(
            numbers().await,
            [4, 5, 6],
            "4 shows that what was before it was older"
        );
    })
    .await;
}
