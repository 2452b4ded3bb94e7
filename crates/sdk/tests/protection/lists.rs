use std::time::Duration;

use base::Clock as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, header};
use http_body::Frame;
use http_body_util::StreamBody;
use testkit::MovableClock;

use super::*;

const NAMES: [&str; 5] = ["read", "write", "both", "about", "unmapped"];

fn tools() -> Value {
    let tools: Vec<_> = NAMES.iter().map(|name| json!({"name": name})).collect();
    json!({"tools": tools, "Tools": [{"name": "write"}]})
}

/// Lists everything to everybody, and does what it is asked.
fn talkative(as_events: bool) -> Mcp {
    Mcp::new(move |asked| match asked.message["method"].as_str() {
        Some("tools/list") => result(&asked, &tools(), as_events),
        _ => result(&asked, &json!({"content": []}), as_events),
    })
}

fn names(answer: &Answer) -> Vec<&str> {
    let tools = answer.json["result"]["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_listed_can_be_called_and_nothing_else_in_json_and_in_events_of_both_eras() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    for (as_events, modern) in [(false, false), (false, true), (true, false), (true, true)] {
        let service = protection.protect(talkative(as_events));
        for (scope, expected) in [
            ("", vec!["about"]),
            ("note:read", vec!["read", "about"]),
            ("note:write", vec!["write", "about"]),
            (
                "note:read note:write",
                vec!["read", "write", "both", "about"],
            ),
        ] {
            let token = issuer.token(RESOURCE).scope(scope).mint();
            let listed = ask(&service, &token, &message("tools/list", json!({}), modern)).await;
            assert_eq!(names(&listed), expected, "{scope} {as_events} {modern}");
            assert_eq!(listed.json["result"]["Tools"], Value::Null);
            let scope_of_cache = listed.json["result"]["cacheScope"].as_str();
            assert_eq!(scope_of_cache, modern.then_some("private"));
            for name in NAMES {
                let call = message("tools/call", json!({"name": name, "arguments": {}}), modern);
                let called = ask(&service, &token, &call).await;
                let is_called = called.json["result"].is_object();
                assert_eq!(is_called, expected.contains(&name), "{name} with {scope}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_list_is_not_shown_and_an_error_passes() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let token = issuer.token(RESOURCE).scope("note:read").mint();
    let list = |id: i64| json!({"jsonrpc": "2.0", "id": id, "result": tools()}).to_string();
    for (kind, text, is_shown) in [
        ("application/json", list(7), true),
        ("application/json", list(8), false),
        (
            "application/json",
            list(7).replacen('[', "{\"a\":[", 1),
            false,
        ),
        (
            "application/json",
            list(7).replacen("\"tools\":[", "\"tools\":5,\"b\":[", 1),
            false,
        ),
        ("text/plain", list(7), false),
        ("text/event-stream", format!("data: {}\n\n", list(7)), true),
        ("text/event-stream", format!("data: {}\n\n", list(8)), false),
        // Readers take the mark off the first bytes that they get, whatever stood before it here.
        (
            "text/event-stream",
            format!("\n\u{feff}data: {}\n\n", list(7)),
            false,
        ),
        (
            "text/event-stream",
            format!("\u{feff}\u{feff}data: {}\n\n", list(7)),
            false,
        ),
        (
            "text/event-stream",
            "data: {\"result\": secret}\n\n".to_owned(),
            false,
        ),
    ] {
        let service = protection.protect(Mcp::new({
            let text = text.clone();
            move |_| answer(kind, text.clone())
        }));
        let listed = ask(&service, &token, &message("tools/list", json!({}), false)).await;
        let said = listed.json.to_string();
        assert_eq!(
            listed.json["result"]["tools"].is_array(),
            is_shown,
            "{kind} {text}: {said}"
        );
        assert!(
            !said.contains("write") && !said.contains("secret"),
            "{said}"
        );
        // What no reader takes for an event is not sent at all.
        if !is_shown && !text.contains('\u{feff}') {
            let words = listed.json["error"]["message"].as_str().unwrap();
            assert_eq!(words, "This MCP server made a list that cannot be read");
        }
    }
    let error = json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "no"}});
    let service = protection.protect(Mcp::new(move |_| {
        answer("application/json", error.to_string())
    }));
    let listed = ask(&service, &token, &message("tools/list", json!({}), false)).await;
    assert_eq!(listed.json["error"]["message"], "no");
}

/// A stream that sends `pieces` and then stays open.
fn open_stream(pieces: Vec<String>) -> Response<Body> {
    let pieces = pieces
        .into_iter()
        .map(|piece| Ok(Frame::data(Bytes::from(piece))));
    let stream = futures_util::stream::iter(pieces).chain(futures_util::stream::pending());
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(StreamBody::new(stream).boxed_unsync())
        .unwrap()
}

fn listen(token: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::GET)
        .uri("/mcp")
        .header(header::HOST, "notes.example")
        .header(header::ACCEPT, "text/event-stream")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn a_stream_that_listens_shows_no_more_and_ends_with_its_token() {
    let issuer = TestIssuer::new();
    let clock = MovableClock::default();
    let protection = builder(&issuer)
        .clock(Arc::new(clock.clone()))
        .start()
        .unwrap();
    let replayed = json!({"jsonrpc": "2.0", "id": 7, "result": tools()}).to_string();
    let foreign = json!({"jsonrpc": "2.0", "id": 3, "result": {"content": ["hidden"]}});
    let updated = |uri: &str| json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}});
    // Torn in the middle of an event.
    let (one, two) = replayed.split_at(20);
    let pieces = vec![
        format!("id: 1\ndata: {one}"),
        format!(
            "{two}\n\ndata: {}\n\ndata: {foreign}\n\n",
            updated("note://hidden")
        ),
        format!("data: {}\n\n", updated("note://1")),
    ];
    let mut service = protection.protect(Mcp::new(move |asked| match asked.head.method {
        // It breaks off before its answer.
        Method::POST => answer("text/event-stream", "id: 0\ndata:\n\n"),
        _ => {
            assert_eq!(asked.head.headers["last-event-id"], "0");
            open_stream(pieces.clone())
        }
    }));
    let token = issuer
        .token(RESOURCE)
        .scope("note:read")
        .at(clock.now())
        .mint();
    let broken = ask(&service, &token, &message("tools/list", json!({}), false)).await;
    let broken = broken.json.as_str().unwrap();
    let event = broken.lines().find_map(|line| line.strip_prefix("id: "));
    let mut goes_on = listen(&token);
    let event = event.unwrap().parse().unwrap();
    goes_on.headers_mut().insert("last-event-id", event);
    let response = service.call(goes_on).await.unwrap();
    let mut body = response.into_body();
    let mut heard = String::new();
    while !heard.contains("note://1\"") {
        let frame = body.frame().await.unwrap().unwrap();
        heard.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    assert!(
        heard.contains("\"read\"") && heard.contains("id: 1."),
        "{heard}"
    );
    assert!(
        !heard.contains("write") && !heard.contains("hidden"),
        "{heard}"
    );

    let still_open = tokio::time::timeout(Duration::from_millis(50), body.frame()).await;
    assert!(still_open.is_err());
    clock.advance(Duration::from_secs(600));
    let end = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn a_status_passes_whose_body_is_no_answer_of_mcp_and_the_body_does_not() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let token = issuer.token(RESOURCE).scope("note:read").mint();
    for (status, passes) in [(405, true), (404, true), (500, true), (200, false)] {
        let service = protection.protect(Mcp::new(move |_| {
            let mut response = answer("application/json", tools().to_string());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        }));
        let heard = send(&service, listen(&token)).await;
        assert_eq!(heard.status.as_u16() == status, passes, "{status}");
        assert!(!heard.json.to_string().contains("write"), "{}", heard.json);
    }
}
