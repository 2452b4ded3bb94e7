//! Against Pebble, which rejects one nonce in twenty and verifies as a certificate authority does.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod log;
mod node;
mod pebble;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base::{OsRandom, random_token};
use oauth::MasterKey;
use rustls::RootCertStore;
use store::{DatabaseUrl, StoreOptions};
use testkit::unused_port;

use super::*;
use log::Log;
use node::{NAME, Node, ask, now, plain, settings, sqlite};
use pebble::{Pebble, Ways};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_without_any_certificate_gets_one_by_tls_alpn_01_and_a_restart_none() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Node::listen(pebble.tls_port).await;
    let roots = pebble.root().await;
    assert!(
        node.connect(&roots, NAME).await.is_err(),
        "nothing to show yet"
    );
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let acme = node
        .look_after(settings.clone(), &store, &clock, None)
        .await;
    let certificate = node.shown(&roots, NAME).await;
    assert!(node.certificates.not_after().is_some());
    // Whoever trusts somebody else does not believe it.
    assert!(node.connect(&RootCertStore::empty(), NAME).await.is_err());
    assert!(node.connect(&roots, "other.example.com").await.is_err());

    drop(acme);
    drop(node);
    let node = Node::listen(unused_port().await).await;
    let _acme = node.look_after(settings, &store, &clock, None).await;
    assert_eq!(node.shown(&roots, NAME).await, certificate);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        (pebble.orders(), pebble.issued()),
        (1, 1),
        "{}",
        pebble.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_gets_a_certificate_and_plain_http_answers_nothing_else() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Node::listen(unused_port().await).await;
    let settings = settings(&pebble, Challenge::Http01);
    let port = pebble.http_port;
    let _acme = node.look_after(settings, &store, &clock, Some(port)).await;
    node.shown(&pebble.root().await, NAME).await;

    let later = clock.now().after(DAY);
    let put = store.put_acme_challenge(NAME, "tok-en_1", "tok-en_1.proof", later);
    put.await.unwrap();
    let folder = "/.well-known/acme-challenge/";
    let found = plain(port, "MCP.example.com:80", &format!("{folder}tok-en_1")).await;
    assert!(
        found.starts_with("HTTP/1.1 200") && found.ends_with("tok-en_1.proof"),
        "{found}"
    );
    for (host, token) in [
        (NAME, "tok-en_2"),
        (NAME, "tok-en_1/x"),
        (NAME, ""),
        ("evil.example", "tok-en_1"),
    ] {
        let answer = plain(port, host, &format!("{folder}{token}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 404"),
            "{host} {token}: {answer}"
        );
        assert!(!answer.contains("proof"), "{answer}");
    }
    clock.advance(2 * DAY);
    let over = plain(port, NAME, &format!("{folder}tok-en_1")).await;
    assert!(over.starts_with("HTTP/1.1 404"), "{over}");

    let moved = plain(port, NAME, "/mcp/todo?a=b").await;
    assert!(moved.starts_with("HTTP/1.1 308"), "{moved}");
    assert!(
        moved.contains("location: https://mcp.example.com/mcp/todo?a=b\r\n"),
        "{moved}"
    );
    let stranger = plain(port, "evil.example", "/mcp/todo").await;
    assert!(stranger.starts_with("HTTP/1.1 421"), "{stranger}");
    assert!(!stranger.contains("location"), "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_one_node_ordered_is_answered_by_another() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let ordering = Node::listen(unused_port().await).await;
    let answering = Node::listen(pebble.tls_port).await;
    answering.answer(&store, &clock);
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let _acme = ordering.look_after(settings, &store, &clock, None).await;
    ordering.shown(&pebble.root().await, NAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_postgres_order_once_and_show_the_same() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let Ok(url) = std::env::var("PORTCULLIS_TEST_POSTGRES_URL") else {
        eprintln!("skipped: PORTCULLIS_TEST_POSTGRES_URL is not set; cargo xtask test sets it");
        return;
    };
    let name = random_token(&OsRandom, "acme_")
        .to_lowercase()
        .replace('-', "_");
    let open = async || {
        let url = DatabaseUrl::Postgres {
            url: Secret::new(url.clone()),
            schema: Some(name[..20].to_owned()),
        };
        Store::open(StoreOptions::new(url), &now()).await.unwrap()
    };
    let (clock, settings) = (now(), settings(&pebble, Challenge::TlsAlpn01));
    let (left_store, right_store) = (open().await, open().await);
    let left = Node::listen(pebble.tls_port).await;
    let right = Node::listen(unused_port().await).await;
    let _left = left
        .look_after(settings.clone(), &left_store, &clock, None)
        .await;
    let _right = right.look_after(settings, &right_store, &clock, None).await;
    let roots = pebble.root().await;
    let shown = left.shown(&roots, NAME).await;
    let began = tokio::time::Instant::now();
    assert_eq!(right.shown(&roots, NAME).await, shown);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        (pebble.orders(), pebble.issued()),
        (1, 1),
        "{}",
        pebble.log()
    );
}

