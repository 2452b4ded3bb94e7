//! What is counted, and that no caller can make it more.
#![allow(clippy::unwrap_used)]

// The recorder is one per process, so this test has a process of its own.
mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use common::{EMAIL, Home, PASSWORD};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use portcullis_cli::{Operations, Stack, UpOptions};
use serde_json::{Value, json};
use testkit::Connection;
use testkit::person::{Person, registration_body};

async fn scrape(operations: &Operations) -> String {
    let request = Request::get("/metrics").body(()).unwrap();
    let body = operations.respond(&request).await.into_body();
    let body = body.collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
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
    let stack = Stack::start(UpOptions {
        operations: true,
        ..UpOptions::new(home.data())
    })
    .await
    .unwrap();
    home.add_user().await;
    let operations = stack.operations().unwrap();
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
    let before = scrape(&operations).await;
    for number in 1..=20 {
        attacker.round(number).await;
    }
    let after = scrape(&operations).await;
    assert_eq!(series(&before), series(&after));
    assert!(!after.contains("flood"), "a caller's word is in it");
    for (name, each_round) in [
        ("portcullis_calls_total", 10.0),
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
