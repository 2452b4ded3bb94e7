//! Arguments of tools that stand in headers as well (MCP 2026-07-28, Streamable HTTP, "Schema Extension").

use authz::{Entry, QuarantineFrom};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::echo::tool;
use testkit::{Answer, McpClient};
use wire::mcp::Json;
use wire::mcp::definition::{Definition, ListKind};

use crate::support::Rig;

/// The tool `echo`, with this schema of its argument `region`.
fn marked(region: &Value) -> Value {
    let mut marked = tool("echo", "Echoes.", json!({"readOnlyHint": true}));
    marked["inputSchema"]["properties"] = json!({"region": region});
    marked
}

fn in_header() -> Value {
    json!({"type": "string", "x-mcp-header": "Region"})
}

/// A rig whose policy accepted the tool as it is listed.
async fn rig(definition: Value) -> Rig {
    let listed = definition.clone();
    let rig = Rig::with_echo(|echo| echo.tools[0] = listed).await;
    accept(&rig, &definition, QuarantineFrom::Medium);
    rig
}

fn accept(rig: &Rig, definition: &Value, quarantine_from: QuarantineFrom) {
    let read = Definition::read(ListKind::Tools, Json::from_serde(definition)).unwrap();
    rig.publish(|server| {
        let requirement = server.policy.tools["echo"].requirement.clone();
        let entry = Entry::of(&read, requirement);
        server.policy.tools.insert("echo".into(), entry);
        server.policy.quarantine_from = quarantine_from;
    });
}

async fn call(client: &McpClient, header: Option<&str>, arguments: Value) -> Answer {
    let client = client.clone();
    let client = match header {
        Some(value) => client.with_header("mcp-param-region", value),
        None => client,
    };
    let params = json!({"name": "echo", "arguments": arguments});
    client.modern("tools/call", params).await
}

#[tokio::test]
async fn a_header_that_says_something_else_than_its_argument_is_400_and_the_same_is_passed_on() {
    let rig = rig(marked(&in_header())).await;
    let client = rig.caller("note:read");
    let listed = client.modern("tools/list", json!({})).await.result();
    assert_eq!(listed["tools"][0]["name"], "echo");
    rig.echo.forget_requests();
    let eu = json!({"region": "eu"});
    for (header, arguments) in [
        (Some("us"), eu.clone()),
        (None, eu.clone()),
        (Some("eu"), json!({})),
        (Some("eu"), json!({"region": null})),
        (Some("eu"), json!({"region": ["eu"]})),
        (Some("=?base64?dXM=?="), eu.clone()),
    ] {
        let answer = call(&client, header, arguments).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{header:?}");
        let error = &answer.response()["error"];
        assert_eq!(error["code"], -32020, "{error}");
        let words = error["message"].as_str().unwrap();
        assert!(words.contains("mcp-param-region"), "{words}");
    }
    assert_eq!(rig.echo.requests().len(), 0);
    for (header, arguments) in [
        (Some("eu"), eu.clone()),
        (Some("=?base64?ZXU=?="), eu.clone()),
        (None, json!({})),
    ] {
        let answer = call(&client, header, arguments).await;
        assert_eq!(answer.status, StatusCode::OK, "{header:?}");
    }
    assert_eq!(rig.echo.requests().len(), 3);
    assert_eq!(rig.echo.requests()[0].headers["mcp-param-region"], "eu");
    // Before that era there are no such headers.
    let legacy = client.call_tool("echo", eu).await;
    assert_eq!(legacy.status, StatusCode::OK);
}

#[tokio::test]
async fn only_what_a_list_showed_and_somebody_accepted_is_held_against_headers() {
    let definition = marked(&in_header());
    let rig = rig(definition.clone()).await;
    let client = rig.caller("note:read");
    let status = async || {
        call(&client, Some("us"), json!({"region": "eu"}))
            .await
            .status
    };
    assert_eq!(status().await, StatusCode::OK, "nobody saw it yet");
    client.modern("tools/list", json!({})).await;
    assert_eq!(status().await, StatusCode::BAD_REQUEST);
    accept(
        &rig,
        &marked(&json!({"type": "string"})),
        QuarantineFrom::Medium,
    );
    assert_eq!(status().await, StatusCode::OK, "another one is accepted");
    accept(&rig, &definition, QuarantineFrom::Never);
    assert_eq!(
        status().await,
        StatusCode::OK,
        "it may be another one by now"
    );
    accept(&rig, &definition, QuarantineFrom::Medium);
    assert_eq!(status().await, StatusCode::BAD_REQUEST);
    // Whoever may not call it learns nothing of its arguments.
    let other = call(&rig.caller("other"), Some("us"), json!({"region": "eu"})).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_tool_whose_marks_break_a_rule_is_not_listed_where_marks_mean_something() {
    for (region, is_valid) in [
        (in_header(), true),
        (json!({"type": "string"}), true),
        (json!({"type": "string", "x-mcp-header": ""}), false),
        (json!({"type": "string", "x-mcp-header": "a b"}), false),
        (
            json!({"type": "string", "x-mcp-header": "a\r\nCookie"}),
            false,
        ),
        (json!({"type": "number", "x-mcp-header": "Region"}), false),
        (json!({"type": "array", "items": in_header()}), false),
    ] {
        let rig = rig(marked(&region)).await;
        let client = rig.caller("note:read note:write");
        let modern = client.modern("tools/list", json!({})).await.result();
        let names = modern["tools"].as_array().unwrap().iter();
        let names: Vec<&str> = names.map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names.contains(&"echo"), is_valid, "{region}");
        assert!(names.contains(&"write_note"), "{region}");
        assert!(client.tool_names().await.contains(&"echo".to_owned()));
    }
}
