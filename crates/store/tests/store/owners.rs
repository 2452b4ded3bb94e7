//! Somebody can open the dashboard, whoever adds, disables and deletes people at once; and nobody is an owner unawares.

use std::sync::Arc;

use base::{Digest, OsRandom, random_token};
use domain::{AuditEventKind, User, UserRole};
use store::{DeleteUser, SetupSpent, Store, UserDeleted, UserDisabled};
use tokio::sync::Barrier;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{at, event, session, user};
use crate::races::{RACERS, races};

fn owner(email: &str) -> User {
    User {
        role: UserRole::Owner,
        ..user(email)
    }
}

async fn insert(store: &Store, person: User) -> User {
    let added = event(AuditEventKind::UserAdded);
    store.insert_user(&person, added).await.unwrap();
    person
}

async fn disable(store: &Store, person: &User) -> UserDisabled {
    let disabled = event(AuditEventKind::UserDisabled);
    store
        .disable_user(&person.id, at(3600), disabled)
        .await
        .unwrap()
}

async fn delete(store: &Store, person: &User) -> UserDeleted {
    let delete = DeleteUser {
        user: person.id.clone(),
        remembered_until: at(3600),
        event: event(AuditEventKind::UserDeleted),
    };
    store.delete_user(delete).await.unwrap()
}

/// Those who can open the dashboard.
async fn owners_who_can_sign_in(store: &Store) -> Vec<User> {
    let mut people = store.list_users(None, 1000).await.unwrap();
    people.retain(|person| {
        person.role == UserRole::Owner
            && person.disabled_at.is_none()
            && person.password_hash.is_some()
    });
    people
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_who_are_the_first_person_at_once_exactly_one_is_an_owner() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        for round in 0..races() {
            database.tamper("DELETE FROM login_session").await;
            database.tamper("DELETE FROM app_user").await;
            let link = Digest::of(random_token(&OsRandom, "pcs_"));
            stores[0].replace_setup_token(link, at(60)).await.unwrap();
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let store = stores[racer % 2].clone();
                let start = Arc::clone(&start);
                racers.push(tokio::spawn(async move {
                    let email = format!("p{racer}@example.com");
                    start.wait().await;
                    // One uses the setup page, the others a command.
                    if racer == 0 {
                        let owner = owner(&email);
                        let session = session(&owner);
                        let used = event(AuditEventKind::SetupLinkUsed);
                        let spent = store.consume_setup_token(link, &owner, &session, used);
                        return spent.await.unwrap() == SetupSpent::Fresh;
                    }
                    let added = event(AuditEventKind::UserAdded);
                    let added = store.insert_user_or_first_owner(user(&email), added).await;
                    added.unwrap().unwrap().role == UserRole::Owner
                }));
            }
            let mut first = 0;
            for racer in racers {
                first += usize::from(racer.await.unwrap());
            }
            let owners = owners_who_can_sign_in(&stores[0]).await;
            assert_eq!((first, owners.len()), (1, 1), "round {round}: {owners:?}");
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_person_is_an_owner_and_the_second_is_not_and_the_events_say_so() {
    on_every_store(|store| async move {
        let mut roles = Vec::new();
        for email in ["first@example.com", "second@example.com"] {
            let added = event(AuditEventKind::UserAdded);
            let added = store.insert_user_or_first_owner(user(email), added).await;
            let added = added.unwrap().unwrap();
            let kept = store.find_user(&added.id).await.unwrap().unwrap();
            assert_eq!(kept.role, added.role);
            roles.push(added.role);
        }
        assert_eq!(roles, [UserRole::Owner, UserRole::Member]);
        let events = store.list_audit_events(0, 10).await.unwrap();
        let words: Vec<&str> = events
            .iter()
            .map(|kept| kept.event.detail.as_str())
            .collect();
        assert_eq!(words, ["as owner", "as member"]);
        let added = event(AuditEventKind::UserAdded);
        let taken = user("FIRST@example.com");
        let taken = store.insert_user_or_first_owner(taken, added).await;
        assert!(taken.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_owners_who_are_disabled_or_deleted_at_once_one_stays() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        for round in 0..races() {
            let before = owners_who_can_sign_in(&stores[0]).await;
            let mut owners = Vec::new();
            for racer in 0..RACERS {
                let email = format!("p{racer}-{round}@example.com");
                owners.push(insert(&stores[0], owner(&email)).await);
            }
            for one in &before {
                assert_eq!(disable(&stores[0], one).await, UserDisabled::Disabled);
            }
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for (racer, owner) in owners.into_iter().enumerate() {
                let store = stores[racer % 2].clone();
                let start = Arc::clone(&start);
                racers.push(tokio::spawn(async move {
                    start.wait().await;
                    match racer % 4 {
                        0 => delete(&store, &owner).await == UserDeleted::OnlyOwner,
                        _ => disable(&store, &owner).await == UserDisabled::OnlyOwner,
                    }
                }));
            }
            let mut refused = 0;
            for racer in racers {
                refused += usize::from(racer.await.unwrap());
            }
            let owners = owners_who_can_sign_in(&stores[0]).await;
            assert_eq!((refused, owners.len()), (1, 1), "round {round}: {owners:?}");
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_owner_without_a_password_does_not_let_the_one_who_can_sign_in_go() {
    on_every_store(|store| async move {
        let first = insert(&store, owner("first@example.com")).await;
        let filed = User {
            password_hash: None,
            ..owner("filed@example.com")
        };
        let filed = insert(&store, filed).await;
        assert_eq!(delete(&store, &first).await, UserDeleted::OnlyOwner);
        assert_eq!(disable(&store, &first).await, UserDisabled::OnlyOwner);
        assert_eq!(owners_who_can_sign_in(&store).await.len(), 1);
        let hash = base::Secret::new("$argon2id$v=19$x".to_owned());
        let given = event(AuditEventKind::UserChanged);
        let given = store.give_first_password(&filed.id, hash, given).await;
        assert!(given.unwrap());
        assert_eq!(disable(&store, &first).await, UserDisabled::Disabled);
        assert_eq!(delete(&store, &first).await, UserDeleted::Deleted);
        assert_eq!(delete(&store, &filed).await, UserDeleted::OnlyOwner);
    })
    .await;
}
