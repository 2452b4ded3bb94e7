use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use crate::support::Rig;

async fn rig() -> Rig {
    Rig::with_echo(|echo| echo.sessions = true).await
}

#[tokio::test]
async fn a_session_lives_on_under_a_refreshed_token() {
    let rig = rig().await;
    let mut alice = rig.caller("note:read");
    let opened = alice.initialize().await;
    let outward = opened.headers["mcp-session-id"].to_str().unwrap();
    assert!(outward.starts_with("echo-session-1."), "{outward}");
    assert_eq!(
        alice.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    rig.clock.advance(std::time::Duration::from_secs(60));
    let refreshed = alice.with_bearer(&rig.token("note:read"));
    assert_eq!(
        refreshed.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    let sent = rig.echo.requests();
    assert_eq!(
        sent.last().unwrap().headers["mcp-session-id"],
        "echo-session-1"
    );
}

#[tokio::test]
async fn the_session_of_another_principal_is_404_with_every_method() {
    let rig = rig().await;
    let mut alice = rig.caller("note:read");
    let opened = alice.initialize().await;
    let session = opened.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    rig.echo.forget_requests();
    for (subject, client) in [("usr_bob", "cli_1"), ("usr_alice", "cli_2")] {
        let thief = rig
            .caller_as(subject, client, "note:read")
            .with_header("mcp-session-id", &session);
        let answer = thief.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{subject} {client}");
        for method in [Method::GET, Method::DELETE] {
            let answer = thief.send(method, Bytes::new()).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{subject} {client}");
        }
    }
    for forged in [
        "echo-session-1",
        "echo-session-1.",
        "x.AAAAAAAAAAAAAAAAAAAAAA",
        "nosuch",
    ] {
        let alice = rig
            .caller("note:read")
            .with_header("mcp-session-id", forged);
        let answer = alice.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{forged}");
    }
    assert_eq!(rig.echo.requests().len(), 0);
    assert_eq!(
        alice.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_ended_session_is_404_by_the_upstream_s_word() {
    let rig = rig().await;
    let mut alice = rig.caller("note:read");
    alice.initialize().await;
    let ended = alice.send(Method::DELETE, Bytes::new()).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let answer = alice.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.response()["error"]["code"], -32001);
}

#[tokio::test]
async fn a_missing_session_is_the_upstream_s_to_refuse() {
    let rig = rig().await;
    let answer = rig.caller("note:read").call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.response()["error"]["code"], -32000);
}
