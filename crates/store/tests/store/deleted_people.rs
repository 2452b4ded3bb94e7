//! Somebody who is deleted leaves an opaque id, and nobody else loses anything.

use std::time::Duration;

use base::{Digest, OsRandom, Timestamp, random_token};
use domain::{AuditEvent, AuditEventKind, ServiceToken, ServiceTokenId, User, UserId, UserRole};
use store::{
    DatabaseUrl, DeleteUser, InsertCode, InsertUser, Redeemed, Rotated, Store, StoreOptions,
    UserDeleted, UserDisabled,
};
use testkit::MovableClock;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{Fixture, at, event, redeem, rotate, scopes, session, user};

fn about(kind: AuditEventKind, user: &UserId, detail: &str) -> AuditEvent {
    AuditEvent {
        user: Some(user.clone()),
        detail: detail.to_owned(),
        ..event(kind)
    }
}

async fn delete(store: &Store, user: &UserId, now: Timestamp) -> UserDeleted {
    let delete = DeleteUser {
        user: user.clone(),
        remembered_until: now.after(Duration::from_secs(3600)),
        event: AuditEvent {
            at: now,
            ..about(AuditEventKind::UserDeleted, user, "")
        },
    };
    store.delete_user(delete).await.unwrap()
}

async fn service_token(fixture: &Fixture, name: &str) -> ServiceToken {
    let token = ServiceToken {
        id: ServiceTokenId::at(at(0), &OsRandom),
        digest: Digest::of(random_token(&OsRandom, "pct_")),
        server: fixture.server.slug.clone(),
        user: Some(fixture.user.id.clone()),
        name: name.to_owned(),
        scopes: scopes("todo:read"),
        grant: domain::GrantId::at(at(0), &OsRandom),
        created_at: at(0),
        expires_at: at(3600),
        revoked_at: None,
    };
    let words = format!("{name}: todo:read");
    let event = about(
        AuditEventKind::ServiceTokenCreated,
        &fixture.user.id,
        &words,
    );
    fixture
        .store
        .insert_service_token(&token, 10, event)
        .await
        .unwrap();
    token
}

/// A second person at the same server with the same client.
async fn neighbour(fixture: &Fixture) -> Fixture {
    let person = user("bob@example.com");
    let added = about(
        AuditEventKind::UserAdded,
        &person.id,
        "bob@example.com as member",
    );
    fixture.store.insert_user(&person, added).await.unwrap();
    let browser = session(&person);
    let began = event(AuditEventKind::UserSignedIn);
    assert!(
        fixture
            .store
            .insert_login_session(&browser, began)
            .await
            .unwrap()
    );
    Fixture {
        user: person,
        session: browser,
        ..fixture.clone()
    }
}

