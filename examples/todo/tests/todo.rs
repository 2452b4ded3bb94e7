//! How a server that protects itself is tested: tokens of an issuer that the test has made, and no network.
#![allow(clippy::unwrap_used)]

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use portcullis::Protection;
use portcullis::testing::TestIssuer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const RESOURCE: &str = "https://todo.example/mcp";

fn app(issuer: &TestIssuer) -> Router {
    let protection = Protection::for_resource(RESOURCE)
        .policy(example_todo::policy())
        .issuer(issuer.issuer(), issuer.keys())
        .start()
        .unwrap();
    Router::new().fallback_service(protection.protect(example_todo::mcp()))
}

async fn ask(app: &Router, token: &str, method: &str, params: Value) -> (Response<()>, Value) {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut request = Request::post("/mcp")
        .header(header::HOST, "todo.example")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::from(message.to_string())).unwrap();
    let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&body).unwrap();
    (Response::from_parts(head, ()), json)
}

async fn call(app: &Router, token: &str, tool: &str, arguments: Value) -> (Response<()>, Value) {
    let params = json!({"name": tool, "arguments": arguments});
    ask(app, token, "tools/call", params).await
}

#[tokio::test]
async fn each_tool_needs_its_scope_and_is_listed_to_whoever_has_it() {
    let issuer = TestIssuer::new();
    let app = app(&issuer);
    let (refused, _) = ask(&app, "", "tools/list", json!({})).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key(header::WWW_AUTHENTICATE));
    for (scope, tools) in [
        ("todo:read", vec!["list_todos"]),
        ("todo:write todo:delete", vec!["add_todo", "delete_todos"]),
    ] {
        let token = issuer.token(RESOURCE).scope(scope).mint();
        let (_, listed) = ask(&app, &token, "tools/list", json!({})).await;
        let listed = listed["result"]["tools"].as_array().unwrap().iter();
        let mut listed: Vec<_> = listed.map(|tool| tool["name"].as_str().unwrap()).collect();
        listed.sort_unstable();
        assert_eq!(listed, tools, "{scope}");
    }
}

#[tokio::test]
async fn everybody_has_a_list_of_their_own_and_urgent_needs_one_scope_more() {
    let issuer = TestIssuer::new();
    let app = app(&issuer);
    let token = |subject: &str, scope: &str| {
        let token = issuer.token(RESOURCE).subject(subject);
        token.scope(scope).mint()
    };
    let ann = token("usr_ann", "todo:read todo:write");
    let (_, added) = call(&app, &ann, "add_todo", json!({"title": "Buy milk"})).await;
    assert_eq!(
        added["result"]["structuredContent"]["todos"][0]["title"],
        "Buy milk"
    );

    let urgent = json!({"title": "Call back", "urgent": true});
    let (refused, _) = call(&app, &ann, "add_todo", urgent.clone()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let challenge = refused.headers()[header::WWW_AUTHENTICATE]
        .to_str()
        .unwrap();
    assert!(
        challenge.contains("scope=\"todo:read todo:urgent todo:write\""),
        "{challenge}"
    );
    let more = token("usr_ann", "todo:write todo:urgent");
    let (_, added) = call(&app, &more, "add_todo", urgent).await;
    assert_eq!(
        added["result"]["structuredContent"]["todos"][1]["urgent"],
        true
    );

    let bob = token("usr_bob", "todo:read");
    let (_, listed) = call(&app, &bob, "list_todos", json!({})).await;
    assert_eq!(listed["result"]["structuredContent"]["todos"], json!([]));
    let (_, hidden) = call(&app, &bob, "forget_everything", json!({})).await;
    assert_eq!(
        hidden["error"]["message"],
        "Unknown tool: forget_everything"
    );
}
