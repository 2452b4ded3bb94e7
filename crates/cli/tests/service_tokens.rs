//! A machine that cannot do OAuth, from its token to its end.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Home, Up};
use http::StatusCode;
use serde_json::json;
use testkit::McpClient;

async fn create(home: &Home, name: &str, scope: &str) -> String {
    let arguments = [
        "service-tokens",
        "create",
        "--name",
        name,
        "--scope",
        scope,
        "--expires",
        "90d",
    ];
    let ran = home.run(&arguments).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_token_calls_what_it_may_until_it_is_revoked_and_its_neighbour_goes_on() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    let client = |token: &str| {
        McpClient::new(up.url("mcp_url"))
            .with_header("accept", "application/json, text/event-stream")
            .with_bearer(token)
    };
    let nightly = client(&create(&home, "nightly", "todo:read").await);
    let weekly = client(&create(&home, "weekly", "todo:read").await);
    let list = async |client: &McpClient| {
        let answer = client.call_tool("list_todos", json!({})).await;
        answer.status
    };
    assert_eq!(list(&nightly).await, StatusCode::OK);
    assert_eq!(list(&weekly).await, StatusCode::OK);
    // What its scope does not reach is not there for it, and never a success.
    let answer = nightly.call_tool("add_todo", json!({"title": "x"})).await;
    assert!(
        answer.status == StatusCode::FORBIDDEN || answer.response()["error"].is_object(),
        "{answer:?}"
    );
    // No browser, no client, no refresh: the same token works on after new keys.
    assert_eq!(home.run(&["keys", "rotate", "--now"]).await.code, 0);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(list(&nightly).await, StatusCode::OK);

    let listed = home.run(&["service-tokens", "list"]).await.stdout;
    let line = listed.lines().find(|line| line.contains("nightly"));
    let id = line.unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(!listed.contains("pct_"), "{listed}");
    let ran = home.run(&["service-tokens", "revoke", &id]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let began = Instant::now();
    while list(&nightly).await != StatusCode::UNAUTHORIZED {
        assert!(began.elapsed() < Duration::from_secs(1), "still accepted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(list(&weekly).await, StatusCode::OK);
    let unknown = client(&format!("pct_{}", "A".repeat(43)));
    assert_eq!(list(&unknown).await, StatusCode::UNAUTHORIZED);
    up.stop().await;
}
