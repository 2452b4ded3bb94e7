//! What whoever operates a node can see of it: metrics, health, and the id of a request in the log.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{EMAIL, Home, PASSWORD, Up};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use portcullis_cli::{Operations, Stack, UpOptions};
use serde_json::{Value, json};
use testkit::person::{Person, registration_body};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_until_its_feed_is_stale_or_its_end_has_begun() {
    let home = Home::new();
    let clock = MovableClock::default();
    let stack = Stack::start(UpOptions {
        clock: Arc::new(clock.clone()),
        ..UpOptions::new(home.data())
    })
    .await
    .unwrap();
    let operations = stack.operations();
    let (status, ready) = readiness(&operations).await;
    assert_eq!((status, &ready["ready"]), (StatusCode::OK, &json!(true)));

    clock.advance(Duration::from_secs(301));
    let (status, stale) = readiness(&operations).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stale["checks"]["policy_feed"]["ok"], false, "{stale}");
    assert_eq!(stale["checks"]["store"]["ok"], true, "{stale}");
    // The authority is asked four times a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(readiness(&operations).await.0, StatusCode::OK);

    stack.announce_shutdown();
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
    let stack = home.stack().await;
    let operations = stack.operations();
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

/// The series of `/metrics`: names with labels, without values.
fn series(metrics: &str) -> BTreeSet<String> {
    metrics
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect()
}

