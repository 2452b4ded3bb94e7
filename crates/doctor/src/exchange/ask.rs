use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

/// One request to be sent.
#[derive(Clone)]
pub struct Ask {
    /// What it is sent for, in a few words: the title of the evidence.
    pub purpose: String,
    /// Its method.
    pub method: Method,
    /// Its URL as text: what a URL parser would tidy up is sent as it is.
    pub url: String,
    /// Its headers, in order; a name may come twice.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// How long its answer may take, when that is less than the plan's limit.
    pub patience: Option<Duration>,
    /// Ends reading an event stream once it holds this: such streams need not end.
    pub until: Option<&'static str>,
}

impl Ask {
    /// A request without a body.
    pub fn new(method: Method, url: impl Into<String>, purpose: impl Into<String>) -> Self {
        Self {
            purpose: purpose.into(),
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            patience: None,
            until: None,
        }
    }

    /// `GET` for a JSON document.
    pub fn get(url: impl Into<String>, purpose: impl Into<String>) -> Self {
        Self::new(Method::GET, url, purpose).header("accept", "application/json")
    }

    /// `POST` of JSON.
    pub fn post_json(url: impl Into<String>, purpose: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, url, purpose)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// `POST` of a form.
    pub fn post_form(
        url: impl Into<String>,
        purpose: impl Into<String>,
        fields: &[(&str, &str)],
    ) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        Self::new(Method::POST, url, purpose)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    }

    /// An MCP request as clients send it, without a token.
    pub fn mcp(url: impl Into<String>, purpose: impl Into<String>, body: &Value) -> Self {
        let mut ask = Self::post_json(url, purpose, body);
        ask.headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        ask
    }

    /// `initialize` as most clients open with.
    pub fn initialize(url: impl Into<String>, purpose: impl Into<String>) -> Self {
        Self::initialize_as(url, purpose, "2025-11-25")
    }

    /// `initialize` for this protocol version.
    pub fn initialize_as(
        url: impl Into<String>,
        purpose: impl Into<String>,
        version: &str,
    ) -> Self {
        Self::mcp(url, purpose, &initialize(version)).until("\"jsonrpc\"")
    }

    /// With one more header. A value that cannot be sent is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            self.headers.append(name, value);
        }
        self
    }

    /// With `token` in the `Authorization` header.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits at most so long for the whole answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Reads no further once `text` was seen in an event stream.
    #[must_use]
    pub fn until(mut self, text: &'static str) -> Self {
        self.until = Some(text);
        self
    }
}

/// The body of `initialize`.
fn initialize(version: &str) -> Value {
    serde_json::json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")},
        },
    })
}
