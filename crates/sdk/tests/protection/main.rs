//! The front door: a server that is protected from inside, with a policy and an issuer of its own.
#![allow(clippy::unwrap_used)]

mod answers;
mod exports;
mod in_code;
mod issuer_keys;
mod lists;
mod pages;
mod routes;
mod settings;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use portcullis::testing::TestIssuer;
use portcullis::{LocalPolicy, Protection, ProtectionBuilder};
use serde_json::{Value, json};
use tower_service::Service;

pub(crate) const RESOURCE: &str = "https://notes.example/mcp";

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as the server inside sees it.
pub(crate) struct Asked {
    pub(crate) head: http::request::Parts,
    pub(crate) message: Value,
}

/// An MCP server that answers as a test says.
#[derive(Clone)]
pub(crate) struct Mcp(Arc<dyn Fn(Asked) -> Response<Body> + Send + Sync>);

impl Mcp {
    pub(crate) fn new(answer: impl Fn(Asked) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

impl Service<Request<Full<Bytes>>> for Mcp {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let answer = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let message = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Ok(answer(Asked { head, message }))
        })
    }
}

pub(crate) fn answer(kind: &str, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).boxed_unsync();
    Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .body(body)
        .unwrap()
}

/// The result of a request, in JSON or as the one event of a stream.
pub(crate) fn result(asked: &Asked, result: &Value, as_events: bool) -> Response<Body> {
    let message = json!({"jsonrpc": "2.0", "id": asked.message["id"], "result": result});
    match as_events {
        true => answer("text/event-stream", format!("data: {message}\n\n")),
        false => answer("application/json; charset=utf-8", message.to_string()),
    }
}

pub(crate) fn policy() -> LocalPolicy {
    LocalPolicy::new()
        .scope("note:read", "Read notes")
        .scope("note:write", "Write notes")
        .tool("read", "note:read")
        .tool("write", "note:write")
        .tool("both", "note:read note:write")
        .public_tool("about")
        .resource("note://1", "note:read")
}

pub(crate) fn builder(issuer: &TestIssuer) -> ProtectionBuilder {
    Protection::for_resource(RESOURCE)
        .policy(policy())
        .issuer(issuer.issuer(), issuer.keys())
}

pub(crate) fn post(token: &str, message: &Value) -> http::request::Builder {
    let mut request = Request::post("/mcp")
        .header(header::HOST, "notes.example")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if message["params"]["_meta"].is_object() {
        request = request
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", message["method"].as_str().unwrap());
        if let Some(name) = message["params"]["name"].as_str() {
            request = request.header("mcp-name", name);
        }
    }
    request
}

/// A JSON-RPC request in either era.
pub(crate) fn message(method: &str, mut params: Value, modern: bool) -> Value {
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

/// What came back: status, challenge if any, and the one message, from JSON or from events.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) challenge: Option<String>,
    pub(crate) json: Value,
}

pub(crate) async fn send<S, B, A>(service: &S, request: Request<B>) -> Answer
where
    S: Service<Request<B>, Response = Response<A>, Error = Infallible> + Clone,
    A: http_body::Body<Data = Bytes>,
    A::Error: std::fmt::Debug,
{
    let mut service = service.clone();
    std::future::poll_fn(|context| service.poll_ready(context))
        .await
        .unwrap();
    let (head, body) = service.call(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let challenge = head.headers.get(header::WWW_AUTHENTICATE);
    Answer {
        status: head.status,
        challenge: challenge.map(|value| value.to_str().unwrap().to_owned()),
        json: serde_json::from_str(data.unwrap_or(&text)).unwrap_or(Value::String(text)),
    }
}

pub(crate) async fn ask<S, A>(service: &S, token: &str, message: &Value) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<A>, Error = Infallible> + Clone,
    A: http_body::Body<Data = Bytes>,
    A::Error: std::fmt::Debug,
{
    let request = post(token, message);
    send(
        service,
        request.body(Full::from(message.to_string())).unwrap(),
    )
    .await
}
