//! Several changes in one transaction, if nobody changed anything meanwhile.

use std::sync::Arc;

use authz::Policy;
use domain::{
    AuditEventKind, Client, ClientRegistration, ClientTrust, ServerSettingsChange, TrustDecision,
    UserRole,
};
use store::{Applied, Apply, Change, EndClient, SettingsChanged, Store, StoreError};
use tokio::sync::Barrier;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{at, client, event, server, user};

async fn apply(store: &Store, changes: Vec<Change>) -> Result<Applied, StoreError> {
    let expected = store.read_declared().await.unwrap().digest();
    store.apply(Apply { expected, changes }).await
}

fn renamed(name: &str) -> Change {
    let mut server = server("todo");
    server.name = name.to_owned();
    Change::UpdateServer(Box::new(server), event(AuditEventKind::ServerChanged))
}

#[tokio::test]
async fn all_changes_of_one_apply_are_there_with_an_event_each() {
    on_every_store(|store| async move {
        let (todo, old) = (server("todo"), server("old"));
        for server in [&todo, &old] {
            let added = event(AuditEventKind::ServerAdded);
            store.insert_server(server, added).await.unwrap();
        }
        let mut added = client(&todo);
        added.registration = ClientRegistration::PreRegistered;
        let person = user("ann@example.com");
        let before = store.change_counter().await.unwrap();
        let trust = ClientTrust {
            server: todo.slug.clone(),
            client: domain::ClientId::from_text("https://client.example/oauth.json"),
            decision: TrustDecision::Blocked,
            at: at(0),
            by: None,
        };
        let changes = vec![
            Change::RemoveServer(old.slug.clone(), event(AuditEventKind::ServerRemoved)),
            renamed("Renamed"),
            Change::ChangeServerSettings(
                todo.slug.clone(),
                ServerSettingsChange {
                    access_token_seconds: Some(600),
                    ..ServerSettingsChange::default()
                },
                event(AuditEventKind::ServerChanged),
            ),
            Change::PublishPolicy {
                slug: todo.slug.clone(),
                expected_revision: 1,
                policy: Box::new(Policy::default()),
                event: event(AuditEventKind::PolicyPublished),
            },
            Change::InsertServer(Box::new(server("new")), event(AuditEventKind::ServerAdded)),
            Change::InsertClient(Box::new(added.clone()), event(AuditEventKind::ClientAdded)),
            Change::UpdateClient(
                Box::new(Client {
                    name: "Another name".to_owned(),
                    ..added.clone()
                }),
                event(AuditEventKind::ClientChanged),
            ),
            Change::BlockClient(EndClient {
                server: todo.slug.clone(),
                client: added.id.clone(),
                now: at(0),
                issued_before: at(1),
                remembered_until: at(3600),
                event: event(AuditEventKind::ClientBlocked),
            }),
            Change::DecideClientTrust {
                decided: trust.clone(),
                revocation_until: at(3600),
                event: event(AuditEventKind::ClientBlocked),
            },
            Change::InsertUser(Box::new(person.clone()), event(AuditEventKind::UserAdded)),
            Change::UpdateUser {
                user: person.id.clone(),
                name: "Ann B.".to_owned(),
                role: UserRole::Owner,
                event: event(AuditEventKind::UserChanged),
            },
            Change::DisableUser {
                user: person.id.clone(),
                revocation_until: at(3600),
                event: event(AuditEventKind::UserDisabled),
            },
        ];
        let events = changes.len();
        assert_eq!(apply(&store, changes).await, Ok(Applied::Done));
        let now = store.read_declared().await.unwrap();
        let slugs: Vec<&str> = now.servers.iter().map(|one| one.slug.as_str()).collect();
        assert_eq!(slugs, ["new", "todo"]);
        assert_eq!(now.servers[1].name, "Renamed");
        assert_eq!(now.servers[1].settings.access_token_seconds, 600);
        assert_eq!(now.servers[1].policy_revision, 2);
        assert!(now.clients[0].disabled_at.is_some());
        assert_eq!(now.decisions, [trust]);
        assert_eq!(now.people[0].name, "Ann B.");
        assert_eq!(now.people[0].role, UserRole::Owner);
        assert!(now.people[0].disabled_at.is_some());
        assert!(store.change_counter().await.unwrap() > before);
        let told = store.list_audit_events(0, 100).await.unwrap();
        assert_eq!(told.len(), 2 + events);
        let newest = store.list_newest_audit_events(1).await.unwrap();
        assert_eq!(newest[0].event.kind, AuditEventKind::UserDisabled);
    })
    .await;
}

