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

use base::{OsRandom, base64url, random_token};
use http::{Request, StatusCode, header};
use serde_json::json;
use support::count;
use testkit::person::registration_body;

use honest::Honest;
use node::Node;

/// What a node may hold in memory while it is flooded, in mebibytes.
const MEMORY_MAX: u64 = 512;

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

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_name_keys_nobody_has_are_refused_and_cost_honest_people_nothing() {
    let number = count("PORTCULLIS_RANDOM_KIDS", 5_000);
    let node = Arc::new(Node::start(200).await);
    let honest = Honest::begin(&node).await;
    let left = Arc::new(AtomicU64::new(number));
    let begun = Instant::now();
    let floods = (0..4).map(|_| {
        let (node, left) = (Arc::clone(&node), Arc::clone(&left));
        tokio::spawn(async move {
            let mut connection = node.open().await.unwrap();
            while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            }) {
                let token = match number % 2 {
                    0 => random_token(&OsRandom, ""),
                    _ => unknown_key(&node),
                };
                let request = Request::post("/mcp/echo")
                    .header(header::AUTHORIZATION, format!("Bearer {token}"))
                    .header(header::CONTENT_TYPE, "application/json");
                let answer = connection.send(request, "{}").await.unwrap();
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            }
        })
    });
    for flood in futures_util::future::join_all(floods).await {
        flood.unwrap();
    }
    let took = begun.elapsed();
    let served = honest.end().await;
    told(
        &node,
        &served,
        &format!("{number} tokens with random key ids in {took:.0?}, all refused"),
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
    println!("flood: {flood}; {served}; at most {memory} MiB of memory");
    assert!(served.asked > 50, "the honest load did nothing: {served}");
    assert!(served.failed * 1000 <= served.asked, "{served}");
    assert!(memory < MEMORY_MAX, "{memory} MiB");
}

/// A token that has everything but a key that exists.
fn unknown_key(node: &Node) -> String {
    let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": random_token(&OsRandom, "")});
    let claims = json!({
        "iss": node.issuer(), "aud": node.resource(), "sub": "user_1", "client_id": "client_1",
        "exp": 4_102_444_800u64, "iat": 1_700_000_000, "jti": "1", "scope": "mcp:read",
    });
    let part = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
    format!("{}.{}.{}", part(&head), part(&claims), base64url([7u8; 64]))
}
