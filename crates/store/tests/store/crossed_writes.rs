//! What a transaction reads first is still so when it writes, on PostgreSQL too, where others do not wait by themselves.

use std::sync::Arc;

use authz::{ListKind, Policy};
use base::{Digest, OsRandom, random_token};
use domain::{
    AuditEventKind, ClientSecret, DefinitionState, GrantId, McpServer, ResourceServerCredential,
    ResourceServerId, ServiceToken, ServiceTokenId,
};
use store::{AliasAdded, DecideOutcome, InsertServiceToken, PublishOutcome, SeenDefinitions};
use tokio::sync::Barrier;

use crate::databases::on_every_database;
use crate::fixture::{Fixture, at, event, scopes, server};
use crate::races::{RACERS, races};
use crate::servers::definition;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_that_want_one_address_as_a_resource_or_an_alias_exactly_one_gets_it() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let todo = Fixture::new(&stores[0]).await.server.slug;
        for round in 0..races() {
            let url = format!("https://wanted.example/{round}");
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let store = stores[racer % 2].clone();
                let (todo, url, start) = (todo.clone(), url.clone(), Arc::clone(&start));
                racers.push(tokio::spawn(async move {
                    start.wait().await;
                    if racer % 4 < 2 {
                        let added = event(AuditEventKind::AliasAdded);
                        let added = store.add_alias(&todo, &url, None, added).await;
                        return added == Ok(AliasAdded::Added);
                    }
                    let wants = McpServer {
                        resource: url,
                        ..server(&format!("s{round}-{racer}"))
                    };
                    let added = event(AuditEventKind::ServerAdded);
                    store.insert_server(&wants, added).await.is_ok()
                }));
            }
            let mut got = 0;
            for racer in racers {
                got += usize::from(racer.await.unwrap());
            }
            assert_eq!(got, 1, "round {round}");
            // There is room for few.
            let removed = event(AuditEventKind::AliasRemoved);
            stores[0].remove_alias(&todo, &url, removed).await.unwrap();
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_secrets_and_credentials_given_at_once_one_has_no_end() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let fixture = Fixture::new(&stores[0]).await;
        for round in 0..races() / 5 {
            let start = Arc::new(Barrier::new(RACERS));
            let mut racers = Vec::new();
            for racer in 0..RACERS {
                let store = stores[racer % 2].clone();
                let (slug, client) = (fixture.server.slug.clone(), fixture.client.id.clone());
                let start = Arc::clone(&start);
                racers.push(tokio::spawn(async move {
                    let digest = Digest::of(random_token(&OsRandom, "pcs_"));
                    let id = ResourceServerId::random(&OsRandom);
                    let secret = ClientSecret {
                        digest,
                        client,
                        created_at: at(0),
                        expires_at: None,
                    };
                    let credential = ResourceServerCredential {
                        id: id.clone(),
                        server: slug.clone(),
                        digest,
                        created_at: at(0),
                        expires_at: None,
                    };
                    let made = |kind| event(kind);
                    start.wait().await;
                    let made_secret = made(AuditEventKind::ClientSecretCreated);
                    let given = store.add_client_secret(&slug, secret, at(100), made_secret);
                    assert!(given.await.unwrap());
                    let made = made(AuditEventKind::ServerCredentialCreated);
                    let given = store.add_resource_server_credential(credential, at(100), made);
                    assert!(given.await.unwrap());
                    id
                }));
            }
            let mut ids = Vec::new();
            for racer in racers {
                ids.push(racer.await.unwrap());
            }
            let mut endless = 0;
            for id in &ids {
                let slug = &fixture.server.slug;
                let kept = stores[0].find_resource_server_credential(slug, id).await;
                let kept = kept.unwrap();
                endless += usize::from(kept.is_some_and(|kept| kept.expires_at.is_none()));
            }
            assert_eq!(endless, 1, "credentials, round {round}");
            let client = &fixture.client.id;
            let kept = stores[0].list_client_secrets(client).await.unwrap();
            let endless = kept.iter().filter(|kept| kept.expires_at.is_none());
            assert_eq!(endless.count(), 1, "secrets, round {round}");
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_service_tokens_made_at_once_as_many_are_kept_as_may_be() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let fixture = Fixture::new(&stores[0]).await;
        let start = Arc::new(Barrier::new(RACERS));
        let mut racers = Vec::new();
        for racer in 0..RACERS {
            let store = stores[racer % 2].clone();
            let start = Arc::clone(&start);
            let token = ServiceToken {
                id: ServiceTokenId::at(at(0), &OsRandom),
                digest: Digest::of(random_token(&OsRandom, "pct_")),
                server: fixture.server.slug.clone(),
                user: None,
                name: "nightly".into(),
                scopes: scopes("todo:read"),
                grant: GrantId::at(at(0), &OsRandom),
                created_at: at(0),
                expires_at: at(1000),
                revoked_at: None,
            };
            racers.push(tokio::spawn(async move {
                let made = event(AuditEventKind::ServiceTokenCreated);
                start.wait().await;
                let inserted = store.insert_service_token(&token, 3, made).await;
                inserted.unwrap() == InsertServiceToken::Inserted
            }));
        }
        let mut kept = 0;
        for racer in racers {
            kept += usize::from(racer.await.unwrap());
        }
        assert_eq!(kept, 3);
        for store in stores {
            store.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_inventory_says_waits_is_not_taken_away_by_an_approval_of_another_one() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let todo = server("todo");
        let published = || event(AuditEventKind::PolicyPublished);
        let added = event(AuditEventKind::ServerAdded);
        stores[0].insert_server(&todo, added).await.unwrap();
        let waits = |words: &str, seen_at| SeenDefinitions {
            kept: vec![definition(words, DefinitionState::Pending, seen_at)],
            ..SeenDefinitions::default()
        };
        for round in 0..races() {
            let [first, second] = ["first", "second"].map(|words| format!("{words} {round}"));
            let found = stores[0].find_server(&todo.slug).await.unwrap();
            let revision = found.unwrap().policy_revision;
            let see = async |store: &store::Store, words: &str| {
                let (slug, seen) = (&todo.slug, waits(words, 1));
                let seen = store.publish_inventory(slug, revision, None, seen, published());
                seen.await.unwrap()
            };
            let kept = see(&stores[0], &first).await;
            assert_eq!(kept, PublishOutcome::Published(revision));
            let approved = definition(&first, DefinitionState::Pending, 1)
                .decided(DefinitionState::Accepted, at(2));
            let decide = async {
                let (store, policy) = (&stores[1], Policy::default());
                let decided = store.decide_definitions(
                    &todo.slug,
                    revision,
                    &policy,
                    vec![approved],
                    published(),
                );
                decided.await.unwrap()
            };
            let (decided, seen) = tokio::join!(decide, see(&stores[0], &second));
            let versions = stores[0]
                .list_versions(&todo.slug, ListKind::Tools, "add")
                .await
                .unwrap();
            let waiting: Vec<_> = versions
                .iter()
                .filter(|one| one.state == DefinitionState::Pending)
                .map(|one| one.fingerprint.clone())
                .collect();
            match seen {
                PublishOutcome::Published(_) => {
                    let second = definition(&second, DefinitionState::Pending, 1);
                    assert_eq!(waiting, [second.fingerprint], "round {round}: {decided:?}");
                    assert_eq!(decided, DecideOutcome::Changed("add".into()));
                }
                _ => assert_eq!(decided, DecideOutcome::Published(revision + 1)),
            }
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}
