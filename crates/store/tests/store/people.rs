use base::{Digest, Secret};
use domain::{AuditEventKind, EmailAddress, UserRole};
use store::{InsertUser, SetupSpent};

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, event, session, user};

#[tokio::test]
async fn a_person_is_found_by_id_and_by_address_in_any_letter_case() {
    on_every_store(|store| async move {
        let alice = user("Alice@Example.com");
        let added = || event(AuditEventKind::UserAdded);
        assert_eq!(
            store.insert_user(&alice, added()).await.unwrap(),
            InsertUser::Inserted
        );
        assert_eq!(
            store
                .insert_user(&user("alice@example.COM"), added())
                .await
                .unwrap(),
            InsertUser::EmailTaken
        );
        let found = store.find_user(&alice.id).await.unwrap().unwrap();
        assert_eq!(found.email.as_str(), "Alice@Example.com");
        assert_eq!(
            found.password_hash.unwrap().expose(),
            alice.password_hash.as_ref().unwrap().expose()
        );
        let address = EmailAddress::parse("ALICE@example.com").unwrap();
        let by_email = store.find_user_by_email(&address).await.unwrap().unwrap();
        assert_eq!(by_email.id, alice.id);
        assert_eq!(store.count_users().await.unwrap(), 1);
        assert_eq!(store.list_audit_events(0, 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn people_are_listed_page_by_page_without_gap_or_repeat() {
    on_every_store(|store| async move {
        let mut written = Vec::new();
        for number in 0..5 {
            let person = user(&format!("u{number}@example.com"));
            store
                .insert_user(&person, event(AuditEventKind::UserAdded))
                .await
                .unwrap();
            written.push(person.id);
        }
        let mut listed = Vec::new();
        loop {
            let page = store.list_users(listed.last(), 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 2);
            listed.extend(page.into_iter().map(|person| person.id));
        }
        written.sort();
        listed.sort();
        assert_eq!(listed, written);
    })
    .await;
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_of_its_person() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let (found, person) = store
            .find_login_session(fixture.session.cookie_digest)
            .await
            .unwrap()
            .unwrap();
        assert!(found.is_live(at(1)));
        assert_eq!(person.id, fixture.user.id);
        let changed = store
            .set_password(
                &fixture.user.id,
                Secret::new("new".into()),
                event(AuditEventKind::UserAdded),
            )
            .await
            .unwrap();
        assert!(changed);
        let (found, person) = store
            .find_login_session(fixture.session.cookie_digest)
            .await
            .unwrap()
            .unwrap();
        assert!(!found.is_live(at(1)));
        assert_eq!(person.password_hash.unwrap().expose(), "new");
        let nobody = user("nobody@example.com").id;
        let missing = store
            .set_password(
                &nobody,
                Secret::new("x".into()),
                event(AuditEventKind::UserAdded),
            )
            .await
            .unwrap();
        assert!(!missing);
    })
    .await;
}

#[tokio::test]
async fn signing_out_ends_the_session_once() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let end = async || {
            store
                .end_login_session(&fixture.session.id, at(5), event(AuditEventKind::SignedOut))
                .await
                .unwrap()
        };
        assert!(end().await);
        assert!(!end().await);
        let (found, _) = store
            .find_login_session(fixture.session.cookie_digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.ended_at, Some(at(5)));
        assert!(
            store
                .find_login_session(Digest::of("no such cookie"))
                .await
                .unwrap()
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn a_setup_link_makes_one_owner_and_then_says_that_it_was_used() {
    on_every_store(|store| async move {
        let link = Digest::of("pcs_1");
        store.replace_setup_token(link, at(600)).await.unwrap();
        assert!(store.setup_token_is_live(link, at(1)).await.unwrap());
        assert!(!store.setup_token_is_live(link, at(600)).await.unwrap());
        let mut owner = user("owner@example.com");
        owner.role = UserRole::Owner;
        let browser = session(&owner);
        let spend = async |link| {
            store
                .consume_setup_token(link, &owner, &browser, event(AuditEventKind::SetupLinkUsed))
                .await
                .unwrap()
        };
        assert_eq!(spend(Digest::of("other")).await, SetupSpent::Unknown);
        assert_eq!(spend(link).await, SetupSpent::Fresh);
        assert_eq!(spend(link).await, SetupSpent::Repeated);
        assert!(!store.setup_token_is_live(link, at(1)).await.unwrap());
        assert_eq!(store.count_users().await.unwrap(), 1);
        let (found, person) = store
            .find_login_session(browser.cookie_digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(person.role, UserRole::Owner);
        assert!(found.is_live(at(1)));
    })
    .await;
}

#[tokio::test]
async fn a_setup_link_goes_when_it_is_replaced_and_when_somebody_was_added_otherwise() {
    on_every_store(|store| async move {
        let link = Digest::of("pcs_1");
        store.replace_setup_token(link, at(600)).await.unwrap();
        let next = Digest::of("pcs_2");
        store.replace_setup_token(next, at(600)).await.unwrap();
        assert!(!store.setup_token_is_live(link, at(1)).await.unwrap());
        assert!(store.setup_token_is_live(next, at(1)).await.unwrap());

        Fixture::new(&store).await;
        assert!(!store.setup_token_is_live(next, at(1)).await.unwrap());
        let second_owner = user("second@example.com");
        let spent = store
            .consume_setup_token(
                next,
                &second_owner,
                &session(&second_owner),
                event(AuditEventKind::SetupLinkUsed),
            )
            .await;
        assert_eq!(spent, Ok(SetupSpent::Unknown));
        assert_eq!(store.count_users().await.unwrap(), 1);
    })
    .await;
}