#[tokio::test]
async fn a_deleted_person_leaves_an_opaque_id_and_what_they_held_is_dead_and_their_neighbour_goes_on()
 {
    on_every_database(|database| async move {
        let store = database.open().await;
        let alice = Fixture::new(&store).await;
        let bob = neighbour(&alice).await;
        let id = &alice.user.id;
        // As releases before this one wrote it.
        for (kind, words) in [
            (AuditEventKind::UserAdded, "alice@example.com as member"),
            (AuditEventKind::UserDisabled, "Alice@Example.com"),
            (AuditEventKind::UserSignedIn, "ses_kept"),
        ] {
            store
                .insert_audit_event(about(kind, id, words))
                .await
                .unwrap();
        }
        let of_alice = (
            alice.refresh_token().await,
            alice.issued_code().await,
            service_token(&alice, "Alice's laptop").await,
        );
        let of_bob = (
            bob.refresh_token().await,
            bob.issued_code().await,
            service_token(&bob, "Bob's laptop").await,
        );
        let counter = store.change_counter().await.unwrap();
        assert_eq!(delete(&store, id, at(10)).await, UserDeleted::Deleted);
        assert!(
            store.change_counter().await.unwrap() > counter,
            "nodes hear of it"
        );
        let subjects = store.list_deleted_subjects(at(10)).await.unwrap();
        assert_eq!(subjects, [(id.clone(), at(3610))]);
        assert_eq!(store.list_deleted_subjects(at(3610)).await.unwrap(), []);
        assert_eq!(
            store.list_revoked_grants(-1, at(10)).await.unwrap(),
            [],
            "the person says it"
        );

        let (refresh, code, service) = of_alice;
        let rotated = store.rotate_refresh_token(rotate(&refresh, at(20))).await;
        assert_eq!(rotated.unwrap(), Rotated::FamilyEnded);
        let redeemed = store.redeem_code(redeem(&code, at(20))).await;
        assert_eq!(redeemed.unwrap(), Redeemed::Unknown);
        assert!(
            store
                .find_service_token(service.digest)
                .await
                .unwrap()
                .is_none()
        );
        let grant = store.find_grant(&refresh.family).await.unwrap().unwrap();
        assert_eq!((grant.ended, grant.person_is_live), (true, false));
        let cookie = alice.session.cookie_digest;
        assert!(store.find_login_session(cookie).await.unwrap().is_none());
        assert!(store.find_user(id).await.unwrap().is_none());

        let everything = database.content().await.join("\n").to_lowercase();
        for word in ["alice", "argon2id$v=19$x"] {
            // Bob has a password of the same shape.
            let times = everything.matches(word).count();
            assert_eq!(times, usize::from(word != "alice"), "{word}");
        }
        let events = store.list_audit_events_of(id, 0, 100).await.unwrap();
        let kinds = |kind| events.iter().filter(|kept| kept.event.kind == kind).count();
        assert_eq!(kinds(AuditEventKind::UserAdded), 1);
        assert_eq!(kinds(AuditEventKind::UserDeleted), 1);
        assert!(events.iter().any(|kept| kept.event.detail == "ses_kept"));

        let (refresh, code, service) = of_bob;
        let rotated = store.rotate_refresh_token(rotate(&refresh, at(20))).await;
        assert_eq!(rotated.unwrap(), Rotated::Fresh);
        let redeemed = store.redeem_code(redeem(&code, at(20))).await;
        assert_eq!(redeemed.unwrap(), Redeemed::Fresh);
        assert!(
            !store
                .find_service_token(service.digest)
                .await
                .unwrap()
                .unwrap()
                .ended
        );
        assert_eq!(
            store
                .list_consents_of(&bob.user.id, None, 10)
                .await
                .unwrap()
                .len(),
            1
        );
        assert!(everything.contains("bob@example.com as member"));
        // What ended goes with the next purges, though it was to live for longer.
        let two_days_later = at(3610 + 2 * 86_400 + 1);
        while store.purge_expired(two_days_later, 100).await.unwrap() > 0 {}
        assert_eq!(store.list_families_of(id, None, 10).await.unwrap().len(), 0);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn deleting_again_changes_nothing_and_the_address_comes_back_as_somebody_else() {
    on_every_store(|store| async move {
        let alice = Fixture::new(&store).await;
        alice.issued_code().await;
        let id = &alice.user.id;
        let stranger = UserId::random(&OsRandom);
        assert_eq!(delete(&store, &stranger, at(9)).await, UserDeleted::Unknown);
        assert_eq!(delete(&store, id, at(10)).await, UserDeleted::Deleted);
        let events = store.list_audit_events(0, 100).await.unwrap();
        assert_eq!(delete(&store, id, at(20)).await, UserDeleted::DeletedBefore);
        assert_eq!(store.list_audit_events(0, 100).await.unwrap(), events);
        let deleted = store.list_deleted_users().await.unwrap();
        assert_eq!((deleted.len(), deleted[0].deleted_at), (1, at(10)));

        let again = user("Alice@example.com");
        let added = event(AuditEventKind::UserAdded);
        assert_eq!(
            store.insert_user(&again, added).await.unwrap(),
            InsertUser::Inserted
        );
        assert_ne!(&again.id, id);
        assert_eq!(
            store
                .list_consents_of(&again.id, None, 10)
                .await
                .unwrap()
                .len(),
            0
        );
        assert_eq!(
            store
                .list_families_of(&again.id, None, 10)
                .await
                .unwrap()
                .len(),
            0
        );
        assert_eq!(
            store.list_audit_events_of(&again.id, 0, 10).await.unwrap(),
            []
        );
        let subjects = store.list_deleted_subjects(at(30)).await.unwrap();
        assert!(subjects.iter().all(|(subject, _)| *subject != again.id));
    })
    .await;
}

async fn owner(store: &Store, email: &str) -> User {
    let owner = User {
        role: UserRole::Owner,
        ..user(email)
    };
    let added = event(AuditEventKind::UserAdded);
    store.insert_user(&owner, added).await.unwrap();
    owner
}

#[tokio::test]
async fn the_last_owner_who_may_sign_in_is_not_deleted_and_one_of_two_is() {
    on_every_store(|store| async move {
        let first = owner(&store, "first@example.com").await;
        store
            .insert_user(
                &user("member@example.com"),
                event(AuditEventKind::UserAdded),
            )
            .await
            .unwrap();
        assert_eq!(
            delete(&store, &first.id, at(1)).await,
            UserDeleted::OnlyOwner
        );
        assert!(store.find_user(&first.id).await.unwrap().is_some());
        let second = owner(&store, "second@example.com").await;
        let disabled = event(AuditEventKind::UserDisabled);
        let disabled = store.disable_user(&second.id, at(3600), disabled).await;
        assert_eq!(disabled.unwrap(), UserDisabled::Disabled);
        assert_eq!(
            delete(&store, &first.id, at(2)).await,
            UserDeleted::OnlyOwner
        );
        store
            .enable_user(&second.id, event(AuditEventKind::UserEnabled))
            .await
            .unwrap();
        assert_eq!(delete(&store, &first.id, at(3)).await, UserDeleted::Deleted);
        assert_eq!(
            delete(&store, &second.id, at(4)).await,
            UserDeleted::OnlyOwner
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_who_delete_one_another_at_once_one_stays() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        for round in 0..10 {
            let owners = [
                owner(&stores[0], &format!("a{round}@example.com")).await,
                owner(&stores[0], &format!("b{round}@example.com")).await,
            ];
            let [first, second] = tokio::join!(
                delete(&stores[0], &owners[0].id, at(1)),
                delete(&stores[1], &owners[1].id, at(1))
            )
            .into();
            let outcomes = [first, second];
            // Whoever stayed in the round before is a third.
            let deleted = outcomes
                .iter()
                .filter(|one| **one == UserDeleted::Deleted)
                .count();
            assert_eq!(deleted, if round == 0 { 1 } else { 2 }, "{outcomes:?}");
        }
        let left = stores[0].list_users(None, 100).await.unwrap();
        assert_eq!(left.len(), 1, "of the first round");
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_arrives_after_the_deletion_is_refused_alone_and_before_it_is_taken() {
    on_every_store(|store| async move {
        let alice = Fixture::new(&store).await;
        let bob = neighbour(&alice).await;
        let browser = session(&alice.user);
        let sign_in = || event(AuditEventKind::UserSignedIn);
        assert!(
            store
                .insert_login_session(&browser, sign_in())
                .await
                .unwrap()
        );
        assert_eq!(
            delete(&store, &alice.user.id, at(10)).await,
            UserDeleted::Deleted
        );
        let late = session(&alice.user);
        assert!(!store.insert_login_session(&late, sign_in()).await.unwrap());
        // Both in one group, where there are groups.
        let code = |of: &Fixture| {
            store.insert_code(of.code(), of.consent(), event(AuditEventKind::ConsentGiven))
        };
        let (of_alice, of_bob) = tokio::join!(code(&alice), code(&bob));
        assert_eq!(of_alice.unwrap(), InsertCode::AlreadyThere);
        let consents = store.list_consents_of(&alice.user.id, None, 10).await;
        assert_eq!(consents.unwrap().len(), 0);
        assert_eq!(of_bob.unwrap(), InsertCode::Inserted);
        let disabled = event(AuditEventKind::UserDisabled);
        store
            .disable_user(&bob.user.id, at(3600), disabled)
            .await
            .unwrap();
        assert!(
            !store
                .insert_login_session(&session(&bob.user), sign_in())
                .await
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn a_long_and_hostile_name_leaves_no_byte_in_the_file_either() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let keeper = owner(&store, "keeper@example.com").await;
        let hostile = User {
            name: format!("{}\u{202e}\u{9b}31m<script>%_'", "Bobby ".repeat(2000)),
            ..user(&format!(
                "{}'--%`@{}.example",
                "x".repeat(59),
                "y".repeat(180)
            ))
        };
        let words = format!("{} as member", hostile.email);
        let added = about(AuditEventKind::UserAdded, &hostile.id, &words);
        store.insert_user(&hostile, added).await.unwrap();
        let found = store.find_user(&hostile.id).await.unwrap().unwrap();
        assert_eq!(
            (found.name, found.email),
            (hostile.name.clone(), hostile.email.clone())
        );
        assert_eq!(
            delete(&store, &hostile.id, at(1)).await,
            UserDeleted::Deleted
        );
        let everything = database.content().await.join("\n");
        assert!(everything.contains(keeper.email.as_str()));
        assert!(!everything.contains("xxxx") && !everything.contains("Bobby"));
        store.close().await;
        if let DatabaseUrl::Sqlite(path) = &database.url {
            let bytes = std::fs::read(path).unwrap();
            let holds = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
            assert!(holds(keeper.email.as_str().as_bytes()));
            for word in ["xxxxxxxx", "yyyyyyyy", "Bobby Bobby"] {
                assert!(!holds(word.as_bytes()), "{word}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_restored_backup_of_before_does_not_bring_a_deleted_person_back() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let alice = Fixture::new(&store).await;
        let bob = neighbour(&alice).await;
        service_token(&alice, "Alice's laptop").await;
        alice.refresh_token().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.db");
        store.copy_to(&path, at(5)).await.unwrap();
        assert_eq!(
            delete(&store, &alice.user.id, at(10)).await,
            UserDeleted::Deleted
        );
        let deleted = store.list_deleted_users().await.unwrap();

        let options = StoreOptions::new(DatabaseUrl::Sqlite(path.clone()));
        let restored = if matches!(database.url, DatabaseUrl::Sqlite(_)) {
            let restored = Store::open(options, &MovableClock::default())
                .await
                .unwrap();
            assert!(restored.find_user(&alice.user.id).await.unwrap().is_some());
            assert_eq!(
                restored
                    .delete_again(deleted.clone(), at(5000))
                    .await
                    .unwrap(),
                1
            );
            assert_eq!(
                restored
                    .delete_again(deleted.clone(), at(5000))
                    .await
                    .unwrap(),
                0
            );
            restored
        } else {
            store
                .replace_from(&path, true, "a test", at(15))
                .await
                .unwrap();
            store.clone()
        };
        assert!(restored.find_user(&alice.user.id).await.unwrap().is_none());
        assert!(restored.find_user(&bob.user.id).await.unwrap().is_some());
        assert_eq!(
            restored.list_deleted_users().await.unwrap(),
            deleted,
            "for the next restore"
        );
        let of_alice = restored
            .list_service_tokens(None, Some(&alice.user.id), None, 10)
            .await;
        assert_eq!(of_alice.unwrap().len(), 0);
        assert_eq!(
            restored.check_integrity().await.unwrap(),
            Vec::<String>::new()
        );
        let events = restored.list_audit_events(0, 100).await.unwrap();
        assert!(
            events
                .iter()
                .all(|kept| !kept.event.detail.contains("Alice"))
        );
        if matches!(database.url, DatabaseUrl::Sqlite(_)) {
            restored.close().await;
        }
        store.close().await;
    })
    .await;
}
