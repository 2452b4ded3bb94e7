use std::time::Duration;

use bytes::Bytes;
use gateway::{DiscoverError, Limits, discover};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::Answer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{head, rig_before, scripted};

const LIST: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},{"name":"secret"}]}}"#;

/// Whether the other side goes away within this time.
async fn goes_away(stream: &mut TcpStream, within: Duration) -> bool {
    let mut byte = [0u8; 1];
    matches!(
        tokio::time::timeout(within, stream.read(&mut byte)).await,
        Ok(Ok(0) | Err(_))
    )
}

#[tokio::test]
async fn a_modern_caller_that_goes_away_cancels_and_a_legacy_one_does_not() {
    for answer_began in [false, true] {
        for modern in [false, true] {
            let (sender, mut went_away) = mpsc::channel(1);
            let upstream = scripted(move |_, mut stream| {
                let sender = sender.clone();
                async move {
                    if answer_began {
                        let begun = format!("{}: begun\n\n", head("text/event-stream"));
                        stream.write_all(begun.as_bytes()).await.unwrap();
                    }
                    let away = goes_away(&mut stream, Duration::from_millis(700)).await;
                    sender.send(away).await.unwrap();
                }
            })
            .await;
            let rig = rig_before(upstream).await;
            let client = rig.caller("note:read");
            let call = tokio::spawn(async move {
                let body = if modern {
                    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                        "name": "echo", "arguments": {},
                        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
                    }})
                } else {
                    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}})
                };
                let client = if modern {
                    client
                        .with_header("mcp-protocol-version", "2026-07-28")
                        .with_header("mcp-method", "tools/call")
                        .with_header("mcp-name", "echo")
                } else {
                    client
                };
                let mut response = client.send(Method::POST, body.to_string().into()).await;
                let _ = response.body_mut().frame().await;
                std::future::pending::<()>().await;
            });
            tokio::time::sleep(Duration::from_millis(200)).await;
            call.abort();
            assert_eq!(
                went_away.recv().await,
                Some(modern),
                "answer began: {answer_began}"
            );
        }
    }
}

#[tokio::test]
async fn a_listening_stream_that_is_left_is_left_upstream_too() {
    let (sender, mut went_away) = mpsc::channel(1);
    let upstream = scripted(move |_, mut stream| {
        let sender = sender.clone();
        async move {
            let begun = format!("{}: begun\n\n", head("text/event-stream"));
            stream.write_all(begun.as_bytes()).await.unwrap();
            let away = goes_away(&mut stream, Duration::from_secs(2)).await;
            sender.send(away).await.unwrap();
        }
    })
    .await;
    let rig = rig_before(upstream).await;
    let mut response = rig
        .caller("note:read")
        .send(Method::GET, Bytes::new())
        .await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(went_away.recv().await, Some(true));
}

