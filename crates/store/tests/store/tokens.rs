use std::collections::HashSet;

use base::Digest;
use domain::{AuditEventKind, FamilyEnd, GrantId};
use store::{EndFamily, Rotated, StoreError, UserDisabled};

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
            store.list_revoked_grants(-1, at(21)).await.unwrap(),
            [(fixture.server.slug.clone(), token.family.clone(), at(3600))]
        );
        assert!(
            store
                .list_revoked_grants(-1, at(3600))
                .await
                .unwrap()
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn a_node_reads_only_the_grants_that_were_revoked_after_what_it_knows() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let mut ended = Vec::new();
        for _ in 0..3 {
            let token = fixture.refresh_token().await;
            let end = EndFamily {
                family: token.family.clone(),
                reason: FamilyEnd::Revoked,
                revocation_until: at(3600),
                now: at(20),
                event: event(AuditEventKind::GrantRevoked),
            };
            assert!(store.end_family(end).await.unwrap());
            let change = store.change_counter().await.unwrap();
            ended.push((token.family, change));
        }
        let after = async |change: i64| -> Vec<GrantId> {
            let revoked = store.list_revoked_grants(change, at(21)).await.unwrap();
            revoked.into_iter().map(|(_, grant, _)| grant).collect()
        };
        let of = |places: &[usize]| -> Vec<GrantId> {
            places.iter().map(|place| ended[*place].0.clone()).collect()
        };
        assert_eq!(after(-1).await, of(&[0, 1, 2]));
        assert_eq!(after(ended[0].1).await, of(&[1, 2]));
        assert_eq!(after(ended[1].1).await, of(&[2]));
        assert_eq!(after(ended[2].1).await, of(&[]));
        // Everybody's grants, of one transaction.
        let token = fixture.refresh_token().await;
        let disabled = event(AuditEventKind::UserDisabled);
        let disable = store.disable_user(&fixture.user.id, at(3600), disabled);
        assert_eq!(disable.await, Ok(UserDisabled::Disabled));
        assert_eq!(after(ended[2].1).await, std::slice::from_ref(&token.family));
        assert_eq!(after(store.change_counter().await.unwrap()).await, of(&[]));

        // A release before this one does not say which change it was: those come each time.
        database
            .tamper(
                "UPDATE token_family SET revoked_change = NULL WHERE revoked_change IN \
                     (SELECT MIN(revoked_change) FROM token_family)",
            )
            .await;
        assert_eq!(
            after(ended[2].1).await,
            [vec![token.family], of(&[0])].concat()
        );
        assert_eq!(after(i64::from(i32::MAX)).await, of(&[0]));
        store.close().await;
    })
    .await;
}

macro_rules! two_thousand {
    ($id:literal, $change:literal) => {
        concat!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
             INSERT INTO token_family (id, server, client_id, user_id, scopes, authenticated_at, created_at, \
             expires_at, ended_at, end_reason, revocation_until, revoked_change) SELECT ",
            $id,
            " || n.i, f.server, f.client_id, f.user_id, f.scopes, f.authenticated_at, f.created_at, f.expires_at, \
             f.created_at, 'revoked', f.expires_at, ",
            $change,
            " FROM n, token_family f WHERE f.ended_at IS NULL"
        )
    };
}

#[tokio::test]
async fn very_many_revoked_grants_are_read_page_by_page_and_none_is_left_out() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        fixture.refresh_token().await;
        // Of one change, of some, and of a release that did not say which.
        for insert in [
            two_thousand!("'gra_one_'", "1"),
            two_thousand!("'gra_some_'", "n.i / 700"),
            two_thousand!("'gra_none_'", "NULL"),
        ] {
            database.tamper(insert).await;
        }
        let revoked = store.list_revoked_grants(-1, at(21)).await.unwrap();
        let ids: HashSet<_> = revoked.iter().map(|(_, grant, _)| grant.as_str()).collect();
        assert_eq!((revoked.len(), ids.len()), (6000, 6000));
        store.close().await;
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
            error.starts_with("the policy of the MCP server todo cannot be read")
                && error.contains("policy: EOF"),
            "{error}"
        );
        store.close().await;
    })
    .await;
}
