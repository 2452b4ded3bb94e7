use base::Digest;
use domain::{AuditEventKind, FamilyEnd};
use store::{EndFamily, Rotated, StoreError};

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{Fixture, at, event, rotate};

#[tokio::test]
async fn a_refresh_token_is_spent_for_its_successor_and_keeps_the_salt() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        let first = rotate(&token, at(10));
        let successor = first.successor.clone();
        let salt = first.salt.clone();
        assert_eq!(
            store.rotate_refresh_token(first).await.unwrap(),
            Rotated::Fresh
        );
        let repeat = rotate(&token, at(11));
        let never = repeat.successor.digest;
        assert_eq!(
            store.rotate_refresh_token(repeat).await.unwrap(),
            Rotated::AlreadySpent
        );
        assert!(store.find_refresh_token(never).await.unwrap().is_none());
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.token.spent, Some((at(10), salt)));
        assert!(!found.successor_used);
        let next = rotate(&successor, at(12));
        assert_eq!(
            store.rotate_refresh_token(next).await.unwrap(),
            Rotated::Fresh
        );
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(found.successor_used);
        let found = store
            .find_refresh_token(successor.digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.token.generation, 1);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_or_expired_token_is_unknown_and_one_of_an_expired_family_says_so() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        let mut unknown = rotate(&token, at(10));
        unknown.digest = Digest::of("no such token");
        assert_eq!(
            store.rotate_refresh_token(unknown).await.unwrap(),
            Rotated::Unknown
        );
        assert_eq!(
            store
                .rotate_refresh_token(rotate(&token, at(501)))
                .await
                .unwrap(),
            Rotated::Unknown
        );
        assert_eq!(
            store
                .rotate_refresh_token(rotate(&token, at(1001)))
                .await
                .unwrap(),
            Rotated::FamilyEnded
        );
        assert_eq!(
            store
                .rotate_refresh_token(rotate(&token, at(500)))
                .await
                .unwrap(),
            Rotated::Fresh
        );
    })
    .await;
}

#[tokio::test]
async fn a_family_is_ended_once_and_the_feed_hears_of_it_until_its_last_token_is_over() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        let other = fixture.refresh_token().await;
        let end = async || {
            store
                .end_family(EndFamily {
                    family: token.family.clone(),
                    reason: FamilyEnd::RefreshTokenReuse,
                    revocation_until: at(3600),
                    now: at(20),
                    event: event(AuditEventKind::GrantRevoked),
                })
                .await
                .unwrap()
        };
        let before = store.change_counter().await.unwrap();
        assert!(end().await);
        assert!(!end().await);
        assert_eq!(store.change_counter().await.unwrap(), before + 1);
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            found.family.ended,
            Some((at(20), FamilyEnd::RefreshTokenReuse))
        );
        assert_eq!(
            store
                .rotate_refresh_token(rotate(&token, at(21)))
                .await
                .unwrap(),
            Rotated::FamilyEnded
        );
        assert_eq!(
            store
                .rotate_refresh_token(rotate(&other, at(21)))
                .await
                .unwrap(),
            Rotated::Fresh
        );
        assert_eq!(
            store.list_revoked_grants(at(21)).await.unwrap(),
            [(fixture.server.slug.clone(), token.family.clone(), at(3600))]
        );
        assert!(
            store
                .list_revoked_grants(at(3600))
                .await
                .unwrap()
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_true_is_an_error_naming_table_and_id() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        database
            .tamper("UPDATE refresh_token SET spent_at = 5")
            .await;
        match store.find_refresh_token(token.digest).await {
            Err(StoreError::Corrupt { table, id, problem }) => {
                assert_eq!(table, "refresh_token");
                assert_eq!(id, token.digest.to_text());
                assert_eq!(problem, "spent_at and salt come together");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.check_integrity().await.unwrap().len(), 1);
        database
            .tamper("UPDATE refresh_token SET spent_at = NULL; UPDATE mcp_server SET policy = '{'")
            .await;
        assert!(
            store
                .find_refresh_token(token.digest)
                .await
                .unwrap()
                .is_some()
        );
        let error = store
            .find_server(&fixture.server.slug)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the row \"todo\" of table mcp_server cannot be true: policy: EOF"),
            "{error}"
        );
        store.close().await;
    })
    .await;
}
