use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::Answer;

use crate::support::{Rig, SLUG};

async fn post(rig: &Rig, body: impl Into<Bytes>) -> Answer {
    rig.caller("note:read").post_bytes(body.into()).await
}

#[tokio::test]
async fn a_body_of_4_mib_is_read_and_one_byte_more_is_413() {
    let rig = Rig::start().await;
    let body = |bytes: usize| {
        let frame = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"x":""}}}"#;
        let padding = "x".repeat(bytes - frame.len());
        frame.replace("\"x\":\"\"", &format!("\"x\":\"{padding}\""))
    };
    let limit = 4 * 1024 * 1024;
    assert_eq!(post(&rig, body(limit)).await.status, StatusCode::OK);
    let answer = post(&rig, body(limit + 1)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rig.echo.requests().len(), 1);
    // The same without saying the length before.
    let token = rig.token("note:read");
    let head = format!(
        "POST /mcp/{SLUG} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n",
        rig.port,
        limit + 1
    );
    let answer = rig.raw(&head, body(limit + 1).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn json_that_two_readers_could_read_differently_is_400() {
    let rig = Rig::start().await;
    let call = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    for (what, body) in [
        ("duplicate", call(r#"{"name":"secret","name":"echo"}"#)),
        (
            "deep duplicate",
            call(r#"{"name":"echo","arguments":{"a":{"b":1,"b":2}}}"#),
        ),
        (
            "escaped duplicate",
            call(r#"{"name":"echo","n\u0061me":"secret"}"#),
        ),
        ("case twin", call(r#"{"name":"echo","Name":"secret"}"#)),
        (
            "envelope twin",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#.into(),
        ),
        (
            "unknown member",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}"#.into(),
        ),
        ("lone surrogate", call(r#"{"name":"\ud800"}"#)),
        (
            "nul in key",
            call(r#"{"name":"echo","arguments":{"\u0000":1}}"#),
        ),
        (
            "deep",
            call(&format!(r#"{{"name":"echo","arguments":{{"x":{deep}}}}}"#)),
        ),
        ("two values", format!("{}{}", call("{}"), call("{}"))),
        ("comment", format!("{} // x", call("{}"))),
        (
            "truncated",
            r#"{"jsonrpc":"2.0","id":1,"method":"pi"#.into(),
        ),
        ("positional", call(r#"["echo"]"#)),
        (
            "null id",
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.into(),
        ),
        (
            "float id",
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.into(),
        ),
        ("no version", r#"{"id":1,"method":"ping"}"#.into()),
        ("batch", format!("[{}]", call(r#"{"name":"echo"}"#))),
        ("empty batch", "[]".into()),
        ("empty", String::new()),
        ("a string", "\"ping\"".into()),
    ] {
        let answer = post(&rig, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(body["error"]["code"].is_i64(), "{what}: {body}");
        assert!(
            body["error"]["data"]["correlation_id"].is_string(),
            "{what}"
        );
    }
    assert_eq!(rig.echo.requests().len(), 0);
    let answer = post(&rig, call(r#"{"name":"echo","arguments":{"Name":"x"}}"#)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_415() {
    let rig = Rig::start().await;
    for (content_type, status) in [
        ("application/json", StatusCode::OK),
        ("Application/JSON; charset=UTF-8", StatusCode::OK),
        ("application/json;charset=\"utf-8\"", StatusCode::OK),
        ("application/json ;", StatusCode::OK),
    ]
    .into_iter()
    .chain(
        [
            "",
            ";",
            "json",
            "application",
            "application/",
            "application/jso",
            "application/jsonx",
            "application/json5",
            "application/jsonl",
            "application/x-ndjson",
            "application/json-seq",
            "application/x+json",
            "application/vnd.api+json",
            "application/json+x",
            "application /json",
            "application/ json",
            "application\\json",
            "text/json",
            "text/plain",
            "text/plain;application/json",
            "*/*",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "application/json, text/plain",
            "application/json,application/json",
            "text/plain, application/json",
            "application/json; charset=utf-16",
            "application/json; charset=utf-16le",
            "application/json; charset=utf-32",
            "application/json; charset=utf-7",
            "application/json; charset=latin1",
            "application/json; charset",
            "application/json; charset=",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset=utf-16; charset=utf-8",
            "application/json; charset='utf-8'",
            "application/json; charset= utf-8",
            "application/json; version=1",
        ]
        .map(|other| (other, StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    ) {
        let client = rig
            .caller("note:read")
            .with_header("content-type", content_type);
        assert_eq!(
            client.request("ping", json!({})).await.status,
            status,
            "{content_type}"
        );
    }
    for (encoding, status) in [
        ("identity", StatusCode::OK),
        ("Identity", StatusCode::OK),
        ("gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("x-gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("br", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("zstd", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("identity, gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("gzip, identity", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("aes128gcm", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let client = rig
            .caller("note:read")
            .with_header("content-encoding", encoding);
        assert_eq!(
            client.request("ping", json!({})).await.status,
            status,
            "{encoding}"
        );
    }
    // A header line more than there may be, or none.
    let token = rig.token("note:read");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (types, status) in [(1, "200"), (0, "415"), (2, "415")] {
        let head = format!(
            "POST /mcp/{SLUG} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Accept: application/json, text/event-stream\r\nAuthorization: Bearer {token}\r\n{}\r\n",
            rig.port,
            ping.len(),
            "Content-Type: application/json\r\n".repeat(types)
        );
        let answer = rig.raw(&head, ping.as_bytes()).await;
        assert_eq!(&answer[9..12], status, "{types}: {answer}");
    }
}

#[tokio::test]
async fn headers_that_say_something_else_than_the_body_are_400() {
    let rig = Rig::start().await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "echo", "arguments": {},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
    }});
    let good = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    let send = async |headers: &[(&str, &str)]| {
        let client = headers
            .iter()
            .fold(rig.caller("note:read"), |client, (name, value)| {
                client.with_header(name, value)
            });
        client.post(&body).await
    };
    let with = |name: &'static str, value: &'static str| -> Vec<(&'static str, &'static str)> {
        good.iter()
            .map(|&(known, usual)| (known, if known == name { value } else { usual }))
            .collect()
    };
    for (headers, code) in [
        (with("mcp-protocol-version", "2025-11-25"), -32020),
        (with("mcp-method", "tools/list"), -32020),
        (with("mcp-method", "Tools/Call"), -32020),
        (with("mcp-name", "secret"), -32020),
        (with("mcp-name", "=?base64?c2VjcmV0?="), -32020),
        (good[1..].to_vec(), -32020),
        (good[..2].to_vec(), -32020),
    ] {
        let answer = send(&headers).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert_eq!(answer.response()["error"]["code"], code, "{headers:?}");
        assert_eq!(answer.response()["id"], 1, "{headers:?}");
    }
    assert_eq!(rig.echo.requests().len(), 0);
    assert_eq!(send(&good).await.status, StatusCode::OK);
    assert_eq!(
        send(&with("mcp-name", "=?base64?ZWNobw==?=")).await.status,
        StatusCode::OK
    );

    let claimed = rig
        .caller("note:read")
        .with_header("mcp-protocol-version", "2026-07-28")
        .request("ping", json!({}))
        .await;
    assert_eq!(claimed.status, StatusCode::BAD_REQUEST);
    assert_eq!(claimed.response()["error"]["code"], -32602);
}
