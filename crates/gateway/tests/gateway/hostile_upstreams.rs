use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway::Upstream;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Rig, RigSettings, scripted};

/// A gateway in front of an upstream that answers every request with this text and then hangs up.
async fn rig_before(answer: String) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                read_request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
                // An answer that has begun is not to meet a reset.
                tokio::time::sleep(Duration::from_millis(20)).await;
            });
        }
    });
    Rig::with(RigSettings {
        upstream: Some(Upstream::Http {
            url: format!("http://127.0.0.1:{port}/mcp").parse().unwrap(),
            headers: Vec::new(),
        }),
        ..RigSettings::default()
    })
    .await
}

async fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
            .unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if count == 0 || body.is_some_and(|body| body >= length) {
            return;
        }
    }
}

fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_list_refused_by_its_server_keeps_the_status_that_clients_go_by() {
    let ours = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"no"}}"#;
    // The Python SDK answers so when a session is unknown.
    let foreign_id =
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no"}}"#;
    let no_id = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
    // FastAPI and others say it in a shape of their own.
    let other_shape = r#"{"detail":"secret words"}"#;
    for (status, body) in [
        ("404 Not Found", ours),
        ("404 Not Found", foreign_id),
        ("404 Not Found", no_id),
        ("404 Not Found", other_shape),
        ("400 Bad Request", foreign_id),
        ("405 Method Not Allowed", other_shape),
        ("429 Too Many Requests", other_shape),
    ] {
        let rig = rig_before(answer(status, "application/json", body)).await;
        let caller = rig.caller("note:read");
        let list = caller.request("tools/list", json!({})).await;
        assert_eq!(&status[..3], list.status.as_str(), "{body}");
        assert!(list.response()["error"].is_object(), "{body}");
        let got = caller.send(Method::GET, Bytes::new()).await;
        assert_eq!(&status[..3], got.status().as_str(), "GET {body}");
        let shown = got.into_body().collect().await.unwrap().to_bytes();
        for shown in [shown, list.body] {
            let shown = String::from_utf8_lossy(&shown).into_owned();
            assert!(!shown.contains("secret words"), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_name_that_another_reader_takes_for_one_of_a_list_is_not_shown() {
    for (result, shown) in [
        (r#"{"tools":[{"name":"echo"}]}"#, 1),
        (r#"{"tools":[{"name":"echo","Title":"x"}]}"#, 1),
        (r#"{"tools":[{"name":"echo","Name":"secret"}]}"#, 0),
        (
            r#"{"tools":[{"name":"echo"}],"tool\u017f":[{"name":"secret"}]}"#,
            1,
        ),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let rig = rig_before(answer("200 OK", "application/json", &body)).await;
        let list = rig
            .caller("note:read")
            .request("tools/list", json!({}))
            .await;
        let text = String::from_utf8_lossy(&list.body).into_owned();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(
            list.result()["tools"].as_array().unwrap().len(),
            shown,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_status_that_ends_no_request_or_asks_for_credentials_is_a_gateway_error() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for (status, expected) in [
        ("200 OK", 200),
        ("101 Switching Protocols", 502),
        ("407 Proxy Authentication Required", 502),
        ("999 Odd", 502),
    ] {
        let rig = rig_before(answer(status, "application/json", body)).await;
        let answer = rig.caller("note:read").call_tool("echo", json!({})).await;
        assert_eq!(answer.status.as_u16(), expected, "{status}");
    }
}

#[tokio::test]
async fn the_task_named_in_a_header_reaches_an_upstream_that_routes_by_it() {
    let rig = Rig::start().await;
    for named in [true, false] {
        rig.echo.forget_requests();
        let mut caller = rig
            .caller("note:read")
            .with_header("mcp-protocol-version", "2026-07-28")
            .with_header("mcp-method", "tasks/get");
        if named {
            caller = caller.with_header("mcp-name", "task-1");
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {
            "taskId": "task-1",
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
        }});
        caller.post(&body).await;
        let sent = rig.echo.requests();
        let name = sent[0].headers.get("mcp-name").cloned();
        assert_eq!(name.is_some(), named);
    }
}

#[tokio::test]
async fn a_method_of_any_length_leaves_a_short_record() {
    let rig = Rig::start().await;
    let port = rig.port;
    let method = "X".repeat(20_000);
    let shown = rig
        .raw(
            &format!("{method} /mcp/notes HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"),
            b"",
        )
        .await;
    assert!(shown.starts_with("HTTP/1.1 401"), "{shown}");
    let record = rig.next_record().await;
    assert!(record.method.len() <= 200, "{}", record.method.len());
}

#[tokio::test]
async fn a_stream_tells_nothing_of_resources_that_its_caller_may_not_read() {
    let told = |uri: &str| {
        let told = json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}});
        format!("data: {told}\n\n")
    };
    let events = ["note://1", "note://2", "note://unmapped/x"].map(told);
    let rig = rig_before(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: public, max-age=60\r\nConnection: close\r\n\r\n{}",
        events.concat()
    ))
    .await;
    for (scope, expected) in [
        ("note:read", vec![&events[0]]),
        ("note:read note:write", vec![&events[0], &events[1]]),
    ] {
        let stream = rig.caller(scope).send(Method::GET, Bytes::new()).await;
        assert_eq!(stream.headers()["cache-control"], "no-store");
        let shown = stream.into_body().collect().await.unwrap().to_bytes();
        let expected: String = expected.into_iter().map(String::as_str).collect();
        assert_eq!(String::from_utf8_lossy(&shown), expected);
    }
}

#[tokio::test]
async fn calls_left_by_their_callers_take_no_more_connections_than_they_may() {
    let open = Arc::new(AtomicUsize::new(0));
    let arrived = Arc::new(AtomicUsize::new(0));
    let counted = (Arc::clone(&open), Arc::clone(&arrived));
    let upstream = scripted(move |_, mut stream| {
        let (open, arrived) = counted.clone();
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            arrived.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0u8; 1]).await;
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let rig = crate::support::rig_before(upstream).await;
    let becomes = async |count: &AtomicUsize, wanted: usize| {
        for _ in 0..1000 {
            if count.load(Ordering::SeqCst) == wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        false
    };
    let mut made = 0;
    for (calls, kept) in [(40, 40), (260, 256)] {
        for _ in 0..calls {
            let client = rig.caller("note:read");
            let call = tokio::spawn(async move { client.call_tool("echo", json!({})).await });
            made += 1;
            assert!(becomes(&arrived, made).await, "call {made} arrives");
            call.abort();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(becomes(&open, kept).await, "{kept} are kept");
    }
}

#[tokio::test]
async fn a_stream_of_a_stated_length_arrives_whole_though_comments_are_put_in() {
    let events = [
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n",
    ];
    let upstream = scripted(move |_, mut stream| async move {
        let length = events.concat().len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(events[0].as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stream.write_all(events[1].as_bytes()).await.unwrap();
    })
    .await;
    let mut settings = RigSettings {
        upstream: Some(upstream),
        ..RigSettings::default()
    };
    settings.limits.keep_alive_after = Duration::from_millis(200);
    let rig = Rig::with(settings).await;
    let answer = rig.caller("note:read").call_tool("echo", json!({})).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains(": \n\n"), "{text:?}");
    assert_eq!(text.replace(": \n\n", ""), events.concat());
}
