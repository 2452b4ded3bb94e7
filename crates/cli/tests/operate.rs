//! What whoever operates a node can see of it: its health, and the id of a request in the log.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Home, Up};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use portcullis_cli::{Operations, Stack, UpOptions};
use serde_json::{Value, json};
use testkit::{Connection, MovableClock};

async fn ask(operations: &Operations, path: &str) -> (StatusCode, String) {
    let response = operations
        .respond(&Request::get(path).body(()).unwrap())
        .await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn readiness(operations: &Operations) -> (StatusCode, Value) {
    let (status, body) = ask(operations, "/readyz").await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Their labels come with what they count, or with PostgreSQL or TLS; alerts ask for their rates and ends.
const COME_LATER: [&str; 11] = [
    "portcullis_calls_total",
    "portcullis_upstream_duration_seconds_bucket",
    "portcullis_request_duration_seconds_count",
    "portcullis_token_requests_total",
    "portcullis_sign_ins_total",
    "portcullis_mail_messages_total",
    "portcullis_acme_orders_total",
    "portcullis_store_commit_duration_seconds_bucket",
    "portcullis_store_acquire_timeouts_total",
    "portcullis_store_retries_total",
    "portcullis_certificate_expiry_timestamp_seconds",
];

/// An alert on an increase sees none in a series that begins with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_alert_asks_for_is_there_before_anything_has_happened() {
    let home = Home::new();
    let stack = Stack::start(UpOptions {
        operations: true,
        ..UpOptions::new(home.data())
    })
    .await
    .unwrap();
    let operations = stack.operations().unwrap();
    let alerts = include_str!("../../../deploy/alerts.yml");
    let mut asked: Vec<&str> = alerts
        .lines()
        .filter(|line| !line.contains("description: "))
        .flat_map(|line| {
            line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        })
        .filter(|word| word.starts_with("portcullis_"))
        .collect();
    asked.sort_unstable();
    asked.dedup();
    assert!(asked.len() > 20, "{asked:?}");
    for name in COME_LATER {
        assert!(asked.contains(&name), "no alert asks for {name}");
    }
    asked.retain(|name| !COME_LATER.contains(name));
    let mut missing = vec!["anything"];
    // The chore that seals the audit log has its first turn beside us.
    for _ in 0..50 {
        let (_, metrics) = ask(&operations, "/metrics").await;
        let has = |name: &str| {
            metrics.lines().any(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
        };
        assert!(!has("portcullis_request_panics"), "a part of a name");
        missing = asked.iter().filter(|name| !has(name)).copied().collect();
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(missing, Vec::<&str>::new());
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_until_its_feed_is_stale_or_its_end_has_begun() {
    let home = Home::new();
    let clock = MovableClock::default();
    let stack = Stack::start(UpOptions {
        clock: Arc::new(clock.clone()),
        operations: true,
        ..UpOptions::new(home.data())
    })
    .await
    .unwrap();
    let operations = stack.operations().unwrap();
    let (status, ready) = readiness(&operations).await;
    assert_eq!((status, &ready["ready"]), (StatusCode::OK, &json!(true)));

    clock.advance(Duration::from_secs(301));
    let (status, stale) = readiness(&operations).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stale["checks"]["policy_feed"]["ok"], false, "{stale}");
    assert_eq!(stale["checks"]["store"]["ok"], true, "{stale}");
    for (query, status) in [
        ("exclude=policy_feed", StatusCode::OK),
        ("exclude=store&exclude=policy_feed", StatusCode::OK),
        ("exclude=running", StatusCode::BAD_REQUEST),
        ("exclude=", StatusCode::BAD_REQUEST),
    ] {
        let asked = ask(&operations, &format!("/readyz?{query}")).await;
        assert_eq!(asked.0, status, "{query}: {}", asked.1);
    }
    // The authority is asked four times a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(readiness(&operations).await.0, StatusCode::OK);

    stack.announce_shutdown();
    let excluded = ask(&operations, "/readyz?exclude=store").await;
    assert_eq!(
        excluded.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        excluded.1
    );
    let (status, ending) = readiness(&operations).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        ending["checks"]["running"]["reason"],
        "the shutdown has begun"
    );
    let (status, body) = ask(&operations, "/healthz").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "ok\n"));

    stack.shutdown().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (_, ended) = readiness(&operations).await;
    assert_eq!(ended["checks"]["store"]["ok"], false, "{ended}");
    assert_eq!(ask(&operations, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_answer_to_reading_alone_and_to_three_addresses() {
    let home = Home::new();
    let stack = Stack::start(UpOptions {
        operations: true,
        ..UpOptions::new(home.data())
    })
    .await
    .unwrap();
    let operations = stack.operations().unwrap();
    assert_eq!(ask(&operations, "/").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&operations, "/mcp/todo").await.0, StatusCode::NOT_FOUND);
    let post = Request::post("/metrics").body(()).unwrap();
    let refused = operations.respond(&post).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[header::ALLOW], "GET, HEAD");
    let head = Request::head("/metrics").body(()).unwrap();
    let answer = operations.respond(&head).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    // And the public listener has none of them.
    let mut web = Connection::open(&format!("localhost:{}", stack.port))
        .await
        .unwrap();
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = web.send(Request::get(path), "").await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_shows_the_id_that_its_request_has_on_every_line_of_the_log() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0", "--log", "info"]).await;
    let authority = up.url("authority_url").strip_prefix("http://").unwrap();
    let mut web = Connection::open(authority).await.unwrap();
    let hostile = Request::post("/mcp/todo")
        .header(header::USER_AGENT, "x\u{9b}2J ERROR forged")
        .header(header::ORIGIN, "https://forged.example\u{9b}31m");
    let refused = web.send(hostile, "").await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let by_gateway = Request::post("/mcp/todo").header(header::AUTHORIZATION, "Bearer forged");
    let by_gateway = web.send(by_gateway, "").await.unwrap();
    let by_gateway: Value = serde_json::from_slice(by_gateway.body()).unwrap();
    let by_authority = Request::post("/servers/todo/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = "grant_type=x&client_id=%0d%0a2026-01-01T00:00:00Z%20ERROR%20forged%1b[2J";
    let by_authority = web.send(by_authority, form).await.unwrap();
    let in_header = by_authority.headers()["portcullis-correlation-id"].clone();
    let by_authority: Value = serde_json::from_slice(by_authority.body()).unwrap();
    let log = up.stop().await.stderr;

    let ids = [&by_gateway, &by_authority].map(|body| body["correlation_id"].as_str().unwrap());
    assert_ne!(ids[0], ids[1]);
    assert_eq!(in_header, ids[1]);
    for id in ids {
        // The line of the handshake is for people and ends with the id alone.
        let told = format!("ref {id}");
        let lines = log
            .lines()
            .filter(|line| line.contains(id) && !line.contains(&told));
        let (with, without): (Vec<&str>, Vec<&str>) =
            lines.partition(|line| line.contains(&format!("request.id={id}")));
        assert!(!with.is_empty(), "{id} in\n{log}");
        assert!(without.is_empty(), "{without:?}");
    }
    assert!(
        !log.contains(|character: char| character.is_control() && character != '\n'),
        "{log:?}"
    );
    assert!(
        log.lines().all(|line| !line.starts_with("2026-01-01T")),
        "a line was forged:\n{log}"
    );
}