/// The sum over all series of a metric.
fn total(metrics: &str, name: &str) -> f64 {
    metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

struct Attacker {
    web: Connection,
    issuer: String,
    token: String,
}

impl Attacker {
    async fn send(&mut self, request: http::request::Builder, body: String) -> Response<Bytes> {
        if let Ok(answer) = self.web.send(request, body).await {
            return answer;
        }
        panic!("the connection was closed");
    }

    /// Everything a caller can write into a request, as something that nobody wrote before.
    async fn round(&mut self, number: usize) {
        let new = format!("flood{number}");
        let hostile = |method: &str, path: &str| {
            Request::builder()
                .method(method)
                .uri(path)
                .header(header::USER_AGENT, format!("{new}/1.0"))
        };
        let form = "application/x-www-form-urlencoded";
        let issuer = self.issuer.clone();

        for (method, path) in [
            ("POST", "/mcp/todo".to_owned()),
            ("POST", format!("/mcp/{new}")),
            ("GET", format!("/{new}")),
            ("POST", format!("/servers/{new}/token")),
            (
                "GET",
                format!("/.well-known/oauth-protected-resource/mcp/{new}"),
            ),
        ] {
            self.send(hostile(method, &path), new.clone()).await;
        }
        self.send(hostile(&format!("X{number}"), "/mcp/todo"), String::new())
            .await;
        let foreign =
            hostile("POST", "/mcp/todo").header(header::ORIGIN, format!("https://{new}.example"));
        self.send(foreign, String::new()).await;
        let bad_token =
            hostile("POST", "/mcp/todo").header(header::AUTHORIZATION, format!("Bearer {new}"));
        self.send(bad_token, String::new()).await;

        for message in [
            json!({"jsonrpc": "2.0", "id": 1, "method": new}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": new, "arguments": {}}}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": format!("x:{new}")}}),
            json!({"jsonrpc": "2.0", "method": format!("notifications/{new}")}),
            json!([new]),
        ] {
            let call = hostile("POST", "/mcp/todo")
                .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
                .header(header::ACCEPT, "application/json, text/event-stream")
                .header(header::CONTENT_TYPE, "application/json");
            self.send(call, message.to_string()).await;
        }

        for (path, body) in [
            ("token", format!("grant_type={new}&client_id={new}")),
            (
                "token",
                format!("grant_type=refresh_token&refresh_token={new}&client_id={new}"),
            ),
            ("token", new.clone()),
            ("revoke", format!("token={new}&client_id={new}")),
            (
                "introspect",
                format!("token={new}&client_id={new}&client_secret={new}"),
            ),
        ] {
            let request =
                hostile("POST", &format!("{issuer}/{path}")).header(header::CONTENT_TYPE, form);
            self.send(request, body).await;
        }
        for body in [
            registration_body(&new),
            format!("{{\"client_name\": \"{new}\""),
        ] {
            let request = hostile("POST", &format!("{issuer}/register"))
                .header(header::CONTENT_TYPE, "application/json");
            self.send(request, body).await;
        }
        for query in [
            "client_id=",
            "request=",
            "response_type=code&client_id=x&state=",
        ] {
            self.send(
                hostile("GET", &format!("{issuer}/authorize?{query}{new}")),
                String::new(),
            )
            .await;
        }
        let sign_in = hostile("POST", "/sign-in").header(header::CONTENT_TYPE, form);
        self.send(sign_in, format!("email={new}&password={new}&csrf={new}"))
            .await;
        let sign_out = hostile("POST", "/sign-out").header(header::CONTENT_TYPE, form);
        self.send(sign_out, format!("csrf={new}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_new_words_makes_no_new_series() {
    let home = Home::new();
    let stack = home.stack().await;
    home.add_user().await;
    let operations = stack.operations();
    let address = format!("localhost:{}", stack.port);
    let mut web = Connection::open(&address).await.unwrap();
    let (person, code) = Person::sign_in(&mut web, &stack.issuer, EMAIL, PASSWORD)
        .await
        .unwrap();
    let exchange = Request::post(format!("{}/token", person.issuer_path))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let granted = web
        .send(exchange, person.exchange_form(&code))
        .await
        .unwrap();
    let granted: Value = serde_json::from_slice(granted.body()).unwrap();
    let mut attacker = Attacker {
        web,
        issuer: person.issuer_path,
        token: granted["access_token"].as_str().unwrap().to_owned(),
    };

    attacker.round(0).await;
    let before = ask(&operations, "/metrics").await.1;
    for number in 1..=20 {
        attacker.round(number).await;
    }
    let after = ask(&operations, "/metrics").await.1;
    assert_eq!(series(&before), series(&after));
    assert!(!after.contains("flood"), "a caller's word is in it");
    for (name, each_round) in [
        ("portcullis_calls_total", 11.0),
        ("portcullis_token_requests_total", 3.0),
        ("portcullis_registrations_total", 2.0),
        ("portcullis_authorizations_total", 3.0),
        ("portcullis_sign_ins_total", 1.0),
        ("portcullis_revocations_total", 1.0),
        ("portcullis_introspections_total", 1.0),
    ] {
        let counted = total(&after, name) - total(&before, name);
        assert!(
            counted >= 20.0 * each_round,
            "{name} counted {counted} of 20 rounds"
        );
    }
    for expected in [
        r#"portcullis_calls_total{server="todo",method="other",outcome="denied",reason="unknown_method"}"#,
        r#"portcullis_calls_total{server="todo",method="tools/call",outcome="denied",reason="unmapped"}"#,
        r#"portcullis_token_requests_total{server="todo",grant_type="other",outcome="refused",error="unsupported_grant_type"}"#,
        r#"portcullis_token_requests_total{server="todo",grant_type="authorization_code",outcome="issued",error="none"}"#,
        r#"portcullis_authorizations_total{server="todo",outcome="consented",error="none"}"#,
        r#"portcullis_sign_ins_total{outcome="ok",error="none"}"#,
        r#"portcullis_call_duration_seconds_bucket{server="todo",outcome="denied",le="0.0005"}"#,
        r#"portcullis_request_duration_seconds_bucket{endpoint="token",status="4xx",le="10"}"#,
        r#"portcullis_store_group_writes_bucket{database="authority",le="256"}"#,
    ] {
        assert!(series(&after).contains(expected), "{expected} in\n{after}");
    }
    for name in [
        "portcullis_policy_feed_age_seconds",
        "portcullis_signing_key_age_seconds{purpose=\"access-token\"}",
        "process_open_fds",
    ] {
        assert!(series(&after).contains(name), "{name} in\n{after}");
    }
    assert!(after.contains("# HELP portcullis_calls_total "));
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
        .header(header::ORIGIN, "https://forged.example\u{7f}");
    let refused = web.send(hostile, "").await;
    let by_gateway = Request::post("/mcp/todo").header(header::AUTHORIZATION, "Bearer forged");
    let by_gateway = web.send(by_gateway, "").await.unwrap();
    let by_gateway: Value = serde_json::from_slice(by_gateway.body()).unwrap();
    let by_authority = Request::post("/servers/todo/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = "grant_type=x&client_id=%0d%0a2026-01-01T00:00:00Z%20ERROR%20forged%1b[2J";
    let by_authority = web.send(by_authority, form).await.unwrap();
    let in_header = by_authority.headers()["portcullis-correlation-id"].clone();
    let by_authority: Value = serde_json::from_slice(by_authority.body()).unwrap();
    drop(refused);
    let log = up.stop().await.stderr;

    let ids = [&by_gateway, &by_authority].map(|body| body["correlation_id"].as_str().unwrap());
    assert_ne!(ids[0], ids[1]);
    assert_eq!(in_header, ids[1]);
    for id in ids {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(id)).collect();
        assert!(!lines.is_empty(), "{id} in\n{log}");
        for line in lines.iter().filter(|line| line.contains("refused")) {
            assert!(line.contains(&format!("request.id={id}")), "{line}");
        }
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
