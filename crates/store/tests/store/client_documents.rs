use std::time::Duration;

use base::{Digest, OsRandom};
use domain::{
    AuditEventKind, ClientDocument, ClientId, ClientTrust, DocumentKind, ServerSlug, TrustDecision,
    UserId,
};
use store::AskedFor;

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, event};

const URL: &str = "https://client.example/oauth.json";

fn document(body: &str, fetched: i64) -> ClientDocument {
    ClientDocument {
        kind: DocumentKind::Client,
        url: URL.into(),
        body: body.into(),
        fetched_at: at(fetched),
        fresh_until: at(fetched + 300),
        changed_at: at(1),
    }
}

fn trust(fixture: &Fixture, client: &str, decision: TrustDecision) -> ClientTrust {
    ClientTrust {
        server: fixture.server.slug.clone(),
        client: ClientId::from_text(client),
        decision,
        at: at(7),
        by: Some(UserId::random(&OsRandom)),
    }
}

#[tokio::test]
async fn a_document_comes_back_as_it_was_kept_and_a_younger_one_is_not_written_over() {
    on_every_store(|store| async move {
        let find = async || {
            let found = store.find_client_document(DocumentKind::Client, URL).await;
            found.unwrap()
        };
        assert_eq!(find().await, None);
        let changed = event(AuditEventKind::ClientDocumentChanged);
        let put = async |document: ClientDocument| {
            let put = store.put_client_document(document, vec![changed.clone()]);
            put.await.unwrap();
        };
        put(document("{\"ä\":1}", 10)).await;
        assert_eq!(find().await, Some(document("{\"ä\":1}", 10)));
        put(document("late", 9)).await;
        assert_eq!(find().await, Some(document("{\"ä\":1}", 10)));
        put(document("new", 11)).await;
        assert_eq!(find().await, Some(document("new", 11)));
        let events = store.list_audit_events(0, 10).await.unwrap();
        assert_eq!(events.len(), 2);

        let keys = DocumentKind::Keys;
        assert_eq!(store.find_client_document(keys, URL).await, Ok(None));
        let by_digest = async |kind| {
            let found = store.find_client_document_by_digest(kind, Digest::of("new"));
            found.await.unwrap().is_some()
        };
        assert!(by_digest(DocumentKind::Client).await);
        assert!(!by_digest(DocumentKind::Logo).await);
        let listed = store.list_client_documents("", 10).await.unwrap();
        assert_eq!(listed, [document("new", 11)]);
        assert!(
            store
                .list_client_documents(URL, 10)
                .await
                .unwrap()
                .is_empty()
        );

        let purge = async |days: u64| {
            let now = at(11).after(Duration::from_secs(days * 24 * 3600));
            store.purge_expired(now, 10).await.unwrap()
        };
        assert_eq!(purge(400).await, 0);
        assert_eq!(purge(401).await, 1);
        assert_eq!(find().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_client_waits_once_until_it_is_decided_and_no_more_wait_than_may() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let ask = async |client: &str, waiting_max| {
            let asked = trust(&fixture, client, TrustDecision::Waiting);
            let event = event(AuditEventKind::ClientAskedFor);
            let asked = store.ask_for_client(asked, waiting_max, event).await;
            asked.unwrap()
        };
        assert_eq!(ask(URL, 1).await, AskedFor::Waits);
        assert_eq!(ask(URL, 1).await, AskedFor::AlreadyThere);
        assert_eq!(ask("https://other.example/x", 1).await, AskedFor::TooMany);
        assert_eq!(ask("https://other.example/x", 2).await, AskedFor::Waits);
        let listed = store.list_client_trust(None, 10).await.unwrap();
        assert_eq!(listed.len(), 2);
        let first = (&listed[0].server, &listed[0].client);
        let rest = store.list_client_trust(Some(first), 10).await.unwrap();
        assert_eq!(rest, listed[1..]);

        let before = store.change_counter().await.unwrap();
        let approved = trust(&fixture, URL, TrustDecision::Approved);
        let decided = store.decide_client_trust(
            approved.clone(),
            at(9),
            event(AuditEventKind::ClientApproved),
        );
        assert_eq!(decided.await, Ok(0));
        assert!(store.change_counter().await.unwrap() > before);
        let slug = &fixture.server.slug;
        let found = store.find_client_trust(slug, &approved.client).await;
        assert_eq!(found, Ok(Some(approved.clone())));
        assert_eq!(ask(URL, 2).await, AskedFor::AlreadyThere);
        let other = ServerSlug::parse("other").unwrap();
        let elsewhere = store.find_client_trust(&other, &approved.client).await;
        assert_eq!(elsewhere, Ok(None));

        let forget = async || {
            let event = event(AuditEventKind::ClientApproved);
            let forgotten = store.forget_client_trust(slug, &approved.client, event);
            forgotten.await.unwrap()
        };
        assert!(forget().await);
        assert!(!forget().await);
    })
    .await;
}

#[tokio::test]
async fn blocking_a_client_ends_its_token_families_and_no_others() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let token = fixture.refresh_token().await;
        let is_ended = async || {
            let found = store.find_refresh_token(token.digest).await.unwrap();
            found.unwrap().family.ended.is_some()
        };
        let block = async |client: &str| {
            let blocked = trust(&fixture, client, TrustDecision::Blocked);
            let event = event(AuditEventKind::ClientBlocked);
            let ended = store.decide_client_trust(blocked, at(3600), event).await;
            ended.unwrap()
        };
        assert_eq!(block("https://other.example/x").await, 0);
        assert!(!is_ended().await);
        assert_eq!(block(fixture.client.id.as_str()).await, 1);
        assert!(is_ended().await);
        let cut_off = store.list_client_cut_offs(at(8)).await.unwrap();
        assert!(cut_off.iter().any(|cut| cut.client == fixture.client.id));
    })
    .await;
}
