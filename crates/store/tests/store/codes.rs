use base::Digest;
use domain::AuditEventKind;
use store::{InsertCode, Redeemed};

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{Fixture, at, event, redeem, scopes};

#[tokio::test]
async fn a_code_comes_back_as_it_was_written_and_its_consent_is_remembered() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let code = fixture.issued_code().await;
        let found = store.find_code(code.digest).await.unwrap().unwrap();
        assert_eq!(format!("{:?}", found.code), format!("{code:?}"));
        assert!(!found.user_disabled && !found.client_disabled);
        let consent = store
            .find_consent(
                &fixture.user.id,
                &fixture.server.slug,
                &fixture.client.id,
                &code.redirect_uri,
            )
            .await
            .unwrap()
            .unwrap();
        assert_eq!(consent.scopes, scopes("todo:write todo:read"));
        let elsewhere = store
            .find_consent(
                &fixture.user.id,
                &fixture.server.slug,
                &fixture.client.id,
                "http://127.0.0.1/other",
            )
            .await
            .unwrap();
        assert!(elsewhere.is_none());
        assert!(
            store
                .find_code(Digest::of("no such code"))
                .await
                .unwrap()
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn a_consent_form_sent_twice_shares_one_code() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let code = fixture.code();
        let insert = async |approved: &str| {
            let mut consent = fixture.consent();
            consent.scopes = scopes(approved);
            store
                .insert_code(code.clone(), consent, event(AuditEventKind::ConsentGiven))
                .await
                .unwrap()
        };
        assert_eq!(insert("todo:read").await, InsertCode::Inserted);
        assert_eq!(
            insert("todo:read todo:write").await,
            InsertCode::AlreadyThere
        );
        let consent = store
            .find_consent(
                &fixture.user.id,
                &fixture.server.slug,
                &fixture.client.id,
                &code.redirect_uri,
            )
            .await
            .unwrap()
            .unwrap();
        assert_eq!(consent.scopes, scopes("todo:read"));
        store.redeem_code(redeem(&code, at(1))).await.unwrap();
        assert_eq!(insert("todo:read").await, InsertCode::AlreadyRedeemed);
        // A later approval replaces what is remembered.
        let mut wider = fixture.consent();
        wider.scopes = scopes("todo:delete");
        store
            .insert_code(fixture.code(), wider, event(AuditEventKind::ConsentGiven))
            .await
            .unwrap();
        let consent = store
            .find_consent(
                &fixture.user.id,
                &fixture.server.slug,
                &fixture.client.id,
                &code.redirect_uri,
            )
            .await
            .unwrap()
            .unwrap();
        assert_eq!(consent.scopes, scopes("todo:delete"));
    })
    .await;
}

#[tokio::test]
async fn a_code_is_redeemed_once_and_begins_the_family_of_its_grant() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let code = fixture.issued_code().await;
        let first = redeem(&code, at(1));
        let token = first.refresh.clone().unwrap();
        let events = store.list_audit_events(0, 100).await.unwrap().len();
        assert_eq!(store.redeem_code(first).await.unwrap(), Redeemed::Fresh);
        let second = redeem(&code, at(2));
        let never = second.refresh.clone().unwrap();
        assert_eq!(
            store.redeem_code(second).await.unwrap(),
            Redeemed::Repeated {
                grant: code.grant.clone()
            }
        );
        let found = store.find_code(code.digest).await.unwrap().unwrap();
        assert_eq!(found.code.redeemed_at, Some(at(1)));
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.family.id, code.grant);
        assert_eq!(found.family.scopes, code.scopes);
        assert_eq!(found.family.user, code.user);
        assert_eq!(found.family.redirect_uri, Some(code.redirect_uri.clone()));
        let families = store.list_families_of(&code.user, None, 10).await.unwrap();
        assert_eq!(families[0].redirect_uri, Some(code.redirect_uri.clone()));
        assert_eq!(found.family.created_at, at(1));
        assert_eq!(found.family.expires_at, at(1001));
        assert!(found.family.ended.is_none());
        assert_eq!(found.token.generation, 0);
        assert!(
            store
                .find_refresh_token(never.digest)
                .await
                .unwrap()
                .is_none()
        );
        // One event: the repeat wrote nothing.
        let after = store.list_audit_events(0, 100).await.unwrap().len();
        assert_eq!(after, events + 1);
    })
    .await;
}

#[tokio::test]
async fn an_expired_code_is_unknown_and_a_live_one_without_refresh_token_is_redeemed() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let code = fixture.issued_code().await;
        assert_eq!(
            store.redeem_code(redeem(&code, at(60))).await.unwrap(),
            Redeemed::Unknown
        );
        let mut plain = redeem(&code, at(59));
        plain.refresh = None;
        assert_eq!(store.redeem_code(plain).await.unwrap(), Redeemed::Fresh);
        let unknown = redeem(&fixture.code(), at(1));
        assert_eq!(store.redeem_code(unknown).await.unwrap(), Redeemed::Unknown);
    })
    .await;
}

#[tokio::test]
async fn a_code_says_when_its_person_or_client_was_disabled() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let fixture = Fixture::new(&store).await;
        let code = fixture.issued_code().await;
        let token = fixture.refresh_token().await;
        database.tamper("UPDATE app_user SET disabled_at = 1").await;
        let found = store.find_code(code.digest).await.unwrap().unwrap();
        assert!(found.user_disabled && !found.client_disabled);
        database.tamper("UPDATE client SET disabled_at = 1").await;
        let found = store.find_code(code.digest).await.unwrap().unwrap();
        assert!(found.user_disabled && found.client_disabled);
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(found.user_disabled && found.client_disabled);
        store.close().await;
    })
    .await;
}
