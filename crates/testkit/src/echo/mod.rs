//! An MCP server that answers `tools/call` with the arguments it was given.
//!
//! It is small and fast, so that what a benchmark measures is whatever stands before it, and it can be told to
//! misbehave. It speaks both eras of the protocol, as far as a test needs them.

mod answer;
mod hostile;
mod settings;

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub use hostile::Hostility;
pub use settings::{EchoSettings, tool};

pub(crate) type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// What arrived in one request.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// All header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A running echo server; it stops when the value is dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    settings: EchoSettings,
    tools: Mutex<Vec<Value>>,
    instructions: Mutex<Option<String>>,
    hostility: Mutex<Option<Hostility>>,
    recorded: Mutex<Vec<RecordedRequest>>,
    sessions: Mutex<HashSet<String>>,
    session_counter: AtomicU64,
}

impl State {
    fn tools(&self) -> MutexGuard<'_, Vec<Value>> {
        lock(&self.tools)
    }

    /// With what the server says of itself, if it says anything.
    fn opening(&self, mut result: Value) -> Value {
        if let Some(text) = &*lock(&self.instructions) {
            result["instructions"] = Value::from(text.as_str());
        }
        result
    }
}

impl Echo {
    /// Starts on a free loopback port.
    pub async fn start(settings: EchoSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        Self::start_on(listener, settings)
    }

    /// Starts on a listener that the caller bound.
    pub fn start_on(listener: TcpListener, settings: EchoSettings) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let state = Arc::new(State {
            hostility: Mutex::new(settings.hostility.clone()),
            tools: Mutex::new(settings.tools.clone()),
            instructions: Mutex::new(settings.instructions.clone()),
            settings,
            recorded: Mutex::default(),
            sessions: Mutex::default(),
            session_counter: AtomicU64::new(1),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&state), stop.clone()));
        Self {
            address,
            state,
            stop,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its MCP URL. Every path answers, this is the one to type.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// What arrived so far, oldest first; empty unless [`EchoSettings::record`] is set.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.state.recorded).clone()
    }

    /// Forgets what arrived so far.
    pub fn forget_requests(&self) {
        lock(&self.state.recorded).clear();
    }

    /// Lists these tools from the next request on.
    pub fn set_tools(&self, tools: Vec<Value>) {
        *lock(&self.state.tools) = tools;
    }

    /// Says this of itself from the next connection on.
    pub fn set_instructions(&self, text: Option<&str>) {
        *lock(&self.state.instructions) = text.map(str::to_owned);
    }

    /// Makes it misbehave from the next connection or request on, or behave again.
    pub fn set_hostility(&self, hostility: Option<Hostility>) {
        *lock(&self.state.hostility) = hostility;
    }

    /// Ends every session, as a restart of a server that keeps them in memory would.
    pub fn forget_sessions(&self) {
        lock(&self.state.sessions).clear();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while holding this")
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let state = Arc::clone(&state);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = converse(stream, state) => {}
            }
        });
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    // Answers are small; waiting to fill a packet would be all that a latency test sees.
    let _ = stream.set_nodelay(true);
    if matches!(*lock(&state.hostility), Some(Hostility::Garbage)) {
        return hostile::speak_garbage(stream).await;
    }
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { respond(request, &state).await }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    if state.settings.record {
        lock(&state.recorded).push(RecordedRequest {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            body: body.clone(),
        });
    }
    let hostility = lock(&state.hostility).clone();
    if let Some(hostility) = hostility {
        return hostile::respond(&hostility).await;
    }
    if let Some(bearer) = &state.settings.bearer {
        let expected = format!("Bearer {bearer}");
        if parts
            .headers
            .get(header::AUTHORIZATION)
            .map(|v| v.as_bytes())
            != Some(expected.as_bytes())
        {
            return Ok(status(StatusCode::UNAUTHORIZED));
        }
    }
    Ok(answer::answer(&parts, &body, state))
}

impl State {
    fn open_session(&self) -> String {
        let number = self.session_counter.fetch_add(1, Ordering::Relaxed);
        let id = format!("echo-session-{number}");
        lock(&self.sessions).insert(id.clone());
        id
    }

    fn knows_session(&self, id: &str) -> bool {
        lock(&self.sessions).contains(id)
    }

    fn end_session(&self, id: &str) -> bool {
        lock(&self.sessions).remove(id)
    }
}

pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}
