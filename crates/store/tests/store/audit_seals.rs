use domain::{AuditEventKind, AuditSeal, AuditSealEntry};
use store::AuditRow;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{at, event};

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
        previous: match number {
            1 => String::new(),
            _ => format!("head {}", number - 1),
        },
        head: format!("head {number}"),
    }
}

#[tokio::test]
async fn of_two_seals_with_one_number_one_is_written_and_none_behind_one_that_is_not_there() {
    on_every_store(|store| async move {
        store
            .insert_audit_event(event(AuditEventKind::SignInRefused))
            .await
            .unwrap();
        let rows = store.audit_page(0, 10).await.unwrap().rows;
        let insert = |seal: AuditSeal| store.insert_audit_seal(seal);
        assert!(
            !insert(seal(2, &rows)).await.unwrap(),
            "the first is not there"
        );
        assert!(insert(seal(1, &rows)).await.unwrap());
        assert!(
            !insert(seal(1, &rows)).await.unwrap(),
            "another node was quicker"
        );
        let mut elsewhere = seal(2, &rows);
        elsewhere.previous = "another head".to_owned();
        assert!(!insert(elsewhere).await.unwrap());
        assert!(insert(seal(2, &rows)).await.unwrap());
        assert_eq!(
            store.list_audit_seals(0, 10).await.unwrap(),
            [seal(1, &rows), seal(2, &rows)]
        );
        assert_eq!(
            store.list_newest_audit_seals(1).await.unwrap(),
            [seal(2, &rows)]
        );
        let id = rows[0].id;
        assert_eq!(store.list_audit_seals_over(id, id).await.unwrap().len(), 2);
        assert_eq!(
            store.list_audit_seals_over(id + 1, i64::MAX).await.unwrap(),
            []
        );
    })
    .await;
}

#[tokio::test]
async fn events_come_page_by_page_and_those_with_one_id_together() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let many = "WITH RECURSIVE many (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 2500)
            INSERT INTO audit_event (id, at, kind, detail) SELECT i / 3, i, 'of_a_newer_release', 'x' FROM many";
        database.tamper(many).await;
        for limit in [1, 2, 3, 10, 1000, 5000] {
            let (mut next, mut read) = (Some(i64::MIN), Vec::new());
            while let Some(from) = next {
                let page = store.audit_page(from, limit).await.unwrap();
                assert!(page.rows.len() <= limit.max(3));
                read.extend(page.rows.iter().map(|row| row.id));
                next = page.next;
            }
            // Where a page has less room than an id has events, not all of them come.
            if limit > 3 {
                assert_eq!(read.len(), 2500, "{limit}");
            }
            assert!(read.is_sorted());
        }
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn seals_leave_with_their_events_and_the_last_of_them_stays() {
    on_every_store(|store| async move {
        let mut from = 0;
        for number in 1..=6 {
            let mut one = event(AuditEventKind::SignInRefused);
            one.at = at(number);
            store.insert_audit_event(one).await.unwrap();
            let rows = store.audit_page(from, 10).await.unwrap().rows;
            from = rows[0].id + 1;
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
