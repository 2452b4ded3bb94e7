//! Lists that show what their caller may not know of.

use std::sync::Arc;

use base::Secret;
use serde_json::{Value, json};

use super::{found, knock};
use crate::flaws::attack as flaw;
use crate::signed_in::{McpSession, answer};
use crate::{Ask, Desk, Exchange};

/// The most tools of one list that are tried.
const TOOLS_MAX: usize = 8;

pub(super) async fn examine(desk: &mut Desk, token: &Secret<String>) {
    for (accept, flaw, form) in [
        (
            "application/json, text/event-stream;q=0.5",
            flaw::LISTS_LEAK_JSON,
            "in JSON",
        ),
        (
            "text/event-stream, application/json;q=0.5",
            flaw::LISTS_LEAK_SSE,
            "in an event stream",
        ),
    ] {
        let listed = list(desk, token, accept, form).await;
        // A server has the form that it has, whatever it is asked for.
        let is_stream = listed.media_type().as_deref() == Some("text/event-stream");
        if is_stream != (form == "in an event stream") {
            continue;
        }
        let tools = harmless(&listed);
        let (_, mut session) = McpSession::begin(desk, token).await;
        for tool in tools.iter().take(TOOLS_MAX) {
            let purpose =
                format!("a call of {tool}, which the list {form} shows, without its arguments");
            let call = json!({"name": tool, "arguments": {}});
            let called = session.request(desk, &purpose, "tools/call", call).await;
            if is_unknown(&called) {
                let title =
                    format!("The list {form} shows {tool}, which its caller may not know of");
                let words = [
                    title.as_str(),
                    "A call of it is answered as if it did not exist. What a list shows, a model tries, and an attacker learns.",
                    "Filter lists by the decision that guards calls, in JSON and in event streams alike.",
                ];
                found(desk, flaw, words, &[&listed, &called]);
                break;
            }
        }
        session.end(desk).await;
    }
}

async fn list(desk: &Desk, token: &Secret<String>, accept: &str, form: &str) -> Arc<Exchange> {
    let begun = desk
        .send(
            Ask::initialize(desk.scene.url.as_str(), "initialize, for a list")
                .bearer(token.expose())
                .until("\"jsonrpc\""),
        )
        .await;
    let body = json!({"jsonrpc": "2.0", "id": 21, "method": "tools/list", "params": {}});
    let mut ask = Ask::mcp(desk.scene.url.as_str(), format!("tools/list {form}"), &body)
        .bearer(token.expose());
    if let Ok(accept) = http::HeaderValue::from_str(accept) {
        ask.headers.insert(http::header::ACCEPT, accept);
    }
    if let Some(session) = begun.header("mcp-session-id") {
        ask = ask.header("mcp-session-id", session);
    }
    let listed = desk.send(ask.until("\n\n")).await;
    knock::leave(desk, &begun, token.expose()).await;
    listed
}

/// Tools that do nothing when they are called without arguments: they only read, or need one.
pub(super) fn harmless(listed: &Exchange) -> Vec<String> {
    let answer = answer(listed).unwrap_or_default();
    let tools = answer.pointer("/result/tools").and_then(Value::as_array);
    tools
        .into_iter()
        .flatten()
        .filter(|tool| {
            tool.pointer("/annotations/readOnlyHint") == Some(&Value::Bool(true))
                || tool
                    .pointer("/inputSchema/required")
                    .and_then(Value::as_array)
                    .is_some_and(|needed| !needed.is_empty())
        })
        .filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// Whether a call was answered as one of a tool that is not there.
fn is_unknown(called: &Exchange) -> bool {
    let answer = called.json().or_else(|| answer(called)).unwrap_or_default();
    let text = answer
        .pointer("/error/message")
        .or_else(|| answer.pointer("/result/content/0/text"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    [
        "unknown tool",
        "tool not found",
        "no such tool",
        "no tool named",
    ]
    .iter()
    .any(|words| text.contains(words))
}
