use std::time::Duration;

use base::Digest;
use domain::AuditEventKind;
use store::{AliasAdded, AliasTry, AliasVerdict, Dependents, Move, MoveAuthority, Moved};

use crate::databases::on_every_store;
use crate::fixture::{at, event, server};

const ALIAS: &str = "https://other.example/mcp";

#[tokio::test]
async fn one_node_tries_an_alias_and_only_its_own_nonce_ends_the_try() {
    on_every_store(|store| async move {
        let todo = server("todo");
        let added = event(AuditEventKind::ServerAdded);
        store.insert_server(&todo, added).await.unwrap();
        let add = async |url: &str| {
            let event = event(AuditEventKind::AliasAdded);
            let until = Some(at(1_000_000));
            store
                .add_alias(&todo.slug, url, until, event)
                .await
                .unwrap()
        };
        assert_eq!(add(ALIAS).await, AliasAdded::Added);
        assert_eq!(add(ALIAS).await, AliasAdded::Taken);
        assert_eq!(add(&todo.resource).await, AliasAdded::Taken);

        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        let alias = &found.other_addresses.aliases[0];
        assert!(!alias.is_live(at(10)), "declared is not enough");
        let (nonce, other) = (Digest::of("nonce"), Digest::of("other"));
        let attempt = |nonce_digest| AliasTry {
            url: ALIAS.into(),
            due_at: alias.next_check_at,
            next_check_at: at(60),
            nonce_digest,
            nonce_expires_at: at(30),
        };
        assert!(store.begin_alias_try(attempt(nonce)).await.unwrap());
        assert!(!store.begin_alias_try(attempt(other)).await.unwrap());
        let by =
            async |nonce: &Digest, now| store.find_alias_by_nonce(nonce, at(now)).await.unwrap();
        assert_eq!(by(&nonce, 10).await.as_deref(), Some(ALIAS));
        assert_eq!(by(&nonce, 30).await, None, "its time is over");
        assert_eq!(by(&other, 10).await, None);

        let verdict = |nonce_digest| AliasVerdict {
            url: ALIAS.into(),
            nonce_digest,
            proven_at: Some(at(10)),
            failure: None,
            event: Some(event(AuditEventKind::AliasProven)),
        };
        assert!(!store.end_alias_try(verdict(other)).await.unwrap());
        assert!(store.end_alias_try(verdict(nonce)).await.unwrap());
        assert_eq!(by(&nonce, 10).await, None, "it was for this once");
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert!(found.other_addresses.aliases[0].is_live(at(11)));

        // At the next try somebody else answers there.
        let again = AliasTry {
            due_at: at(60),
            next_check_at: at(120),
            ..attempt(other)
        };
        assert!(store.begin_alias_try(again).await.unwrap());
        let lost = AliasVerdict {
            proven_at: None,
            failure: Some("another answers there".into()),
            event: Some(event(AuditEventKind::AliasLost)),
            ..verdict(other)
        };
        assert!(store.end_alias_try(lost).await.unwrap());
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert!(!found.other_addresses.aliases[0].is_live(at(61)));
        let events = store.list_audit_events(0, 100).await.unwrap();
        let last = events.last().unwrap().event.kind;
        assert_eq!(last, AuditEventKind::AliasLost);
        let removed = event(AuditEventKind::AliasRemoved);
        assert!(
            store
                .remove_alias(&todo.slug, ALIAS, removed)
                .await
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn a_server_moves_once_keeps_where_it_was_and_takes_nobodys_place() {
    on_every_store(|store| async move {
        let (todo, notes) = (server("todo"), server("notes"));
        for server in [&todo, &notes] {
            let added = event(AuditEventKind::ServerAdded);
            store.insert_server(server, added).await.unwrap();
        }
        let moving = async |from: &str, to: &str| {
            let event = event(AuditEventKind::ServerMoved);
            let keep_until = Some(event.at.after(Duration::from_secs(3600)));
            let change = Move {
                slug: todo.slug.clone(),
                from: from.into(),
                to: to.into(),
                keep_until,
                event,
            };
            store.move_server(change).await.unwrap()
        };
        let old = todo.resource.as_str();
        assert_eq!(moving(old, &notes.resource).await, Moved::Taken);
        let before = store.change_counter().await.unwrap();
        assert_eq!(moving(old, ALIAS).await, Moved::Moved);
        assert_eq!(store.change_counter().await.unwrap(), before + 1);
        assert_eq!(moving(old, ALIAS).await, Moved::Stale);
        let now = event(AuditEventKind::ServerMoved).at;
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!(found.resource, ALIAS);
        let kept: Vec<_> = found.other_addresses.live(now).collect();
        assert_eq!(kept[0].url, old);
        let day = now.after(Duration::from_secs(24 * 3600));
        assert!(found.other_addresses.accepts_former(old, now));
        assert!(!found.other_addresses.accepts_former(old, day));
        // And back.
        assert_eq!(moving(ALIAS, old).await, Moved::Moved);
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!(found.other_addresses.aliases[0].url, ALIAS);
        assert_eq!(found.other_addresses.aliases.len(), 1);
        let dependents = store.count_dependents(&todo.slug, now).await.unwrap();
        assert_eq!(dependents, Dependents::default());
    })
    .await;
}

#[tokio::test]
async fn an_authority_moves_with_the_servers_at_its_origin_or_nothing_of_it_does() {
    on_every_store(|store| async move {
        let (todo, notes) = (server("todo"), server("notes"));
        for server in [&todo, &notes] {
            let added = event(AuditEventKind::ServerAdded);
            store.insert_server(server, added).await.unwrap();
        }
        let now = event(AuditEventKind::AuthorityMoved).at;
        let moving = async |from: &str, to: &str, resource: &str| {
            let change = MoveAuthority {
                from: from.into(),
                to: to.into(),
                keep_until: now.after(Duration::from_secs(48 * 3600)),
                servers: vec![(todo.slug.clone(), todo.resource.clone(), resource.into())],
                at: now,
            };
            store.move_authority(change).await.unwrap()
        };
        let (old, new) = ("https://old.example", "https://new.example");
        assert_eq!(moving(old, new, &notes.resource).await, Moved::Taken);
        assert_eq!(store.find_setting("public_url").await.unwrap(), None);
        assert_eq!(store.former_origins().await.unwrap(), []);

        assert_eq!(
            moving(old, new, "https://new.example/mcp/todo").await,
            Moved::Moved
        );
        let found = store.find_setting("public_url").await.unwrap();
        assert_eq!(found.as_deref(), Some(new));
        let former = store.former_origins().await.unwrap();
        assert_eq!(former[0].origin, old);
        assert!(former[0].is_kept(now.after(Duration::from_secs(47 * 3600))));
        assert!(!former[0].is_kept(now.after(Duration::from_secs(48 * 3600))));
        let found = store.find_server(&todo.slug).await.unwrap().unwrap();
        assert_eq!(found.resource, "https://new.example/mcp/todo");
        let events = store.list_audit_events(0, 100).await.unwrap();
        let kinds: Vec<_> = events.iter().map(|stored| stored.event.kind).collect();
        assert!(
            kinds.ends_with(&[AuditEventKind::AuthorityMoved, AuditEventKind::ServerMoved]),
            "{kinds:?}"
        );

        // From where it is not any more, it moves nowhere.
        assert_eq!(
            moving(old, "https://third.example", "https://third.example/x").await,
            Moved::Stale
        );
        assert_eq!(store.former_origins().await.unwrap(), former);
    })
    .await;
}
