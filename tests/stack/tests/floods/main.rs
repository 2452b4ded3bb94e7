//! Honest people are served while strangers flood the same node: with slow connections, with tokens that name keys
//! nobody has, and with registrations.
//!
//! The counts are small here and printed; `cargo xtask prove` runs the same tests with the full ones.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod honest;
mod node;
mod slow;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::{
    Clock as _, OsRandom, Random as _, SystemClock, base64url, base64url_decode, random_token,
};
use http::{Request, StatusCode, header};
use serde_json::json;
use support::count;
use testkit::person::registration_body;

use honest::Honest;
use node::Node;

/// What a node may hold in memory while it is flooded, in bytes: 512 MB.
const MEMORY_MAX: u64 = 512_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_cost_honest_people_nothing() {
    if !cfg!(target_os = "linux") {
        println!("connections from many addresses of this machine are made on Linux only");
        return;
    }
    let wanted = count("PORTCULLIS_SLOW_CONNECTIONS", 500);
    let files = node::raise_file_limit(wanted + 500);
    let number = wanted.min(files.saturating_sub(500));
    let node = Node::start(number + 200).await;
    let honest = Honest::begin(&node).await;
    let flood = slow::Flood::begin(node.listen, number);
    // Longer than a body may take: each has been shut out once.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (most, closed) = flood.end();
    let served = honest.end().await;
    assert!(
        most >= number * 9 / 10,
        "of {number} slow connections only {most} were open at once"
    );
    let kinds = ["heads", "bodies", "idle HTTP/1.1", "idle HTTP/2"];
    for (kind, closed) in kinds.into_iter().zip(closed) {
        assert!(
            closed >= number / 8 && closed <= number * 3 / 4,
            "{closed} times one of {} was shut out: {kind}",
            number / 4
        );
    }
    let closed: u64 = closed.iter().sum();
    told(
        &node,
        &served,
        &format!(
            "{most} slow connections at once (heads, bodies, idle HTTP/1.1 and HTTP/2; {wanted} were wanted and this \
             machine allows {files} files), {closed} closed by the node"
        ),
    );
}

