use base::Digest;
use domain::{AuditEventKind, ClientId, ClientRegistration, ServerSlug};
use store::{Registered, StoreError};

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, client, event, server};

#[tokio::test]
async fn a_client_comes_back_at_its_own_server_and_is_unknown_at_another() {
    on_every_store(|store| async move {
        let added = || event(AuditEventKind::ClientRegistered);
        let todo = server("todo");
        store.insert_server(&todo, added()).await.unwrap();
        let inspector = client(&todo);
        store
            .insert_client(&inspector, None, added())
            .await
            .unwrap();
        let found = store
            .find_client(&todo.slug, &inspector.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(format!("{found:?}"), format!("{inspector:?}"));
        let other = ServerSlug::parse("other").unwrap();
        assert!(
            store
                .find_client(&other, &inspector.id)
                .await
                .unwrap()
                .is_none()
        );
        let nul = ClientId::from_text("cli_\0");
        assert!(store.find_client(&todo.slug, &nul).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn the_same_registration_gives_the_same_client_and_a_different_one_a_new_client() {
    on_every_store(|store| async move {
        let added = || event(AuditEventKind::ClientRegistered);
        let todo = server("todo");
        store.insert_server(&todo, added()).await.unwrap();
        let first = client(&todo);
        let print = Digest::of("what was asked for");
        assert!(
            store
                .find_same_registration(&todo.slug, print)
                .await
                .unwrap()
                .is_none()
        );
        let insert = async |client, print| {
            store
                .insert_client(client, Some(print), added())
                .await
                .unwrap()
        };
        assert!(matches!(insert(&first, print).await, Registered::Inserted));
        let again = client(&todo);
        match insert(&again, print).await {
            Registered::Same(same) => assert_eq!(same.id, first.id),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            insert(&again, Digest::of("something else")).await,
            Registered::Inserted
        ));
        let found = store
            .find_same_registration(&todo.slug, print)
            .await
            .unwrap();
        assert_eq!(found.unwrap().id, first.id);
        let mut known = client(&todo);
        known.registration = ClientRegistration::PreRegistered;
        store.insert_client(&known, None, added()).await.unwrap();
        assert_eq!(store.count_dynamic_clients(&todo.slug).await.unwrap(), 2);
        assert_eq!(store.list_clients(None, 10).await.unwrap().len(), 3);
        assert_eq!(
            store.insert_client(&known, None, added()).await.err(),
            Some(StoreError::Conflict("a client with this id"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_client_of_no_server_is_refused() {
    on_every_store(|store| async move {
        let orphan = client(&server("todo"));
        let refused = store
            .insert_client(&orphan, None, event(AuditEventKind::ClientRegistered))
            .await;
        assert!(
            matches!(refused, Err(StoreError::Internal(_))),
            "{refused:?}"
        );
        assert!(store.list_clients(None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn unused_clients_are_forgotten_oldest_first_and_used_added_young_and_disabled_ones_stay() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let approved = event(AuditEventKind::ConsentGiven);
        store
            .insert_code(fixture.code(), fixture.consent(), approved)
            .await
            .unwrap();
        let register = async |created: i64, change: fn(&mut domain::Client)| {
            let mut client = client(&fixture.server);
            client.created_at = at(created);
            change(&mut client);
            let event = event(AuditEventKind::ClientRegistered);
            store.insert_client(&client, None, event).await.unwrap();
            client.id
        };
        let oldest = register(1, |_| {}).await;
        let old = register(2, |_| {}).await;
        let young = register(100, |_| {}).await;
        let disabled = register(1, |client| client.disabled_at = Some(at(2))).await;
        let added = register(1, |client| {
            client.registration = ClientRegistration::PreRegistered;
        })
        .await;
        let slug = &fixture.server.slug;
        let is_there = async |id: &ClientId| store.find_client(slug, id).await.unwrap().is_some();
        let forget = async |limit| {
            let forgotten = store.forget_unused_clients(slug, at(100), limit).await;
            forgotten.unwrap()
        };

        assert_eq!(forget(1).await, 1);
        assert!(!is_there(&oldest).await && is_there(&old).await);
        assert_eq!(forget(10).await, 1);
        assert!(!is_there(&old).await);
        for kept in [&fixture.client.id, &young, &disabled, &added] {
            assert!(is_there(kept).await, "{kept}");
        }
        let other = ServerSlug::parse("other").unwrap();
        let elsewhere = store.forget_unused_clients(&other, at(1000), 10).await;
        assert_eq!(elsewhere, Ok(0));
    })
    .await;
}
