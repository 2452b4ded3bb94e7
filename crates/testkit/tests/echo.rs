//! The echo server and the client, against each other.
#![allow(clippy::unwrap_used)]

use http::{Method, StatusCode};
use portcullis_testkit::echo::{Echo, EchoSettings, Hostility};
use portcullis_testkit::{Answer, McpClient};
use serde_json::json;

#[tokio::test]
async fn a_call_comes_back_with_its_arguments_in_both_eras() {
    let echo = Echo::start(EchoSettings::default()).await;
    let mut client = McpClient::new(echo.url());
    let modern = client
        .modern("tools/call", json!({"name": "echo", "arguments": {"a": 1}}))
        .await;
    assert_eq!(modern.text(), r#"{"a":1}"#);
    assert_eq!(modern.result()["resultType"], "complete");
    assert_eq!(client.initialize().await.status, StatusCode::OK);
    assert_eq!(
        client.call_tool("echo", json!({"a": 1})).await.text(),
        r#"{"a":1}"#
    );
    assert_eq!(
        client.tool_names().await,
        ["echo", "write_note", "delete_note"]
    );
}

#[tokio::test]
async fn sessions_are_required_when_asked_for_and_end_with_delete() {
    let echo = Echo::start(EchoSettings {
        sessions: true,
        ..EchoSettings::default()
    })
    .await;
    let mut client = McpClient::new(echo.url());
    let early = client.call_tool("echo", json!({})).await;
    assert_eq!(early.status, StatusCode::BAD_REQUEST);
    client.initialize().await;
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    let ended = client.send(Method::DELETE, bytes::Bytes::new()).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_legacy_only_server_refuses_the_modern_probe() {
    let echo = Echo::start(EchoSettings {
        modern: false,
        ..EchoSettings::default()
    })
    .await;
    let client = McpClient::new(echo.url());
    let probe = client.modern("server/discover", json!({})).await;
    assert_eq!(probe.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn notifications_come_before_the_answer_on_one_stream() {
    let echo = Echo::start(EchoSettings::default()).await;
    let client = McpClient::new(echo.url());
    let answer = client.call_tool("count", json!({"events": 3})).await;
    assert_eq!(answer.messages().len(), 4);
    assert_eq!(answer.text(), r#"{"events":3}"#);
}

#[tokio::test]
async fn lists_are_cut_into_pages() {
    let echo = Echo::start(EchoSettings {
        page_size: 2,
        ..EchoSettings::default()
    })
    .await;
    let client = McpClient::new(echo.url());
    let first = client.request("tools/list", json!({})).await.result();
    assert_eq!(first["nextCursor"], "2");
    let second = client
        .request("tools/list", json!({"cursor": "2"}))
        .await
        .result();
    assert_eq!(second["tools"].as_array().unwrap().len(), 1);
    assert!(second.get("nextCursor").is_none());
}

#[tokio::test]
async fn it_records_when_asked_and_misbehaves_when_told() {
    let echo = Echo::start(EchoSettings {
        record: true,
        ..EchoSettings::default()
    })
    .await;
    let client = McpClient::new(echo.url()).with_header("x-test", "1");
    client.request("ping", json!({})).await;
    let seen = echo.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["x-test"], "1");
    for (hostility, status) in [
        (Hostility::Redirect("http://127.0.0.1:1/".into()), 307),
        (Hostility::Unauthorized, 401),
        (Hostility::Status(503), 503),
        (Hostility::WrongContentType, 200),
        (Hostility::HugeBody(100_000), 200),
    ] {
        echo.set_hostility(Some(hostility));
        let answer: Answer = client.request("ping", json!({})).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    echo.set_hostility(None);
    assert_eq!(
        client.request("ping", json!({})).await.status,
        StatusCode::OK
    );
}
