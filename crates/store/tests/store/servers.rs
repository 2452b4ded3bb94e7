use authz::{Entry, EntryState, ListKind, Mode, Policy, Requirement};
use domain::{AuditEventKind, DefinitionState, ServerSlug, StoredDefinition, Upstream};
use store::{DecideOutcome, PublishOutcome, SeenDefinitions, StoreError};
use wire::mcp::Json;
use wire::mcp::definition::Definition;

use crate::databases::{on_every_database, on_every_store};
use crate::fixture::{at, client, event, server};

#[tokio::test]
async fn a_server_comes_back_as_it_was_written() {
    on_every_store(|store| async move {
        let todo = server("todo");
        store
            .insert_server(&todo, event(AuditEventKind::ServerAdded))
            .await
            .unwrap();
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{todo:?}"));
        let other = ServerSlug::parse("other").unwrap();
        assert!(store.find_server(&other).await.unwrap().is_none());
        assert_eq!(store.list_servers().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_slug_or_a_resource_is_given_once_and_another_server_is_accepted() {
    on_every_store(|store| async move {
        let added = || event(AuditEventKind::ServerAdded);
        store.insert_server(&server("todo"), added()).await.unwrap();
        assert_eq!(
            store.insert_server(&server("todo"), added()).await,
            Err(StoreError::Conflict("a server with this slug"))
        );
        let mut same_resource = server("notes");
        same_resource.resource = server("todo").resource;
        assert_eq!(
            store.insert_server(&same_resource, added()).await,
            Err(StoreError::Conflict("a server with this resource"))
        );
        store
            .insert_server(&server("notes"), added())
            .await
            .unwrap();
        assert_eq!(store.list_servers().await.unwrap().len(), 2);
        assert_eq!(store.list_audit_events(0, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_update_changes_name_upstream_and_settings_alone_and_is_counted() {
    on_every_store(|store| async move {
        let changed = || event(AuditEventKind::ServerChanged);
        assert!(
            !store
                .update_server(&server("todo"), changed())
                .await
                .unwrap()
        );
        store
            .insert_server(&server("todo"), event(AuditEventKind::ServerAdded))
            .await
            .unwrap();
        let before = store.change_counter().await.unwrap();
        let mut todo = server("todo");
        todo.name = "Other".into();
        todo.upstream = Upstream::Todo;
        todo.settings.strict_rotation = true;
        todo.resource = "http://elsewhere/mcp".into();
        assert!(store.update_server(&todo, changed()).await.unwrap());
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!(found.name, "Other");
        assert_eq!(found.upstream, Upstream::Todo);
        assert!(found.settings.strict_rotation);
        assert_eq!(found.resource, server("todo").resource);
        assert_eq!(store.change_counter().await.unwrap(), before + 1);
    })
    .await;
}

#[tokio::test]
async fn a_policy_is_published_over_the_expected_revision_only() {
    on_every_store(|store| async move {
        let todo = server("todo");
        store
            .insert_server(&todo, event(AuditEventKind::ServerAdded))
            .await
            .unwrap();
        let policy = Policy {
            mode: Mode::Observe,
            ..Policy::default()
        };
        let publish = async |slug: &str, revision| {
            store
                .publish_policy(
                    &ServerSlug::parse(slug).unwrap(),
                    revision,
                    &policy,
                    event(AuditEventKind::PolicyPublished),
                )
                .await
                .unwrap()
        };
        let before = store.change_counter().await.unwrap();
        assert_eq!(publish("todo", 1).await, PublishOutcome::Published(2));
        assert_eq!(publish("todo", 1).await, PublishOutcome::Stale(2));
        assert_eq!(publish("nobody", 1).await, PublishOutcome::Unknown);
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!((found.policy, found.policy_revision), (policy.clone(), 2));
        assert_eq!(store.change_counter().await.unwrap(), before + 1);
    })
    .await;
}

#[tokio::test]
async fn a_removed_server_is_unknown_and_its_slug_is_never_given_again() {
    on_every_store(|store| async move {
        let added = || event(AuditEventKind::ServerAdded);
        let removed = || event(AuditEventKind::ServerRemoved);
        let todo = server("todo");
        store.insert_server(&todo, added()).await.unwrap();
        store
            .insert_server(&server("notes"), added())
            .await
            .unwrap();
        let mut waiting = client(&todo);
        waiting.waiting_since = Some(at(1));
        store
            .insert_client(&waiting, None, event(AuditEventKind::ClientRegistered))
            .await
            .unwrap();
        assert_eq!(store.list_waiting_clients(10).await.unwrap().len(), 1);
        let before = store.change_counter().await.unwrap();
        assert!(store.remove_server(&todo.slug, removed()).await.unwrap());
        assert!(store.list_waiting_clients(10).await.unwrap().is_empty());
        assert_eq!(store.change_counter().await.unwrap(), before + 1);

        assert!(store.find_server(&todo.slug).await.unwrap().is_none());
        assert_eq!(store.list_servers().await.unwrap().len(), 1);
        assert!(
            !store
                .update_server(&todo, event(AuditEventKind::ServerChanged))
                .await
                .unwrap()
        );
        let published = store
            .publish_policy(
                &todo.slug,
                todo.policy_revision,
                &todo.policy,
                event(AuditEventKind::PolicyPublished),
            )
            .await;
        assert_eq!(published, Ok(PublishOutcome::Unknown));
        assert!(!store.remove_server(&todo.slug, removed()).await.unwrap());
        assert_eq!(store.change_counter().await.unwrap(), before + 1);

        assert_eq!(
            store.insert_server(&todo, added()).await,
            Err(StoreError::Conflict("a server with this slug"))
        );
        let mut next = server("todo-2");
        next.resource = todo.resource;
        store.insert_server(&next, added()).await.unwrap();
    })
    .await;
}

pub fn definition(words: &str, state: DefinitionState, seen_at: i64) -> StoredDefinition {
    let tool = Json::object([
        ("name", Json::from("add")),
        ("description", Json::from(words)),
    ]);
    let read = Definition::read(ListKind::Tools, tool).unwrap();
    StoredDefinition::seen(&read, state, at(seen_at))
}

#[tokio::test]
async fn an_approval_counts_for_the_definition_that_waits_and_for_no_other() {
    use DefinitionState::{Accepted, Pending, Rejected};
    on_every_store(|store| async move {
        let todo = server("todo");
        let published = || event(AuditEventKind::PolicyPublished);
        let added = event(AuditEventKind::ServerAdded);
        store.insert_server(&todo, added).await.unwrap();
        let see = async |one: StoredDefinition| {
            let seen = SeenDefinitions {
                kept: vec![one],
                ..SeenDefinitions::default()
            };
            let revision = store.find_server(&todo.slug).await.unwrap().unwrap();
            let revision = revision.policy_revision;
            let outcome = store
                .publish_inventory(&todo.slug, revision, None, seen, published())
                .await;
            assert_eq!(outcome, Ok(PublishOutcome::Published(revision)));
        };
        let decide = async |revision, one: StoredDefinition, state| {
            let policy = Policy::default();
            let decided = vec![one.decided(state, at(9))];
            store
                .decide_definitions(&todo.slug, revision, &policy, decided, published())
                .await
                .unwrap()
        };
        let states = async || -> Vec<(String, DefinitionState)> {
            let versions = store
                .list_versions(&todo.slug, ListKind::Tools, "add")
                .await;
            let versions = versions.unwrap().into_iter();
            versions.map(|one| (one.fingerprint, one.state)).collect()
        };
        let (first, second) = (
            definition("one", Accepted, 1),
            definition("two", Pending, 2),
        );
        let third = definition("three", Pending, 3);
        see(first.clone()).await;
        see(second.clone()).await;
        // It changed again while somebody looked.
        see(third.clone()).await;
        let before = store.change_counter().await.unwrap();
        let changed = || DecideOutcome::Changed("add".into());
        assert_eq!(decide(1, second.clone(), Accepted).await, changed());
        assert_eq!(
            decide(7, third.clone(), Accepted).await,
            DecideOutcome::Stale(1)
        );
        assert_eq!(store.change_counter().await.unwrap(), before);
        assert_eq!(
            states().await,
            [
                (first.fingerprint.clone(), Accepted),
                (third.fingerprint.clone(), Pending)
            ]
        );
        assert_eq!(
            decide(1, third.clone(), Accepted).await,
            DecideOutcome::Published(2)
        );
        assert_eq!(store.change_counter().await.unwrap(), before + 1);
        // Nothing waits: nothing is approved, also not what was accepted. It is when the server listed that again.
        assert_eq!(decide(2, second.clone(), Accepted).await, changed());
        assert_eq!(decide(2, third.clone(), Accepted).await, changed());
        let again = third.clone().decided(Pending, at(9));
        see(again.clone()).await;
        assert_eq!(
            decide(2, third.clone(), Accepted).await,
            DecideOutcome::Published(3)
        );
        // And when it is another one again before anybody looked, it stays known as the accepted one.
        see(again).await;
        see(second.clone()).await;
        assert!(
            states()
                .await
                .contains(&(third.fingerprint.clone(), Accepted))
        );
        assert_eq!(
            decide(3, second.clone(), Rejected).await,
            DecideOutcome::Published(4)
        );
        assert_eq!(states().await[1], (second.fingerprint.clone(), Rejected));

        // The newest ones are kept.
        for count in 0..15 {
            see(definition(&count.to_string(), Accepted, 10 + count)).await;
        }
        let kept = states().await;
        let accepted = kept.iter().filter(|(_, state)| *state == Accepted);
        assert_eq!((accepted.count(), kept.len()), (10, 11));
        assert_eq!(kept[10].0, definition("14", Accepted, 24).fingerprint);
        let removed = event(AuditEventKind::ServerRemoved);
        assert!(store.remove_server(&todo.slug, removed).await.unwrap());
        assert!(store.list_definitions(&todo.slug).await.unwrap().is_empty());
    })
    .await;
}

/// As the release before writes a policy, which selects and knows one column of it.
const WRITTEN_BEFORE: &str = r#"UPDATE mcp_server SET policy_revision = policy_revision + 1,
    policy = '{"mode":"enforce","scopes":[],"default_scopes":"","tools":{"get":{"requirement":"public","title":"get","fingerprint":"other"},"new":{"requirement":"denied","title":"new"}},"resources":{},"resource_templates":{},"prompts":{}}'"#;

#[tokio::test]
async fn the_release_before_reads_a_quarantine_as_a_denial_and_lifts_none_by_writing() {
    on_every_database(|database| async move {
        let store = database.open().await;
        let quarantined = Entry {
            requirement: Requirement::Public,
            title: "get".into(),
            fingerprint: Some("2:accepted".into()),
            state: EntryState::Quarantined,
            ..Entry::default()
        };
        let mut todo = server("todo");
        todo.policy.tools.insert("get".into(), quarantined.clone());
        let added = event(AuditEventKind::ServerAdded);
        store.insert_server(&todo, added).await.unwrap();
        let policy = todo.policy.clone();
        let published = event(AuditEventKind::PolicyPublished);
        store
            .publish_policy(&todo.slug, 1, &policy, published.clone())
            .await
            .unwrap();
        let row = database.content().await;
        let row = row.iter().find(|line| line.contains("The todo server"));
        // Each database quotes in its own way.
        let row = row.unwrap().replace(['"', '\\'], "");
        let plain =
            "tools:{get:{requirement:denied,title:get,description:,fingerprint:2:accepted}}";
        assert!(row.contains(plain), "{row}");
        let read = async || store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!(read().await.policy, policy);

        database.tamper(WRITTEN_BEFORE).await;
        let after = read().await;
        assert_eq!(after.policy.tools["get"], quarantined);
        assert!(after.policy.tools.contains_key("new"));
        assert_eq!(store.list_servers().await.unwrap()[0].policy, after.policy);
        let declared = store.read_declared().await.unwrap();
        assert_eq!(declared.servers[0].policy, after.policy);

        // What is approved has no rest that could close it again.
        let mut approved = after.policy;
        approved.tools.get_mut("get").unwrap().state = EntryState::Accepted;
        let revision = after.policy_revision;
        store
            .publish_policy(&todo.slug, revision, &approved, published)
            .await
            .unwrap();
        assert_eq!(read().await.policy, approved);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_closes_its_server_and_no_other() {
    on_every_database(|database| async move {
        let store = database.open().await;
        for slug in ["notes", "todo"] {
            let added = event(AuditEventKind::ServerAdded);
            store.insert_server(&server(slug), added).await.unwrap();
        }
        let apart = store.list_servers_apart().await.unwrap();
        assert_eq!((apart.readable.len(), apart.closed.len()), (2, 0));
        database
            .tamper(
                r#"UPDATE mcp_server SET policy_rest = '{"curfew":"22:00"}' WHERE slug = 'todo'"#,
            )
            .await;
        let apart = store.list_servers_apart().await.unwrap();
        let readable: Vec<&str> = apart.readable.iter().map(|one| one.slug.as_str()).collect();
        assert_eq!(readable, ["notes"]);
        let (closed, error) = &apart.closed[0];
        assert_eq!(
            (closed.slug.as_str(), &closed.policy),
            ("todo", &Policy::default())
        );
        let words = error.to_string();
        assert!(
            words.contains("MCP server todo") && words.contains("curfew"),
            "{words}"
        );
        assert!(store.list_servers().await.is_err());
        let refused = store.read_declared().await.unwrap_err().to_string();
        assert_eq!(refused, words, "a file that leaves one out would remove it");
        let all = apart.all();
        let slugs: Vec<&str> = all.iter().map(|one| one.slug.as_str()).collect();
        assert_eq!(slugs, ["notes", "todo"]);
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_forgotten_makes_room_and_what_waits_is_not_forgotten() {
    use DefinitionState::{Accepted, Pending, Rejected};
    on_every_store(|store| async move {
        let todo = server("todo");
        let added = event(AuditEventKind::ServerAdded);
        store.insert_server(&todo, added).await.unwrap();
        let (first, second, third) = (
            definition("one", Accepted, 1),
            definition("two", Rejected, 2),
            definition("three", Pending, 3),
        );
        let look = async |seen: SeenDefinitions| {
            let published = event(AuditEventKind::PolicyPublished);
            let looked = store.publish_inventory(&todo.slug, 1, None, seen, published);
            assert_eq!(looked.await.unwrap(), PublishOutcome::Published(1));
            let kept = store.list_definitions(&todo.slug).await.unwrap();
            kept.into_iter()
                .map(|one| (one.fingerprint, one.text_bytes))
                .collect::<Vec<_>>()
        };
        let as_listed = |one: &StoredDefinition| {
            let text = one.definition.as_ref().unwrap();
            (one.fingerprint.clone(), text.len())
        };
        let kept = vec![first.clone(), second.clone(), third.clone()];
        let all = look(SeenDefinitions {
            kept,
            ..SeenDefinitions::default()
        });
        assert_eq!(all.await, [&first, &second, &third].map(as_listed));
        let key =
            |one: &StoredDefinition| (one.kind, one.identity.clone(), one.fingerprint.clone());
        let forgotten = vec![key(&first), key(&third)];
        let left = look(SeenDefinitions {
            forgotten,
            ..SeenDefinitions::default()
        });
        assert_eq!(left.await, [&second, &third].map(as_listed));
    })
    .await;
}

#[tokio::test]
async fn a_reserved_slug_is_on_no_list_can_be_no_servers_and_has_clients() {
    on_every_store(|store| async move {
        let own = ServerSlug::parse("own").unwrap();
        assert!(store.reserve_slug(&own, at(1)).await.unwrap());
        assert!(store.reserve_slug(&own, at(2)).await.unwrap());
        assert!(store.list_servers().await.unwrap().is_empty());
        assert!(store.find_server(&own).await.unwrap().is_none());
        let added = || event(AuditEventKind::ServerAdded);
        assert_eq!(
            store.insert_server(&server("own"), added()).await,
            Err(StoreError::Conflict("a server with this slug"))
        );
        let client = client(&server("own"));
        let event_of_client = event(AuditEventKind::ClientAdded);
        store
            .insert_client(&client, None, event_of_client)
            .await
            .unwrap();
        store.purge_expired(at(253_402_000_000), 100).await.unwrap();
        assert!(store.find_client(&own, &client.id).await.unwrap().is_some());
        // What a server has is not reserved.
        let todo = server("todo");
        store.insert_server(&todo, added()).await.unwrap();
        assert!(!store.reserve_slug(&todo.slug, at(1)).await.unwrap());
        assert!(store.find_server(&todo.slug).await.unwrap().is_some());
    })
    .await;
}