/// A setting that was changed is followed once; nodes with different settings do not order in turns for ever.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_different_directories_replace_what_was_there_before_them_and_nothing_else() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let left = Node::listen(pebble.tls_port).await;
    let right = Node::listen(unused_port().await).await;
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let _left = left
        .look_after(settings.clone(), &store, &clock, None)
        .await;
    let roots = pebble.root().await;
    let first = left.shown(&roots, NAME).await;

    clock.advance(DAY);
    let spelled = settings
        .directory
        .as_str()
        .replace("localhost", "127.0.0.1");
    let other = Settings {
        directory: url::Url::parse(&spelled).unwrap(),
        ..settings
    };
    let _right = right.look_after(other, &store, &clock, None).await;
    let second = right.shown_instead_of(Some(&first), &roots, NAME).await;
    assert_eq!(
        left.shown_instead_of(Some(&first), &roots, NAME).await,
        second
    );
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(pebble.issued(), 2, "{}", pebble.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_replaces_the_certificate_and_drops_no_request() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Arc::new(Node::listen(pebble.tls_port).await);
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let _acme = node.look_after(settings, &store, &clock, None).await;
    let roots = pebble.root().await;
    let first = node.shown(&roots, NAME).await;
    // Fifty-nine days are less than two thirds of ninety.
    clock.advance(59 * DAY);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(pebble.issued(), 1);

    let (asked, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let asking = tokio::spawn({
        let (node, roots, asked, stop) = (node.clone(), roots.clone(), asked.clone(), stop.clone());
        async move {
            let mut open = node.connect(&roots, NAME).await.unwrap();
            while !stop.load(Ordering::Relaxed) {
                ask(&mut open).await.unwrap();
                let mut fresh = node.connect(&roots, NAME).await.unwrap();
                ask(&mut fresh).await.unwrap();
                asked.fetch_add(2, Ordering::Relaxed);
            }
        }
    });
    clock.advance(2 * DAY);
    let second = node.shown_instead_of(Some(&first), &roots, NAME).await;
    assert_ne!(first, second);
    let so_far = asked.load(Ordering::Relaxed);
    until("asked after it too", async || {
        asked.load(Ordering::Relaxed) > so_far + 10
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    asking.await.unwrap();
    assert_eq!(pebble.issued(), 2);
}

#[tokio::test]
async fn a_directory_that_is_gone_changes_nothing_and_the_log_says_why_and_what_to_change() {
    let Some(mut pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Node::listen(pebble.tls_port).await;
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let _acme = node.look_after(settings, &store, &clock, None).await;
    let roots = pebble.root().await;
    let first = node.shown(&roots, NAME).await;
    until("asked when to renew", async || {
        store.list_acme_certificates().await.unwrap()[0].ask_at > clock.now()
    })
    .await;

    let log = Log::begin();
    pebble.stop();
    clock.advance(61 * DAY);
    let order = async || store.find_acme_order(NAME).await.unwrap();
    until("it has failed", async || {
        order().await.is_some_and(|order| order.failures == 1)
    })
    .await;
    assert_eq!(node.shown(&roots, NAME).await, first, "it serves on");
    let wait = order().await.unwrap().next_try_at.since(clock.now());
    assert!((60..180).contains(&wait.as_secs()), "{wait:?}");
    // Nothing more until then, also after a restart.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = log.text();
    assert_eq!(
        said.matches("no certificate was issued").count(),
        1,
        "{said}"
    );
    for words in [
        NAME,
        "the ACME server cannot be asked",
        "check tls.acme.directory",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    clock.advance(wait);
    until("it is tried again", async || {
        order().await.is_some_and(|order| order.failures == 2)
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_not_believed_is_told_with_its_reason_and_holds_up_no_other() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Node::listen(unused_port().await).await;
    // Nobody listens where Pebble asks.
    let both = Settings {
        domains: vec!["a.example.com".to_owned(), "b.example.com".to_owned()],
        ..settings(&pebble, Challenge::TlsAlpn01)
    };
    let log = Log::begin();
    let acme = node.look_after(both.clone(), &store, &clock, None).await;
    let failures = async |name: &str| {
        let order = store.find_acme_order(name).await.unwrap();
        order.map_or(0, |order| order.failures)
    };
    until("both were tried", async || {
        failures("b.example.com").await == 1
    })
    .await;
    assert_eq!(failures("a.example.com").await, 1);
    let said = log.text();
    for words in [
        "Failed to connect",
        "let port 443 of that name reach listen.addresses",
    ] {
        assert_eq!(said.matches(words).count(), 2, "{words} in {said}");
    }
    drop(acme);
    drop(node);

    // What the operator changed is felt at the next try, and not before.
    let node = Node::listen(pebble.tls_port).await;
    let _acme = node.look_after(both, &store, &clock, None).await;
    let roots = pebble.root().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(node.connect(&roots, "a.example.com").await.is_err());
    clock.advance(Duration::from_secs(600));
    for name in ["a.example.com", "b.example.com"] {
        node.shown(&roots, name).await;
    }
}

#[tokio::test]
async fn who_is_killed_in_the_middle_of_an_order_is_followed_by_another_after_the_lease() {
    let ways = Ways {
        slow_seconds: Some(4),
        ..Ways::default()
    };
    let Some(pebble) = Pebble::start(ways).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let first = Node::listen(unused_port().await).await;
    let second = Node::listen(pebble.tls_port).await;
    second.answer(&store, &clock);
    let killed = first
        .look_after(settings.clone(), &store, &clock, None)
        .await;
    until("an order was begun", async || {
        let order = store.find_acme_order(NAME).await.unwrap();
        order.is_some_and(|order| order.order_url.is_some())
    })
    .await;
    drop(killed);
    let _acme = second.look_after(settings, &store, &clock, None).await;
    let roots = pebble.root().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(
        second.connect(&roots, NAME).await.is_err(),
        "the lease is not over"
    );
    clock.advance(keeper::LEASE_LIFE + Duration::from_secs(1));
    second.shown(&roots, NAME).await;
    assert_eq!(
        (pebble.orders(), pebble.issued()),
        (1, 1),
        "{}",
        pebble.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_from_elsewhere_is_bound_and_without_it_the_log_names_the_setting() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let ways = Ways {
        external: Some(("kid-1", key)),
        ..Ways::default()
    };
    let Some(pebble) = Pebble::start(ways).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Node::listen(pebble.tls_port).await;
    let without = settings(&pebble, Challenge::TlsAlpn01);
    let acme = node.look_after(without.clone(), &store, &clock, None).await;
    until("it was refused", async || {
        let order = store.find_acme_order(NAME).await.unwrap();
        order.is_some_and(|order| order.failures == 1)
    })
    .await;
    drop(acme);
    clock.advance(Duration::from_secs(600));
    let mac = Secret::new(base::base64url_decode(key).unwrap());
    let with = Settings {
        external_account: Some(("kid-1".to_owned(), mac)),
        ..without
    };
    let _acme = node.look_after(with, &store, &clock, None).await;
    node.shown(&pebble.root().await, NAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_private_key_is_in_the_store_in_clear_and_another_master_key_opens_none() {
    let Some(pebble) = Pebble::start(Ways::default()).await else {
        return;
    };
    let (store, clock) = (sqlite(&pebble).await, now());
    let node = Node::listen(pebble.tls_port).await;
    let settings = settings(&pebble, Challenge::TlsAlpn01);
    let _acme = node.look_after(settings, &store, &clock, None).await;
    node.shown(&pebble.root().await, NAME).await;
    let certificate = store.list_acme_certificates().await.unwrap().remove(0);
    let sealed_account = store.find_acme_account(pebble.directory.as_str()).await;
    let bound_to = [
        format!("acme certificate {NAME}"),
        format!("acme account {}", pebble.directory),
    ];
    let sealed = [
        certificate.sealed_private_key,
        sealed_account.unwrap().unwrap(),
    ];
    let ours = CertificateSealer::new(&MasterKey::from_bytes([7; 32]));
    let other = CertificateSealer::new(&MasterKey::from_bytes([8; 32]));
    for (bound_to, sealed) in bound_to.iter().zip(&sealed) {
        assert!(ours.open(bound_to, sealed).is_some());
        assert!(other.open(bound_to, sealed).is_none());
        assert!(
            ours.open("acme certificate other.example.com", sealed)
                .is_none()
        );
    }
    let folder = std::fs::read_dir(pebble.folder.path()).unwrap();
    for file in folder.map(|entry| entry.unwrap().path()) {
        let is_database = file.to_string_lossy().contains("authority.sqlite");
        let bytes = std::fs::read(&file).unwrap();
        for words in ["PRIVATE KEY", "key_pkcs8"] {
            let is_there = bytes
                .windows(words.len())
                .any(|part| part == words.as_bytes());
            assert!(!(is_database && is_there), "{words} in {}", file.display());
        }
    }
}
