use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

const MODERN_VERSION: &str = "2026-07-28";

/// A small MCP client over plain HTTP that shows what came back instead of interpreting it.
#[derive(Debug, Clone)]
pub struct McpClient {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    headers: HeaderMap,
}

/// One HTTP answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// All header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl McpClient {
    /// A client for the MCP server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            http: Client::builder(TokioExecutor::new()).build_http(),
            url: url.into(),
            headers: HeaderMap::new(),
        }
    }

    /// Sends this bearer token with every request.
    pub fn with_bearer(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Sends this header field with every request.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("the test gave a header name");
        let value = HeaderValue::from_str(value).expect("the test gave a header value");
        self.headers.insert(name, value);
        self
    }

    /// The legacy opening: `initialize`, then `notifications/initialized`. Later requests carry the session id,
    /// when the server gave one, and the protocol version.
    pub async fn initialize(&mut self) -> Answer {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "testkit", "version": "1.0.0"},
        });
        let answer = self.request("initialize", params).await;
        if answer.status == StatusCode::OK {
            let version = answer.result()["protocolVersion"].clone();
            let version = version.as_str().expect("initialize answers a version");
            let mut client = self.clone().with_header("mcp-protocol-version", version);
            if let Some(session) = answer.headers.get("mcp-session-id") {
                client.headers.insert("mcp-session-id", session.clone());
            }
            *self = client;
            self.notify("notifications/initialized").await;
        }
        answer
    }

    /// A legacy request with the id 1.
    pub async fn request(&self, method: &str, params: Value) -> Answer {
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await
    }

    /// A legacy notification.
    pub async fn notify(&self, method: &str) -> Answer {
        self.post(&json!({"jsonrpc": "2.0", "method": method}))
            .await
    }

    /// A request of the 2026-07-28 revision: envelope in `_meta`, and the headers that mirror the body.
    pub async fn modern(&self, method: &str, mut params: Value) -> Answer {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "testkit", "version": "1.0.0"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let mut client = self
            .clone()
            .with_header("mcp-protocol-version", MODERN_VERSION)
            .with_header("mcp-method", method);
        let name = match method {
            "tools/call" | "prompts/get" => params["name"].as_str(),
            "resources/read" => params["uri"].as_str(),
            _ => None,
        };
        if let Some(name) = name {
            client = client.with_header("mcp-name", name);
        }
        client.request(method, params).await
    }

    /// `tools/call` in the legacy era.
    pub async fn call_tool(&self, name: &str, arguments: Value) -> Answer {
        self.request("tools/call", json!({"name": name, "arguments": arguments}))
            .await
    }

    /// The names that `tools/list` answers in the legacy era.
    pub async fn tool_names(&self) -> Vec<String> {
        let answer = self.request("tools/list", json!({})).await;
        let tools = answer.result()["tools"].as_array().cloned();
        tools
            .unwrap_or_default()
            .iter()
            .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Posts a JSON value.
    pub async fn post(&self, body: &Value) -> Answer {
        self.post_bytes(Bytes::from(body.to_string())).await
    }

    /// Posts bytes as they are, under the content type of JSON.
    pub async fn post_bytes(&self, body: Bytes) -> Answer {
        Answer::read(self.send(Method::POST, body).await).await
    }

    /// Sends a request and leaves the body unread, for streams.
    pub async fn send(&self, method: Method, body: Bytes) -> Response<Incoming> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.parse().expect("the test gave a URL");
        let headers = request.headers_mut();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        if request.method() == Method::POST {
            request.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        self.http
            .request(request)
            .await
            .expect("the server answers")
    }
}

impl Answer {
    /// Reads a response to its end.
    pub async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body arrives whole");
        Self {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        }
    }

    /// The JSON-RPC messages in the body, whether it is one JSON document or server-sent events.
    pub fn messages(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).expect("bodies are UTF-8");
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let streamed = content_type.is_some_and(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.starts_with("text/event-stream"))
        });
        if !streamed {
            return serde_json::from_str(text).into_iter().collect();
        }
        text.split("\n\n")
            .filter_map(|event| {
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(str::trim_start)
                    .collect();
                serde_json::from_str(&data.join("\n")).ok()
            })
            .collect()
    }

    /// The response message: the last message that has a result or an error.
    pub fn response(&self) -> Value {
        self.messages()
            .into_iter()
            .rfind(|message| message.get("result").is_some() || message.get("error").is_some())
            .unwrap_or_default()
    }

    /// The `result` of the response message, or null.
    pub fn result(&self) -> Value {
        self.response()["result"].clone()
    }

    /// The text of the first content item of a tool result, or nothing.
    pub fn text(&self) -> String {
        let result = self.result();
        result["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}