/// As many opaque tokens as JWTs: those are looked up in the store, these in the keys.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_name_keys_nobody_has_are_refused_and_cost_honest_people_nothing() {
    let number = count("PORTCULLIS_RANDOM_KIDS", 5_000);
    let node = Arc::new(Node::start(200).await);
    let honest = Honest::begin(&node).await;
    let left = Arc::new(AtomicU64::new(2 * number));
    let begun = Instant::now();
    let floods = (0..4).map(|_| {
        let (node, left) = (Arc::clone(&node), Arc::clone(&left));
        tokio::spawn(async move {
            let mut connection = node.open().await.unwrap();
            let mut sent = [0u64; 3];
            while let Ok(left) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            }) {
                let kind = if left % 2 == 0 { 0 } else { 1 + left / 2 % 2 };
                let token = match kind {
                    0 => random_token(&OsRandom, ""),
                    1 => unknown_key(&node.issuer(), &node.resource()),
                    _ => {
                        let name = random_token(&OsRandom, "");
                        let resource = format!("https://{name}.example/mcp");
                        unknown_key(&format!("https://{name}.example"), &resource)
                    }
                };
                let request = Request::post("/mcp/echo")
                    .header(header::AUTHORIZATION, format!("Bearer {token}"))
                    .header(header::CONTENT_TYPE, "application/json");
                let answer = connection.send(request, "{}").await.unwrap();
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
                let challenge = answer.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
                assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
                sent[usize::try_from(kind).unwrap_or_default()] += 1;
            }
            sent
        })
    });
    let mut sent = [0; 3];
    for flood in futures_util::future::join_all(floods).await {
        for (sum, part) in sent.iter_mut().zip(flood.unwrap()) {
            *sum += part;
        }
    }
    let took = begun.elapsed();
    let served = honest.end().await;
    let [opaque, ours, others] = sent;
    assert_eq!((opaque, ours + others), (number, number));
    assert!(ours.abs_diff(others) <= 1, "{ours} and {others}");
    told(
        &node,
        &served,
        &format!(
            "{number} well-formed JWTs, each with a random key id of its own, {ours} of them with the issuer and audience of \
             the MCP server and {others} with others, and {opaque} opaque tokens in {took:.0?}, all refused as invalid_token"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_registrations_is_stopped_and_costs_honest_people_nothing() {
    if !cfg!(target_os = "linux") {
        println!("connections from many addresses of this machine are made on Linux only");
        return;
    }
    let number = count("PORTCULLIS_REGISTRATIONS", 500);
    let node = Node::start(200).await;
    let honest = Honest::begin(&node).await;
    let mut said = Vec::new();
    // What comes from this machine itself is not counted, so both come through the proxy.
    for (how, many) in [("from one address", false), ("from many addresses", true)] {
        let mut connection = node.open_from(node::PROXY).await.unwrap();
        let (mut made, mut refused) = (0u64, 0u64);
        for turn in 0..number {
            let name = random_token(&OsRandom, "Flood ");
            let [a, b, c, _] = (if many { turn as u32 } else { 0 }).to_le_bytes();
            let answer = connection
                .send(
                    Request::post("/servers/echo/register")
                        .header(header::CONTENT_TYPE, "application/json")
                        .header("x-forwarded-for", format!("100.{c}.{b}.{a}")),
                    registration_body(&name),
                )
                .await
                .unwrap();
            match answer.status() {
                StatusCode::CREATED => made += 1,
                status if answer.headers().contains_key(header::RETRY_AFTER) => {
                    assert!(status.as_u16() == 429 || status.as_u16() == 503, "{status}");
                    refused += 1;
                }
                status => panic!("{status} without Retry-After"),
            }
        }
        assert!(made > 0, "{how}: the first ones are nobody's flood");
        assert!(refused > 0 || many, "{how}: none is refused");
        said.push(format!("{made} made and {refused} refused {how}"));
    }
    let served = honest.end().await;
    told(
        &node,
        &served,
        &format!(
            "{number} registrations each way behind a trusted proxy: {}",
            said.join(", ")
        ),
    );
}

/// Holds what was seen to the floors, and says it.
fn told(node: &Node, served: &honest::Served, flood: &str) {
    let memory = node.memory_peak();
    let megabytes = memory.div_ceil(1_000_000);
    println!("flood: {flood}; {served}; at most {megabytes} MB of memory");
    assert!(served.asked > 50, "the honest load did nothing: {served}");
    assert!(served.failed * 1000 <= served.asked, "{served}");
    assert!(memory < MEMORY_MAX, "{memory} bytes");
    // A figure that was not measured proves nothing.
    assert!(memory > 0 || !cfg!(target_os = "linux"));
}

/// A token that has everything but a key that exists.
fn unknown_key(issuer: &str, resource: &str) -> String {
    let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": random_token(&OsRandom, "")});
    let now = SystemClock.now().unix_ms() / 1000;
    let claims = json!({
        "iss": issuer, "aud": resource, "sub": "user_1", "client_id": "client_1", "exp": now + 3600, "iat": now,
        "jti": random_token(&OsRandom, ""), "scope": "mcp:read",
    });
    let part = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
    let mut signature = [0; 64];
    OsRandom.fill(&mut signature);
    format!("{}.{}.{}", part(&head), part(&claims), base64url(signature))
}

#[test]
fn a_token_of_the_flood_is_a_well_formed_jwt_and_no_two_name_one_key() {
    let keys: std::collections::BTreeSet<String> = (0..100)
        .map(|_| {
            let token = unknown_key("https://a.example", "https://a.example/mcp");
            let parts: Vec<_> = token.split('.').map(base64url_decode).collect();
            let [Some(head), Some(claims), Some(signature)] = &parts[..] else {
                panic!("{token}")
            };
            let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
            assert_eq!(read(claims)["aud"], "https://a.example/mcp");
            assert_eq!(signature.len(), 64);
            read(head)["kid"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(keys.len(), 100);
}
