//! One request that asks to be let in, and whether it was.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::signed_in::answer;
use crate::{Ask, Desk, Exchange};

pub(super) const MODERN: &str = "2026-07-28";

/// `initialize` at the MCP URL, or what the newer protocol opens with where that is not known.
pub(super) async fn initialize(
    desk: &Desk,
    purpose: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
) -> Arc<Exchange> {
    let url = desk.scene.url.to_string();
    let dressed = |mut ask: Ask| {
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        match token {
            Some(token) => ask.bearer(token),
            None => ask,
        }
    };
    let first = dressed(Ask::initialize(&url, purpose)).until("\"jsonrpc\"");
    let first = desk.send(first).await;
    match first.status() {
        Some(400 | 404 | 405) => {
            desk.send(dressed(discover(&url, purpose)).until("\"jsonrpc\""))
                .await
        }
        _ => first,
    }
}

/// `server/discover` as it is right.
pub(super) fn discover(url: &str, purpose: &str) -> Ask {
    Ask::mcp(url, purpose, &discover_body()).header("mcp-protocol-version", MODERN)
}

pub(super) fn discover_body() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "server/discover",
        "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    })
}

/// Whether a request was carried out, not only received.
pub(super) fn is_let_in(exchange: &Exchange) -> bool {
    answer(exchange).is_some_and(|answer| answer.get("result").is_some())
}

/// Ends the session that a request began, so that nothing is left behind.
pub(super) async fn leave(desk: &Desk, begun: &Exchange, token: &str) {
    if let Some(session) = begun.header("mcp-session-id") {
        let ask = Ask::new(Method::DELETE, desk.scene.url.as_str(), "the session ends")
            .bearer(token)
            .header("mcp-session-id", session);
        desk.send(ask).await;
    }
}
