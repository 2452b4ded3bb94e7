use std::sync::Arc;

use ::wire::mcp::version;
use http::Method;
use serde_json::{Value, json};

use crate::{Ask, Desk, Exchange};

/// A conversation with the MCP server, with a token.
pub struct McpSession {
    url: String,
    token: base::Secret<String>,
    /// What `initialize` gave; without it every request says all that matters.
    legacy: Option<Legacy>,
    next_id: i64,
}

struct Legacy {
    session_id: Option<String>,
    protocol: String,
}

impl McpSession {
    /// Begins one, in the protocol that the server speaks. The exchange shows how the token was received.
    pub async fn begin(desk: &Desk, token: &base::Secret<String>) -> (Arc<Exchange>, Self) {
        let mut session = Self {
            url: desk.scene.url.to_string(),
            token: token.clone(),
            legacy: None,
            next_id: 2,
        };
        let begun = Ask::initialize(&session.url, "initialize with a token").bearer(token.expose());
        let begun = desk.send(begun).await;
        if let Some(result) = answer(&begun).and_then(|answer| answer.get("result").cloned()) {
            let protocol = result.get("protocolVersion").and_then(Value::as_str);
            session.legacy = Some(Legacy {
                session_id: begun.header("mcp-session-id").map(str::to_owned),
                protocol: protocol.unwrap_or("2025-11-25").to_owned(),
            });
            let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            let ask = session.ask("the session begins", &initialized, None);
            desk.send(ask).await;
        }
        (begun, session)
    }

    /// Sends one request.
    pub async fn request(
        &mut self,
        desk: &Desk,
        purpose: &str,
        method: &str,
        params: Value,
    ) -> Arc<Exchange> {
        let name = params
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let mut params = params;
        if self.legacy.is_none() {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": version::MODERN[0],
                "io.modelcontextprotocol/clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let body =
            json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params });
        self.next_id += 1;
        desk.send(self.ask(purpose, &body, Some((method, name.as_deref()))))
            .await
    }

    /// Ends it, so that nothing is left behind.
    pub async fn end(self, desk: &Desk) {
        let Some(Legacy {
            session_id: Some(id),
            protocol,
        }) = &self.legacy
        else {
            return;
        };
        let ask = Ask::new(Method::DELETE, &self.url, "the session ends")
            .bearer(self.token.expose())
            .header("mcp-session-id", id)
            .header("mcp-protocol-version", protocol);
        desk.send(ask).await;
    }

    fn ask(&self, purpose: &str, body: &Value, modern: Option<(&str, Option<&str>)>) -> Ask {
        let ask = Ask::mcp(&self.url, purpose, body).bearer(self.token.expose());
        match (&self.legacy, modern) {
            (Some(legacy), _) => {
                let ask = ask.header("mcp-protocol-version", &legacy.protocol);
                match &legacy.session_id {
                    Some(id) => ask.header("mcp-session-id", id),
                    None => ask,
                }
            }
            (None, modern) => {
                let ask = ask.header("mcp-protocol-version", version::MODERN[0]);
                match modern {
                    Some((method, Some(name))) => {
                        ask.header("mcp-method", method).header("mcp-name", name)
                    }
                    Some((method, None)) => ask.header("mcp-method", method),
                    None => ask,
                }
            }
        }
    }
}

/// The JSON-RPC answer in the body, which is JSON or an event stream.
pub fn answer(exchange: &Exchange) -> Option<Value> {
    let is_answer = |value: &Value| value.get("result").is_some() || value.get("error").is_some();
    if !exchange.is_success() {
        return None;
    }
    let events = || {
        let text = exchange.text();
        let mut data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        data.find_map(|data| {
            serde_json::from_str::<Value>(data.trim())
                .ok()
                .filter(is_answer)
        })
    };
    exchange.json().filter(is_answer).or_else(events)
}
