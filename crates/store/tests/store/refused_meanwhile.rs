//! What was decided between a request's reading and its writing counts.

use domain::{AuditEventKind, Client, ClientId, ClientTrust, TrustDecision};
use store::{EndClient, Redeemed, Store, UserDisabled};

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, event, redeem};

const DOCUMENT: &str = "https://app.example/client.json";

async fn with_document(store: &Store) -> Fixture {
    let fixture = Fixture::new(store).await;
    let client = Client {
        id: ClientId::from_text(DOCUMENT),
        ..fixture.client.clone()
    };
    Fixture { client, ..fixture }
}

async fn decide(fixture: &Fixture, decision: TrustDecision) {
    let trust = ClientTrust {
        server: fixture.server.slug.clone(),
        client: fixture.client.id.clone(),
        decision,
        at: at(20),
        by: None,
    };
    let event = event(AuditEventKind::ClientBlocked);
    let decided = fixture.store.decide_client_trust(trust, at(3600), event);
    decided.await.unwrap();
}

fn end(fixture: &Fixture) -> EndClient {
    EndClient {
        server: fixture.server.slug.clone(),
        client: fixture.client.id.clone(),
        now: at(20),
        issued_before: at(21),
        remembered_until: at(3600),
        event: event(AuditEventKind::ClientBlocked),
    }
}

async fn redeemed(fixture: &Fixture) -> Redeemed {
    let code = fixture.issued_code().await;
    let redeemed = fixture.store.redeem_code(redeem(&code, at(30))).await;
    redeemed.unwrap()
}

/// RF-06 and RF-08 of the attack list, for codes: who was read as good may be refused by the time of the write.
#[tokio::test]
async fn a_code_begins_nothing_once_its_person_or_client_is_refused_and_does_before() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        assert_eq!(redeemed(&fixture).await, Redeemed::Fresh);
        store.block_client(end(&fixture)).await.unwrap();
        assert_eq!(redeemed(&fixture).await, Redeemed::Unknown, "blocked");
        let unblocked = event(AuditEventKind::ClientUnblocked);
        let (server, client) = (&fixture.server.slug, &fixture.client.id);
        let unblocked = store.unblock_client(server, client, unblocked);
        assert!(unblocked.await.unwrap());
        assert_eq!(redeemed(&fixture).await, Redeemed::Fresh, "unblocked");
        let disabled = store.disable_user(
            &fixture.user.id,
            at(3600),
            event(AuditEventKind::UserDisabled),
        );
        assert_eq!(disabled.await.unwrap(), UserDisabled::Disabled);
        assert_eq!(redeemed(&fixture).await, Redeemed::Unknown, "disabled");
    })
    .await;
}

#[tokio::test]
async fn a_code_of_a_forgotten_client_begins_nothing() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        assert_eq!(redeemed(&fixture).await, Redeemed::Fresh);
        store.forget_client(end(&fixture)).await.unwrap();
        assert_eq!(redeemed(&fixture).await, Redeemed::Unknown);
    })
    .await;
}

#[tokio::test]
async fn a_code_of_a_client_with_a_document_begins_nothing_while_that_is_blocked() {
    on_every_store(|store| async move {
        let fixture = with_document(&store).await;
        assert_eq!(redeemed(&fixture).await, Redeemed::Fresh, "undecided");
        decide(&fixture, TrustDecision::Blocked).await;
        assert_eq!(redeemed(&fixture).await, Redeemed::Unknown);
        decide(&fixture, TrustDecision::Approved).await;
        assert_eq!(redeemed(&fixture).await, Redeemed::Fresh);
    })
    .await;
}

/// The decision may wait longer for the writer than the margin behind `issued_before`, and a token may be minted
/// meanwhile.
#[tokio::test]
async fn every_token_of_a_client_is_refused_while_it_is_and_the_earlier_ones_after_it_is_let_in_again()
 {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let cut_off = async || {
            let mut cut_offs = store.list_client_cut_offs(at(30)).await.unwrap();
            cut_offs.pop().map(|cut_off| cut_off.issued_before)
        };
        assert_eq!(cut_off().await, None);
        store.block_client(end(&fixture)).await.unwrap();
        assert_eq!(cut_off().await, Some(at(3600)));
        let (server, client) = (&fixture.server.slug, &fixture.client.id);
        let unblocked = event(AuditEventKind::ClientUnblocked);
        store
            .unblock_client(server, client, unblocked)
            .await
            .unwrap();
        assert_eq!(cut_off().await, Some(at(21)));
        store.forget_client(end(&fixture)).await.unwrap();
        assert_eq!(cut_off().await, Some(at(3600)), "forgotten");
    })
    .await;
}

#[tokio::test]
async fn a_blocked_document_cuts_its_client_off_and_an_approved_one_does_not() {
    on_every_store(|store| async move {
        let fixture = with_document(&store).await;
        let cut_offs = async || {
            let cut_offs = store.list_client_cut_offs(at(30)).await.unwrap();
            let moments = cut_offs.into_iter().map(|cut_off| cut_off.issued_before);
            moments.collect::<Vec<_>>()
        };
        decide(&fixture, TrustDecision::Approved).await;
        assert_eq!(cut_offs().await, []);
        decide(&fixture, TrustDecision::Blocked).await;
        assert_eq!(cut_offs().await, [at(3600)]);
        decide(&fixture, TrustDecision::Approved).await;
        assert_eq!(cut_offs().await, [at(21)]);
    })
    .await;
}
