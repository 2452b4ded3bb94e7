//! What the server inside answers is judged by what it is and whose it is, not by what was asked.

use http::{Method, Request, header};
use http_body_util::Full;

use super::*;

/// A server that answers this, whatever it is asked.
fn answering(kind: &'static str, status: u16, text: &str) -> Mcp {
    let text = text.to_owned();
    Mcp::new(move |_| {
        let mut response = answer(kind, text.clone());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    })
}

fn get(token: &str, event: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri("/mcp")
        .header(header::HOST, "notes.example")
        .header(header::ACCEPT, "text/event-stream")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(event) = event {
        request = request.header("last-event-id", event);
    }
    request.body(Full::default()).unwrap()
}

fn response(id: i64, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

fn list() -> Value {
    json!({"tools": [{"name": "read"}, {"name": "secret"}]})
}

#[tokio::test]
async fn an_answer_to_a_call_passes_when_it_is_one_and_its_own() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let token = issuer.token(RESOURCE).scope("note:read").mint();
    let call = message(
        "tools/call",
        json!({"name": "read", "arguments": {}}),
        false,
    );
    let duplicate = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[],"tools":[{"name":"secret"}]}}"#;
    for (text, shown) in [
        (
            response(7, &json!({"content": []})),
            Ok(json!({"content": []})),
        ),
        (
            response(7, &list()),
            Ok(json!({"tools": [{"name": "read"}]})),
        ),
        (
            response(8, &list()),
            Err("answered a request that was not made"),
        ),
        (
            response(8, &json!({"content": ["secret"]})),
            Err("answered a request that was not made"),
        ),
        (response(7, &json!("secret")), Err("no object")),
        (duplicate.to_owned(), Err("no message")),
        (format!("[{}]", response(7, &list())), Err("no message")),
        (json!({"secret": 1}).to_string(), Err("no message")),
    ] {
        for kind in [
            "application/json",
            "text/event-stream",
            "x/x; a=application/json",
        ] {
            let body = match kind {
                "text/event-stream" => format!("data: {text}\n\n"),
                _ => text.clone(),
            };
            let service = protection.protect(answering(kind, 200, &body));
            let answer = ask(&service, &token, &call).await;
            assert!(!answer.json.to_string().contains("secret"), "{kind} {text}");
            assert_eq!(answer.json["id"], 7, "{kind} {text}");
            match &shown {
                Ok(result) => assert_eq!(answer.json["result"], *result, "{kind} {text}"),
                Err(words) => {
                    let told = answer.json["error"]["message"].as_str().unwrap();
                    assert!(told.contains(words), "{kind} {text}: {told}");
                    let is_stream = kind == "text/event-stream";
                    assert_eq!(answer.status.as_u16(), if is_stream { 200 } else { 500 });
                }
            }
        }
    }
    // What claims to be neither is nothing of MCP, and no client takes it for that.
    let service = protection.protect(answering("text/plain", 200, "as it is"));
    let answer = ask(&service, &token, &call).await;
    assert_eq!(answer.json, "as it is");
}

#[tokio::test]
async fn where_no_answer_belongs_none_passes() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let token = issuer.token(RESOURCE).scope("note:read").mint();
    let told = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
    let body = format!("data: {}\n\ndata: {told}\n\n", response(7, &list()));
    let service = protection.protect(answering("text/event-stream", 200, &body));
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for heard in [
        send(&service, get(&token, None)).await,
        // Nobody gave it this id.
        send(&service, get(&token, Some("7"))).await,
        ask(&service, &token, &initialized).await,
    ] {
        assert_eq!(heard.json, told);
    }
    let service = protection.protect(answering("application/json", 200, &response(7, &list())));
    let heard = ask(&service, &token, &initialized).await;
    assert_eq!((heard.status, heard.json), (StatusCode::OK, json!("")));
    let heard = send(&service, get(&token, None)).await;
    assert_eq!(heard.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!heard.json.to_string().contains("read"), "{}", heard.json);
}

#[tokio::test]
async fn a_status_that_refuses_lets_an_error_through_and_nothing_else() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let token = issuer.token(RESOURCE).scope("note:read").mint();
    let call = message(
        "tools/call",
        json!({"name": "read", "arguments": {}}),
        false,
    );
    let error =
        json!({"jsonrpc": "2.0", "id": "server-error", "error": {"code": -1, "message": "no"}});
    for (text, shown) in [
        (error.to_string(), error.clone()),
        (
            response(7, &list()),
            json!({"jsonrpc": "2.0", "id": 7, "result": {"tools": [{"name": "read"}]}}),
        ),
        (response(8, &list()), json!("")),
        (json!({"detail": "secret"}).to_string(), json!("")),
    ] {
        let service = protection.protect(answering("application/json", 404, &text));
        let answer = ask(&service, &token, &call).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json),
            (404, &shown),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_answer_of_16_mib_passes_and_one_byte_more_does_not() {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).start().unwrap();
    let token = issuer.token(RESOURCE).scope("note:read").mint();
    let call = message(
        "tools/call",
        json!({"name": "read", "arguments": {}}),
        false,
    );
    let around = response(7, &json!({"x": ""})).len();
    for (more, passes) in [(0, true), (1, false)] {
        let text = "x".repeat(16 * 1024 * 1024 - around + more);
        let service = protection.protect(answering(
            "application/json",
            200,
            &response(7, &json!({"x": text})),
        ));
        let answer = ask(&service, &token, &call).await;
        assert_eq!(answer.status == StatusCode::OK, passes, "{more}");
        assert_eq!(answer.json["result"]["x"] == text, passes, "{more}");
    }
}
