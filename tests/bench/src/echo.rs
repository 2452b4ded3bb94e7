//! The upstream of the gateway measurements: an MCP server that costs next to nothing.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Events before the result of the tool `stream`.
pub const EVENTS: usize = 1_000;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves on a free loopback port and prints `host:port`. Lists `count` tools, of which the first are `echo` and `stream`; answers
/// each call of `stream` with [`EVENTS`] events, each GET with a stream on which nothing comes, and every other call with the
/// same tiny result.
pub async fn serve(count: usize) -> anyhow::Result<()> {
    let tools: Arc<str> = json!(tools(count)).to_string().into();
    let events: Arc<[Bytes]> = (0..EVENTS).map(event).collect();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tools, events) = (tools.clone(), events.clone());
        let service = service_fn(move |request| answer(request, tools.clone(), events.clone()));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

fn tools(count: usize) -> Vec<Value> {
    let one = |name: &str| json!({"name": name, "description": "Answers.", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    let other = |index: usize| {
        json!({
            "name": name_of(index),
            "title": format!("Look at board {index}"),
            "description": "Reads what stands on one board of the project and says who wrote it, when it was last changed and which of its cards are due.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "board": {"type": "string", "description": "The name of the board."},
                    "since": {"type": "string", "format": "date-time"},
                    "most": {"type": "integer", "minimum": 1, "maximum": 100},
                },
                "required": ["board"],
            },
            "annotations": {"readOnlyHint": true},
        })
    };
    let mut tools = vec![one("echo"), one("stream")];
    tools.extend((2..count).map(other));
    tools.truncate(count);
    tools
}

/// The name of one of the other tools.
pub fn name_of(index: usize) -> String {
    format!("board_{index:03}_read")
}

fn event(index: usize) -> Bytes {
    let message = json!({
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": 7, "progress": index, "total": EVENTS, "message": "one more card was read"},
    });
    format!("event: message\ndata: {message}\n\n").into()
}

async fn answer(
    request: Request<Incoming>,
    tools: Arc<str>,
    events: Arc<[Bytes]>,
) -> anyhow::Result<Answer> {
    if request.method() == Method::GET {
        return stream(Frames::idle());
    }
    let body = request.into_body().collect().await?.to_bytes();
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = &call["id"];
    if id.is_null() {
        return Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .body(Full::default().boxed())?);
    }
    let result = match call["method"].as_str() {
        Some("initialize") => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "echo", "version": "1"}})
                .to_string()
        }
        Some("tools/list") => format!(r#"{{"tools":{tools}}}"#),
        _ => json!({"content": [{"type": "text", "text": "hello"}]}).to_string(),
    };
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    if call["params"]["name"] == "stream" {
        let last = format!("event: message\ndata: {answer}\n\n").into();
        return stream(Frames::of(events, last));
    }
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(answer).boxed())?)
}

fn stream(frames: Frames) -> anyhow::Result<Answer> {
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(frames.boxed())?)
}

/// Each event as a frame of its own, as a server writes them.
struct Frames {
    events: Arc<[Bytes]>,
    next: usize,
    /// Behind the events; without it the stream stays open.
    last: Option<Bytes>,
    stays_open: bool,
}

impl Frames {
    fn of(events: Arc<[Bytes]>, last: Bytes) -> Self {
        Self {
            events,
            next: 0,
            last: Some(last),
            stays_open: false,
        }
    }

    fn idle() -> Self {
        Self {
            events: Arc::new([Bytes::from_static(b": open\n\n")]),
            next: 0,
            last: None,
            stays_open: true,
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        use std::task::Poll;
        let frame = self.events.get(self.next).cloned();
        self.next += 1;
        match frame.or_else(|| self.last.take()) {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            // Nobody wakes it: the connection's end is seen by whoever reads from it.
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}
