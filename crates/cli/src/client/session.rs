use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use wire::mcp::SseParser;

use super::authorized::Authorized;
use crate::terminal::plain;

const PROTOCOL_VERSION: &str = "2025-11-25";
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const PAGES_MAX: usize = 100;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A legacy MCP session over Streamable HTTP: every server of today speaks it.
pub struct Session {
    authorized: Authorized,
    headers: HeaderMap,
    next_id: i64,
}

impl Session {
    /// `initialize` and `notifications/initialized`.
    ///
    /// # Errors
    /// When the server does not speak MCP here.
    pub async fn begin(authorized: Authorized) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        let mut session = Self {
            authorized,
            headers,
            next_id: 1,
        };
        let parameters = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": { "name": "portcullis", "version": env!("CARGO_PKG_VERSION") },
        });
        let (result, answered) = session.request("initialize", parameters).await?;
        let version = result
            .get("protocolVersion")
            .and_then(Value::as_str)
            .and_then(|version| HeaderValue::try_from(version).ok())
            .context("initialize was answered without a protocolVersion")?;
        session.headers.insert("mcp-protocol-version", version);
        if let Some(id) = answered.get("mcp-session-id") {
            session.headers.insert("mcp-session-id", id.clone());
        }
        session.notify("notifications/initialized").await?;
        Ok(session)
    }

    /// All pages of `tools/list`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn tools(&mut self) -> anyhow::Result<Vec<Value>> {
        let mut tools = Vec::new();
        let mut cursor: Option<Value> = None;
        for _ in 0..PAGES_MAX {
            let parameters = cursor
                .take()
                .map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let (mut result, _) = self.request("tools/list", parameters).await?;
            match result.get_mut("tools").map(Value::take) {
                Some(Value::Array(page)) => tools.extend(page),
                _ => bail!("tools/list was answered without tools"),
            }
            match result.get("nextCursor") {
                Some(Value::String(next)) => cursor = Some(Value::String(next.clone())),
                _ => return Ok(tools),
            }
        }
        bail!("tools/list has more than {PAGES_MAX} pages")
    }

    /// `tools/call`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn call(
        &mut self,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> anyhow::Result<Value> {
        let parameters = json!({ "name": tool, "arguments": arguments });
        Ok(self.request("tools/call", parameters).await?.0)
    }

    /// Ends the session. Nothing depends on the answer.
    pub async fn end(mut self) {
        if self.headers.contains_key("mcp-session-id") {
            let headers = self.headers.clone();
            let ending = self.authorized.send(Method::DELETE, &headers, Bytes::new());
            let _ = tokio::time::timeout(Duration::from_secs(2), ending).await;
        }
    }

    async fn notify(&mut self, method: &str) -> anyhow::Result<()> {
        let body = json!({ "jsonrpc": "2.0", "method": method }).to_string();
        let headers = self.headers.clone();
        let response = self
            .authorized
            .send(Method::POST, &headers, body.into())
            .await?;
        let status = response.status();
        if !status.is_success() {
            bail!("{method} was answered {status}");
        }
        Ok(())
    }

    async fn request(
        &mut self,
        method: &str,
        parameters: Value,
    ) -> anyhow::Result<(Value, HeaderMap)> {
        let id = self.next_id;
        self.next_id += 1;
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters })
            .to_string();
        let headers = self.headers.clone();
        let response = self
            .authorized
            .send(Method::POST, &headers, body.into())
            .await?;
        let answered = response.headers().clone();
        let reading = self.read(response, id, method);
        let result = tokio::time::timeout(ANSWER_TIMEOUT, reading)
            .await
            .map_err(|_| anyhow!("{method} was not answered within ten minutes"))??;
        Ok((result, answered))
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        id: i64,
        method: &str,
    ) -> anyhow::Result<Value> {
        let status = response.status();
        let media_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let url = self.authorized.url();
        if status.is_success() && media_type.starts_with("text/event-stream") {
            return self.read_stream(response.into_body(), id, method).await;
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow!("the answer to {method} broke off: {error}"))?
            .to_bytes();
        let message: Option<Value> = serde_json::from_slice(&body).ok();
        match message {
            Some(message) if message.get("jsonrpc").is_some() => outcome(message, method),
            Some(message) => {
                let said = message
                    .get("error_description")
                    .or_else(|| message.get("error"))
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                bail!("{url} answered {status} to {method}: {}", plain(said, 500))
            }
            None if status.is_success() => bail!(
                "{url} answered {method} with something that is no MCP message; is it the MCP URL?"
            ),
            None => bail!("{url} answered {status} to {method}; is it the MCP URL?"),
        }
    }

    async fn read_stream(
        &self,
        mut body: Incoming,
        id: i64,
        method: &str,
    ) -> anyhow::Result<Value> {
        let mut parser = SseParser::new(ANSWER_BYTES_MAX);
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| format!("the answer to {method} broke off"))?;
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            parser
                .push(piece)
                .with_context(|| format!("the answer to {method}"))?;
            while let Some(event) = parser.next_event() {
                let text = event.data().unwrap_or_default();
                let Ok(message) = serde_json::from_str::<Value>(&text) else {
                    continue;
                };
                if message.get("id").and_then(Value::as_i64) == Some(id)
                    && message.get("method").is_none()
                {
                    return outcome(message, method);
                }
                self.tell(&message);
            }
        }
        bail!("the stream ended without an answer to {method}")
    }

    /// Progress and log lines that come before the answer. Requests of the server are left unanswered: this client
    /// has announced no capability that would allow one.
    fn tell(&self, message: &Value) {
        let text = message
            .pointer("/params/message")
            .or_else(|| message.pointer("/params/data"))
            .and_then(Value::as_str);
        if let Some(text) = text {
            let progress = &self.authorized.settings().progress;
            progress.line(progress.paint.dim(plain(text, 500)));
        }
    }
}

fn outcome(mut message: Value, method: &str) -> anyhow::Result<Value> {
    if let Some(result) = message.get_mut("result") {
        return Ok(result.take());
    }
    let code = message
        .pointer("/error/code")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let said = message
        .pointer("/error/message")
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    Err(anyhow!(
        "{method} was refused: {} ({code})",
        plain(said, 1000)
    ))
}