#[tokio::test]
async fn one_change_that_cannot_be_made_undoes_all_and_another_slug_is_accepted() {
    on_every_store(|store| async move {
        let added = || event(AuditEventKind::ServerAdded);
        for server in [server("todo"), server("gone")] {
            store.insert_server(&server, added()).await.unwrap();
        }
        let gone = server("gone").slug;
        let removed = event(AuditEventKind::ServerRemoved);
        assert!(store.remove_server(&gone, removed).await.unwrap());
        let events = store.list_audit_events(0, 100).await.unwrap();
        let with = |slug: &str| {
            let insert = Change::InsertServer(Box::new(server(slug)), added());
            vec![renamed("Renamed"), insert]
        };
        assert_eq!(
            apply(&store, with("gone")).await,
            Err(StoreError::Conflict("a server with this slug"))
        );
        let todo = store.find_server(&server("todo").slug).await.unwrap();
        assert_eq!(todo.unwrap().name, server("todo").name);
        assert_eq!(store.list_audit_events(0, 100).await.unwrap(), events);
        assert_eq!(apply(&store, with("here")).await, Ok(Applied::Done));
        assert_eq!(store.list_servers().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_apply_made_up_before_another_change_is_stale_and_changes_nothing() {
    on_every_store(|store| async move {
        let added = event(AuditEventKind::ServerAdded);
        store.insert_server(&server("todo"), added).await.unwrap();
        let expected = store.read_declared().await.unwrap().digest();
        let changes = vec![renamed("Renamed")];
        let person = user("ann@example.com");
        let added = event(AuditEventKind::UserAdded);
        store.insert_user(&person, added).await.unwrap();
        let late = Apply { expected, changes };
        assert_eq!(store.apply(late.clone()).await, Ok(Applied::Stale));
        let todo = store.find_server(&server("todo").slug).await.unwrap();
        assert_eq!(todo.unwrap().name, server("todo").name);
        assert_eq!(apply(&store, late.changes).await, Ok(Applied::Done));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_apply_to_one_state_one_wins_and_no_command_beside_them_is_lost() {
    on_every_database(|database| async move {
        let stores = [database.open().await, database.open().await];
        let added = event(AuditEventKind::ServerAdded);
        stores[0]
            .insert_server(&server("todo"), added)
            .await
            .unwrap();
        for round in 0..10u64 {
            let now = stores[0].read_declared().await.unwrap();
            let start = Arc::new(Barrier::new(3));
            let mut racers = Vec::new();
            for (racer, store) in stores.iter().cloned().enumerate() {
                let (start, expected) = (Arc::clone(&start), now.digest());
                let mut todo = now.servers[0].clone();
                todo.name = format!("{round} by {racer}");
                let changed = event(AuditEventKind::ServerChanged);
                let changes = vec![Change::UpdateServer(Box::new(todo), changed)];
                racers.push(tokio::spawn(async move {
                    start.wait().await;
                    store.apply(Apply { expected, changes }).await
                }));
            }
            let seconds = 600 + round;
            let change = ServerSettingsChange {
                access_token_seconds: Some(seconds),
                ..ServerSettingsChange::default()
            };
            start.wait().await;
            let slug = server("todo").slug;
            // As a person would, it is said again when somebody else was faster.
            let set = loop {
                let changed = event(AuditEventKind::ServerChanged);
                let set = stores[1].change_server_settings(&slug, change.clone(), changed);
                match set.await {
                    Err(StoreError::Conflict(_)) => {}
                    done => break done.unwrap(),
                }
            };
            assert!(matches!(set, SettingsChanged::Changed { .. }));
            let mut outcomes = Vec::new();
            for racer in racers {
                outcomes.push(racer.await.unwrap().unwrap());
            }
            let done = outcomes.iter().filter(|one| **one == Applied::Done);
            assert!(done.count() <= 1, "{outcomes:?}");
            let after = stores[0].find_server(&slug).await.unwrap().unwrap();
            assert_eq!(after.settings.access_token_seconds, seconds);
            match outcomes.iter().position(|one| *one == Applied::Done) {
                Some(winner) => assert_eq!(after.name, format!("{round} by {winner}")),
                None => assert_eq!(after.name, now.servers[0].name),
            }
        }
        // Without anybody beside them, one of two wins each time.
        for round in 0..10 {
            let now = stores[0].read_declared().await.unwrap();
            let both = stores.iter().map(|store| {
                let mut todo = now.servers[0].clone();
                todo.name = format!("alone {round}");
                let changed = event(AuditEventKind::ServerChanged);
                store.apply(Apply {
                    expected: now.digest(),
                    changes: vec![Change::UpdateServer(Box::new(todo), changed)],
                })
            });
            let outcomes = futures_util::future::join_all(both).await;
            let done = outcomes.iter().filter(|one| **one == Ok(Applied::Done));
            assert_eq!(done.count(), 1, "{outcomes:?}");
        }
        for store in stores {
            store.close().await;
        }
    })
    .await;
}
