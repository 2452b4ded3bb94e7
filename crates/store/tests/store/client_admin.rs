//! What an admin decides about clients, and which of them are forgotten by themselves.

use domain::{
    AuditEventKind, Client, FamilyEnd, NativeSchemes, RegistrationMode, ServerSettingsChange,
    ServerSlug,
};
use store::{EndClient, IdleClients, Rotated, SettingsChanged, Store};

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, client, event, rotate};

const DAY: i64 = 24 * 3600;

fn end(fixture: &Fixture, client: &Client, kind: AuditEventKind) -> EndClient {
    EndClient {
        server: fixture.server.slug.clone(),
        client: client.id.clone(),
        now: at(20),
        issued_before: at(21),
        remembered_until: at(3600),
        event: event(kind),
    }
}

async fn another(fixture: &Fixture, change: fn(&mut Client)) -> Client {
    let mut other = client(&fixture.server);
    change(&mut other);
    let event = event(AuditEventKind::ClientRegistered);
    let store = &fixture.store;
    store.insert_client(&other, None, event).await.unwrap();
    other
}

#[tokio::test]
async fn a_blocked_client_loses_all_it_holds_in_one_transaction_and_another_keeps_what_it_has() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        let other = Fixture {
            client: another(&fixture, |_| {}).await,
            ..fixture.clone()
        };
        let others = other.refresh_token().await;
        let before = store.change_counter().await.unwrap();
        let block = end(&fixture, &fixture.client, AuditEventKind::ClientBlocked);
        assert_eq!(store.block_client(block.clone()).await, Ok(Some(1)));
        assert!(store.change_counter().await.unwrap() > before);
        assert_eq!(
            store.block_client(block).await,
            Ok(None),
            "it was so before"
        );

        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.family.ended, Some((at(20), FamilyEnd::ClientBlocked)));
        assert!(found.client_disabled);
        let rotated = store.rotate_refresh_token(rotate(&token, at(21))).await;
        assert_eq!(rotated, Ok(Rotated::FamilyEnded));
        let rotated = store.rotate_refresh_token(rotate(&others, at(21))).await;
        assert_eq!(rotated, Ok(Rotated::Fresh));

        let cut_offs = store.list_client_cut_offs(at(30)).await.unwrap();
        assert_eq!(cut_offs.len(), 1);
        assert_eq!(cut_offs[0].client, fixture.client.id);
        assert_eq!(cut_offs[0].issued_before, at(3600), "all of them");
        assert!(
            store
                .list_client_cut_offs(at(3600))
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            store
                .list_revoked_grants(-1, at(30))
                .await
                .unwrap()
                .is_empty()
        );
        store.purge_expired(at(3600 + DAY + 1), 100).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_client_of_another_server_is_not_there_to_be_decided_about() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let elsewhere = ServerSlug::parse("other").unwrap();
        let mut block = end(&fixture, &fixture.client, AuditEventKind::ClientBlocked);
        block.server = elsewhere.clone();
        assert_eq!(store.block_client(block.clone()).await, Ok(None));
        assert_eq!(store.forget_client(block).await, Ok(None));
        let id = &fixture.client.id;
        let unblocked = event(AuditEventKind::ClientUnblocked);
        assert_eq!(
            store.unblock_client(&elsewhere, id, unblocked).await,
            Ok(false)
        );
        assert!(store.list_client_cut_offs(at(30)).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_decision_changes_what_it_is_about_once_and_what_ended_stays_ended() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let slug = &fixture.server.slug;
        let waiting = another(&fixture, |client| client.waiting_since = Some(at(3))).await;
        let approve = async || {
            let event = event(AuditEventKind::ClientApproved);
            store
                .approve_client(slug, &waiting.id, event)
                .await
                .unwrap()
        };
        assert!(approve().await);
        assert!(!approve().await);
        let found = store.find_client(slug, &waiting.id).await.unwrap().unwrap();
        assert_eq!(found.waiting_since, None);

        let token = fixture.refresh_token().await;
        let block = end(&fixture, &fixture.client, AuditEventKind::ClientBlocked);
        store.block_client(block).await.unwrap();
        let unblock = async || {
            let event = event(AuditEventKind::ClientUnblocked);
            let unblocked = store.unblock_client(slug, &fixture.client.id, event);
            unblocked.await.unwrap()
        };
        assert!(unblock().await);
        assert!(!unblock().await);
        let found = store
            .find_refresh_token(token.digest)
            .await
            .unwrap()
            .unwrap();
        assert!(!found.client_disabled && found.family.ended.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_client_is_gone_with_its_approvals_and_its_tokens() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        fixture.refresh_token().await;
        let (slug, id) = (&fixture.server.slug, &fixture.client.id);
        let usage = store.client_usage(slug, id, at(10)).await.unwrap();
        assert_eq!((usage.people, usage.live_families), (1, 1));
        assert_eq!(usage.approved_at, Some(at(0)));
        let forget = end(&fixture, &fixture.client, AuditEventKind::ClientForgotten);
        assert_eq!(store.forget_client(forget.clone()).await, Ok(Some(1)));
        assert_eq!(store.forget_client(forget).await, Ok(None));
        assert!(store.find_client(slug, id).await.unwrap().is_none());
        let usage = store.client_usage(slug, id, at(10)).await.unwrap();
        assert_eq!(usage, store::ClientUsage::default());
        assert_eq!(store.list_client_cut_offs(at(30)).await.unwrap().len(), 1);
    })
    .await;
}

