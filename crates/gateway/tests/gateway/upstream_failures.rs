use std::time::{Duration, Instant};

use gateway::{Outcome, Upstream};
use http::StatusCode;
use serde_json::json;
use testkit::echo::Hostility;

use crate::support::{Rig, RigSettings};

#[tokio::test]
async fn an_upstream_that_fails_is_a_gateway_error_in_words_and_comes_back() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    let redirect = "https://elsewhere.example/mcp?key=canary".to_owned();
    for (hostility, status, words) in [
        (Hostility::Disconnect, 502, "broke off"),
        (Hostility::Garbage, 502, "broke off"),
        (
            Hostility::Redirect(redirect),
            502,
            "https://elsewhere.example/mcp",
        ),
        (Hostility::Unauthorized, 502, "--upstream-header-file"),
        (Hostility::Status(403), 502, "--upstream-header-file"),
        (Hostility::Status(421), 502, "host name"),
        (Hostility::Status(500), 502, "failed (500"),
        (Hostility::Status(200), 502, "without a body"),
        (Hostility::WrongContentType, 502, "text/html"),
        (Hostility::Hang, 504, "did not begin to answer"),
        // What tells a client something is kept.
        (Hostility::Status(400), 400, "400 Bad Request"),
        (Hostility::Status(404), 404, "404 Not Found"),
        (Hostility::Status(405), 405, "405 Method Not Allowed"),
        (Hostility::Status(429), 429, "429 Too Many Requests"),
    ] {
        rig.echo.set_hostility(Some(hostility.clone()));
        // Garbage speaks from the first byte of a connection, so a kept one must go.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut answer = client.call_tool("echo", json!({})).await;
        if matches!(hostility, Hostility::Garbage) {
            answer = client.call_tool("echo", json!({})).await;
        }
        assert_eq!(answer.status.as_u16(), status, "{hostility:?}");
        assert!(
            !answer.headers.contains_key("www-authenticate"),
            "{hostility:?}"
        );
        assert!(!answer.headers.contains_key("location"), "{hostility:?}");
        let error = answer.response()["error"].clone();
        assert_eq!(answer.response()["id"], 1, "{hostility:?}");
        assert!(error["data"]["correlation_id"].is_string(), "{hostility:?}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{hostility:?}: {message}");
        assert!(!message.contains("canary"), "{message}");
    }
    rig.echo.set_hostility(None);
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_upstream_that_is_down_is_502_and_works_once_it_is_up() {
    let port = testkit::unused_port().await;
    let rig = Rig::with(RigSettings {
        upstream: Some(Upstream::Http {
            url: format!("http://127.0.0.1:{port}/mcp").parse().unwrap(),
            headers: Vec::new(),
        }),
        ..RigSettings::default()
    })
    .await;
    let client = rig.caller("note:read");
    let answer = client.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let message = answer.response()["error"]["message"].to_string();
    assert!(message.contains("cannot be reached"), "{message}");
    assert!(message.contains(&port.to_string()), "{message}");
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::UpstreamFailed);
    assert_eq!(record.status, 502);
    let notified = client.notify("notifications/initialized").await;
    assert_eq!(notified.status, StatusCode::BAD_GATEWAY);

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let _echo = testkit::echo::Echo::start_on(listener, Default::default());
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_call_is_not_repeated_when_its_connection_breaks_after_it_was_sent() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    rig.echo.forget_requests();
    rig.echo.set_hostility(Some(Hostility::Disconnect));
    let answer = client.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(rig.echo.requests().len(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_upstream_closed_is_not_used() {
    let port = testkit::unused_port().await;
    let rig = Rig::with(RigSettings {
        upstream: Some(Upstream::Http {
            url: format!("http://127.0.0.1:{port}/mcp").parse().unwrap(),
            headers: Vec::new(),
        }),
        ..RigSettings::default()
    })
    .await;
    let client = rig.caller("note:read");
    for _ in 0..3 {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap();
        let echo = testkit::echo::Echo::start_on(listener, Default::default());
        for _ in 0..3 {
            let answer = client.call_tool("echo", json!({})).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
        drop(echo);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_slow_upstream_does_not_hold_up_other_calls() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.call_tool("slow", json!({"ms": 1500})).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    assert_eq!(
        client.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(slow.await.unwrap().text(), r#"{"ms":1500}"#);
}