#[tokio::test]
async fn a_list_is_filtered_however_its_stream_is_cut_into_pieces() {
    let stream = format!(": hi\r\nid: 7\r\nretry: 5\r\ndata: {LIST}\r\n\r\n");
    for piece in [1, 7, 1000] {
        let stream = stream.clone();
        let upstream = scripted(move |_, mut connection| {
            let stream = stream.clone();
            async move {
                let begun = head("text/event-stream; charset=utf-8");
                connection.write_all(begun.as_bytes()).await.unwrap();
                for piece in stream.as_bytes().chunks(piece) {
                    connection.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        let rig = rig_before(upstream).await;
        let answer = rig
            .caller("note:read")
            .request("tools/list", json!({}))
            .await;
        assert_eq!(answer.result()["tools"], json!([{"name": "echo"}]));
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(
            text.contains("id: 7.") && text.contains("retry: 5\n"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn an_event_id_without_a_session_reaches_nobody() {
    let upstream = scripted(|request, mut stream| async move {
        assert!(!request.contains("last-event-id"), "{request}");
        let answer = format!("{}: new\n\n", head("text/event-stream"));
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let rig = rig_before(upstream).await;
    let client = rig.caller("note:read").with_header("last-event-id", "41");
    let answer = Answer::read(client.send(Method::GET, Bytes::new()).await).await;
    assert_eq!(answer.body, ": new\n\n");
}

#[tokio::test]
async fn a_list_of_another_kind_or_for_another_request_is_not_shown() {
    for (answer, expected) in [
        (LIST.to_owned(), StatusCode::OK),
        (
            LIST.replace("\"id\":1", "\"id\":2"),
            StatusCode::BAD_GATEWAY,
        ),
        (
            LIST.replace("\"id\":1", "\"id\":\"1\""),
            StatusCode::BAD_GATEWAY,
        ),
        (
            LIST.replace("[{", "{\"x\":[{").replace("}]}", "}]}}"),
            StatusCode::BAD_GATEWAY,
        ),
        (format!("[{LIST}]"), StatusCode::BAD_GATEWAY),
        (format!("{LIST}{LIST}"), StatusCode::BAD_GATEWAY),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":[]}"#.to_owned(),
            StatusCode::BAD_GATEWAY,
        ),
    ] {
        for stream in [false, true] {
            let answer = answer.clone();
            let shown = answer.clone();
            let upstream = scripted(move |_, mut connection| {
                let answer = if stream {
                    format!("{}data: {answer}\n\n", head("text/event-stream"))
                } else {
                    format!("{}{answer}", head("application/json"))
                };
                async move { connection.write_all(answer.as_bytes()).await.unwrap() }
            })
            .await;
            let rig = rig_before(upstream).await;
            let answer = rig
                .caller("note:read")
                .request("tools/list", json!({}))
                .await;
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(!text.contains("secret"), "{shown}: {text}");
            if expected == StatusCode::OK {
                assert_eq!(answer.result()["tools"], json!([{"name": "echo"}]));
            } else {
                assert!(
                    answer.response()["error"]["message"].is_string(),
                    "{shown}: {text}"
                );
                assert_eq!(answer.response()["id"], 1);
                assert_eq!(
                    answer.status == expected,
                    !stream,
                    "a stream has begun with 200"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let upstream = scripted(|_, mut stream| async move {
        let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"jsonrpc\":";
        stream.write_all(begun.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    let rig = rig_before(upstream).await;
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}});
    let answer = rig.caller("note:read").post(&call).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.response()["id"], 1);
    assert!(answer.response()["error"]["message"].is_string());
}

#[tokio::test]
async fn a_compressed_answer_is_refused_because_it_cannot_be_judged() {
    let upstream = scripted(|_, mut stream| async move {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let rig = rig_before(upstream).await;
    let answer = rig
        .caller("note:read")
        .request("tools/list", json!({}))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn trailers_are_no_door_for_headers() {
    let upstream = scripted(|_, mut stream| async move {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
                      Trailer: Set-Cookie\r\nConnection: close\r\n\r\n\
                      24\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n0\r\nSet-Cookie: a=b\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let rig = rig_before(upstream).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let head = format!(
        "POST /mcp/notes HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nTE: trailers\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        rig.port,
        rig.token("note:read"),
        body.len()
    );
    let answer = rig.raw(&head, body.as_bytes()).await;
    assert!(answer.contains(r#""result":{}"#), "{answer}");
    assert!(!answer.to_lowercase().contains("cookie"), "{answer}");
}

#[tokio::test]
async fn a_stream_that_never_pauses_ends_with_a_revocation_too() {
    let upstream = scripted(|_, mut stream| async move {
        let event =
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n".repeat(4096);
        let head = head("text/event-stream");
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(event.as_bytes()).await.is_ok() {}
    })
    .await;
    let rig = rig_before(upstream).await;
    let mut stream = rig
        .caller("note:read")
        .send(Method::GET, Bytes::new())
        .await;
    stream.body_mut().frame().await.unwrap().unwrap();
    let until = base::Timestamp::from_unix_ms(i64::MAX);
    rig.publish(|server| {
        server.revocations.grants = [("grt_1".into(), until)].into_iter().collect();
    });
    let reading = async { while let Some(Ok(_)) = stream.body_mut().frame().await {} };
    tokio::time::timeout(Duration::from_secs(2), reading)
        .await
        .expect("the stream ends");
}

#[tokio::test]
async fn a_server_of_the_old_transport_is_refused_with_what_to_do() {
    let upstream = scripted(|request, mut stream| async move {
        let answer = if request.starts_with("GET") {
            format!(
                "{}event: endpoint\ndata: /messages?id=1\n\n",
                head("text/event-stream")
            )
        } else {
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".to_owned()
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await;
    let error = discover(&upstream, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, DiscoverError::OldTransport(_)), "{error:?}");
    assert!(error.to_string().contains("Streamable HTTP"), "{error}");
}

#[tokio::test]
async fn a_server_of_the_modern_era_alone_is_read_in_it() {
    let upstream = scripted(|request, mut stream| async move {
        let (head_text, body) = request.split_once("\r\n\r\n").unwrap();
        let message: Value = serde_json::from_str(body).unwrap();
        let method = message["method"].as_str().unwrap();
        let id = &message["id"];
        let (status, answer) = if method == "initialize" {
            let error = json!({"code": -32601, "message": "Method not found"});
            ("404 Not Found", json!({"jsonrpc": "2.0", "id": id, "error": error}))
        } else {
            let meta = &message["params"]["_meta"];
            assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
            let head_text = head_text.to_lowercase();
            assert!(head_text.contains(&format!("mcp-method: {method}")), "{head_text}");
            let result = match method {
                "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                    "instructions": "Ask first.", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern"}}}),
                "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {}}]}),
                other => panic!("{other} was not to be asked"),
            };
            ("200 OK", json!({"jsonrpc": "2.0", "id": id, "result": result}))
        };
        let answer = answer.to_string();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let found = discover(&upstream, &Limits::default()).await.unwrap();
    assert!(found.modern);
    assert_eq!(found.server_name.as_deref(), Some("modern"));
    assert_eq!(found.inventory.tools[0].identity(), "echo");
    let said = found.inventory.instructions[0].description();
    assert_eq!(said, Some("Ask first."));
}