async fn sweep(store: &Store, idle: IdleClients) -> u64 {
    let mut after = None;
    let mut gone = 0;
    loop {
        // Pages of two, so that the end of a page is crossed.
        let (next, went) = store
            .forget_idle_clients(idle, after.as_ref(), 2)
            .await
            .unwrap();
        gone += went;
        if next.is_none() {
            return gone;
        }
        after = next;
    }
}

#[tokio::test]
async fn clients_that_nobody_uses_go_in_time_and_never_one_with_a_live_family() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        // Approved, with a family that lives until second 1001.
        fixture.refresh_token().await;
        let unused = another(&fixture, |_| {}).await;
        let young = another(&fixture, |client| client.created_at = at(6 * DAY)).await;
        let waiting = another(&fixture, |client| client.waiting_since = Some(at(1))).await;
        let blocked = another(&fixture, |client| client.disabled_at = Some(at(1))).await;
        let added = another(&fixture, |client| {
            client.registration = domain::ClientRegistration::PreRegistered;
        })
        .await;
        let is_there = async |client: &Client| {
            let found = store.find_client(&fixture.server.slug, &client.id).await;
            found.unwrap().is_some()
        };
        let idle = |now: i64| IdleClients {
            now: at(now),
            unused_before: at(now - 7 * DAY),
            idle_before: at(now - 90 * DAY),
        };
        assert_eq!(sweep(&store, idle(7 * DAY)).await, 0, "to the second");
        assert_eq!(sweep(&store, idle(7 * DAY + 1)).await, 1);
        assert!(!is_there(&unused).await);
        for kept in [&fixture.client, &young, &waiting, &blocked, &added] {
            assert!(is_there(kept).await, "{}", kept.id);
        }

        // Its family is over, and the approval is not ninety days old.
        assert_eq!(sweep(&store, idle(89 * DAY)).await, 1, "the young one");
        assert!(is_there(&fixture.client).await);
        let long_family = IdleClients {
            now: at(1000),
            ..idle(91 * DAY)
        };
        assert_eq!(sweep(&store, long_family).await, 0, "its family lives");
        assert_eq!(sweep(&store, idle(91 * DAY)).await, 1);
        assert!(!is_there(&fixture.client).await);
        for kept in [&waiting, &blocked, &added] {
            assert!(is_there(kept).await, "{}", kept.id);
        }
        let usage = store
            .client_usage(&fixture.server.slug, &fixture.client.id, at(0))
            .await;
        assert_eq!(usage.unwrap().people, 0);
    })
    .await;
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_only_a_change_is_told() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let slug = fixture.server.slug.clone();
        let change = async |change: ServerSettingsChange| {
            let event = event(AuditEventKind::ServerChanged);
            store
                .change_server_settings(&slug, change, event)
                .await
                .unwrap()
        };
        let approved = ServerSettingsChange {
            dynamic_registration: Some(RegistrationMode::Approved),
            ..ServerSettingsChange::default()
        };
        let before = store.change_counter().await.unwrap();
        let changed = change(approved.clone()).await;
        assert!(
            matches!(changed, SettingsChanged::Changed { .. }),
            "{changed:?}"
        );
        assert_eq!(change(approved).await, SettingsChanged::Unchanged);
        assert_eq!(store.change_counter().await.unwrap(), before + 1);
        change(ServerSettingsChange {
            native_schemes: Some(NativeSchemes::Known),
            documentation_url: Some(Some("https://a.example/docs".into())),
            ..ServerSettingsChange::default()
        })
        .await;
        let settings = store.find_server(&slug).await.unwrap().unwrap().settings;
        assert_eq!(settings.dynamic_registration, RegistrationMode::Approved);
        assert_eq!(settings.native_schemes, NativeSchemes::Known);
        assert_eq!(
            settings.documentation_url.as_deref(),
            Some("https://a.example/docs")
        );
        let unknown = ServerSlug::parse("other").unwrap();
        let event = event(AuditEventKind::ServerChanged);
        let nothing = ServerSettingsChange::default();
        let unknown = store.change_server_settings(&unknown, nothing, event).await;
        assert_eq!(unknown, Ok(SettingsChanged::Unknown));
    })
    .await;
}
