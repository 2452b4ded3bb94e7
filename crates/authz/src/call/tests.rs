#![allow(clippy::unwrap_used)]

use wire::mcp::{Limits, read_message};

use super::*;

fn read(method: &str, params: &str) -> Message {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    read_message(body.as_bytes(), &Limits::default()).unwrap()
}

fn shown(message: &Message) -> String {
    match read_call(message) {
        Call::Tool { name, arguments } => format!(
            "tool {name}{}",
            arguments.map(|json| format!(" {json}")).unwrap_or_default()
        ),
        Call::Resource { uri } => format!("resource {uri}"),
        Call::Prompt { name } => format!("prompt {name}"),
        Call::PromptCompletion { name } => format!("completion of prompt {name}"),
        Call::ResourceCompletion { uri } => format!("completion of resource {uri}"),
        Call::Subscription { uris } => format!("subscription {uris:?}"),
        Call::Task { method, id } => format!("task {method} {id}"),
        Call::List(kind) => format!("list {kind:?}"),
        Call::Protocol { method } => format!("protocol {method}"),
        Call::Unknown { method } => format!("unknown {method}"),
    }
}

#[test]
fn each_request_of_each_revision_is_read_and_any_other_is_unknown() {
    for (method, params, expected) in [
        (
            "initialize",
            r#"{"protocolVersion":"2025-11-25"}"#,
            "protocol initialize",
        ),
        ("ping", "{}", "protocol ping"),
        ("server/discover", "{}", "protocol server/discover"),
        (
            "logging/setLevel",
            r#"{"level":"info"}"#,
            "protocol logging/setLevel",
        ),
        ("tools/list", "{}", "list Tools"),
        ("tools/list", r#"{"cursor":"x"}"#, "list Tools"),
        ("resources/list", "{}", "list Resources"),
        ("resources/templates/list", "{}", "list ResourceTemplates"),
        ("prompts/list", "{}", "list Prompts"),
        (
            "tools/call",
            r#"{"name":"add","arguments":{"a":1.0}}"#,
            r#"tool add {"a":1.0}"#,
        ),
        ("tools/call", r#"{"name":"add"}"#, "tool add"),
        (
            "tools/call",
            r#"{"name":"add","task":{"ttl":1}}"#,
            "tool add",
        ),
        (
            "tools/call",
            r#"{"name":"add","inputResponses":{},"requestState":"s"}"#,
            "tool add",
        ),
        (
            "tools/call",
            r#"{"name":"add","arguments":null}"#,
            "tool add",
        ),
        (
            "tools/call",
            r#"{"name":"add","arguments":[1]}"#,
            "unknown tools/call",
        ),
        ("tools/call", r#"{"name":5}"#, "unknown tools/call"),
        ("tools/call", "{}", "unknown tools/call"),
        ("resources/read", r#"{"uri":"a://b"}"#, "resource a://b"),
        (
            "resources/subscribe",
            r#"{"uri":"a://b"}"#,
            "resource a://b",
        ),
        (
            "resources/unsubscribe",
            r#"{"uri":"a://b"}"#,
            "resource a://b",
        ),
        (
            "resources/read",
            r#"{"name":"a://b"}"#,
            "unknown resources/read",
        ),
        ("prompts/get", r#"{"name":"p"}"#, "prompt p"),
        ("prompts/get", "{}", "unknown prompts/get"),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{}}"#,
            "completion of prompt p",
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"a://{b}"}}"#,
            "completion of resource a://{b}",
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/tool","name":"p"}}"#,
            "unknown completion/complete",
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#,
            "unknown completion/complete",
        ),
        (
            "completion/complete",
            r#"{"ref":"ref/prompt"}"#,
            "unknown completion/complete",
        ),
        (
            "subscriptions/listen",
            r#"{"notifications":{"toolsListChanged":true}}"#,
            "subscription []",
        ),
        (
            "subscriptions/listen",
            r#"{"notifications":{"resourceSubscriptions":["a://b"]}}"#,
            r#"subscription ["a://b"]"#,
        ),
        (
            "subscriptions/listen",
            r#"{"notifications":{"resourceSubscriptions":"a://b"}}"#,
            "unknown subscriptions/listen",
        ),
        (
            "subscriptions/listen",
            r#"{"notifications":{"resourceSubscriptions":[5]}}"#,
            "unknown subscriptions/listen",
        ),
        ("subscriptions/listen", "{}", "unknown subscriptions/listen"),
        ("tasks/get", r#"{"taskId":"t"}"#, "task tasks/get t"),
        ("tasks/result", r#"{"taskId":"t"}"#, "task tasks/result t"),
        (
            "tasks/update",
            r#"{"taskId":"t","inputResponses":{}}"#,
            "task tasks/update t",
        ),
        ("tasks/cancel", r#"{"taskId":"t"}"#, "task tasks/cancel t"),
        ("tasks/get", "{}", "unknown tasks/get"),
        ("tasks/list", "{}", "unknown tasks/list"),
        ("Tools/Call", r#"{"name":"add"}"#, "unknown Tools/Call"),
        ("tools/call ", r#"{"name":"add"}"#, "unknown tools/call "),
        (
            "sampling/createMessage",
            "{}",
            "unknown sampling/createMessage",
        ),
        ("elicitation/create", "{}", "unknown elicitation/create"),
        ("roots/list", "{}", "unknown roots/list"),
        (
            "notifications/initialized",
            "{}",
            "unknown notifications/initialized",
        ),
        ("com.example/anything", "{}", "unknown com.example/anything"),
    ] {
        assert_eq!(shown(&read(method, params)), expected, "{method} {params}");
    }
}

#[test]
fn notifications_and_answers_of_a_client_are_housekeeping_and_no_call_hides_in_them() {
    let read = |body: &str| read_message(body.as_bytes(), &Limits::default()).unwrap();
    for method in [
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "notifications/tasks/status",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
        assert_eq!(shown(&read(&body)), format!("protocol {method}"));
    }
    for method in ["tools/call", "notifications/message", "x"] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"name":"add"}}}}"#);
        assert_eq!(shown(&read(&body)), format!("unknown {method}"));
    }
    let answer = read(r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}"#);
    assert_eq!(read_call(&answer), Call::Protocol { method: "" });
}

#[test]
fn a_subscription_may_name_so_many_resources_and_no_more() {
    let uris = |count| vec!["\"a://b\""; count].join(",");
    let listen = |count| {
        let params = format!(
            r#"{{"notifications":{{"resourceSubscriptions":[{}]}}}}"#,
            uris(count)
        );
        matches!(
            read_call(&read("subscriptions/listen", &params)),
            Call::Subscription { .. }
        )
    };
    assert!(listen(256));
    assert!(!listen(257));
}
