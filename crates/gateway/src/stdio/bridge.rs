use std::sync::Arc;

use base::{OsRandom, random_token};
use http::{HeaderValue, Method, Response, StatusCode};
use sdk::Era;
use tokio::sync::OnceCell;
use wire::mcp::headers::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use wire::mcp::message::{Message, Request};
use wire::mcp::{Limits, method, read_message, rpc, version};

use super::StdioSettings;
use super::answer::{Accepts, Answered, Waiting, busy, empty, listening, refusal};
use super::child::Child;
use super::modern;
use super::outlet::outlet;
use super::sessions::{Refused, Sessions};
use crate::upstream::UpstreamRequest;
use crate::{BoxBody, BoxError};

/// What SDK servers say to a request that they cannot place; clients fall back to `initialize` on it.
const BAD_REQUEST: i64 = -32000;
/// What SDK servers say about a session that they do not know.
const SESSION_NOT_FOUND: i64 = -32001;

/// The bridge to the children of one MCP server. Cheap to clone; the children end with the last clone.
#[derive(Debug, Clone)]
pub struct StdioBridge {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sessions: Sessions,
    /// Whether the server speaks the modern era; asked when the first modern request comes.
    speaks_modern: OnceCell<bool>,
}

impl StdioBridge {
    /// A bridge without children yet.
    pub fn new(settings: StdioSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                sessions: Sessions::new(settings),
                speaks_modern: OnceCell::new(),
            }),
        }
    }

    /// Answers one call with JSON or SSE.
    ///
    /// # Errors
    /// In words when the child cannot be started or is gone; the gateway turns them into a 502.
    pub async fn handle(&self, request: UpstreamRequest) -> Result<Response<BoxBody>, BoxError> {
        match (&request.method, request.era) {
            (&Method::POST, era) => {
                let message = match read_message(&request.body, &Limits::default()) {
                    Ok(message) => message,
                    Err(error) => {
                        let (code, words) = (error.rpc_code(), error.to_string());
                        return Ok(refusal(StatusCode::BAD_REQUEST, None, code, &words));
                    }
                };
                match era {
                    Era::Legacy => self.legacy(request, message).await,
                    Era::Modern => self.modern(request, message).await,
                }
            }
            (&Method::GET, _) => Ok(self.listen(&request)),
            (&Method::DELETE, _) => Ok(self.end_session(&request)),
            _ => Ok(empty(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    /// Ends all children and waits until they are gone.
    pub async fn shutdown(&self) {
        for child in self.inner.sessions.stop_all() {
            child.gone().await;
        }
    }

    async fn legacy(
        &self,
        request: UpstreamRequest,
        message: Message,
    ) -> Result<Response<BoxBody>, BoxError> {
        if message.method() == Some(method::INITIALIZE) {
            return self.open_session(request, message).await;
        }
        let child = match self.session(&request, &message) {
            Ok(child) => child,
            Err(refusal) => return Ok(*refusal),
        };
        let told = match message {
            Message::Request(message) => {
                return exchange(child, Era::Legacy, &request, message).await;
            }
            Message::Notification(notification) => child.exchange().tell(notification),
            Message::Response(response) => {
                let id = response.id.clone();
                match child.exchange().reply(response) {
                    Some(reply) => Some(reply),
                    None => {
                        let words = "This answers no open request of the server";
                        let code = rpc::INVALID_REQUEST;
                        return Ok(refusal(StatusCode::BAD_REQUEST, id.as_ref(), code, words));
                    }
                }
            }
        };
        if let Some(told) = told {
            child.send(told).await?;
        }
        Ok(empty(StatusCode::ACCEPTED))
    }

    async fn open_session(
        &self,
        request: UpstreamRequest,
        message: Message,
    ) -> Result<Response<BoxBody>, BoxError> {
        let Message::Request(message) = message else {
            let words = "initialize is a request, so it needs an id";
            let code = rpc::INVALID_REQUEST;
            return Ok(refusal(StatusCode::BAD_REQUEST, None, code, words));
        };
        if request.headers.contains_key(MCP_SESSION_ID) {
            let words =
                "This session is initialized already; open a new one without Mcp-Session-Id";
            let code = rpc::INVALID_REQUEST;
            return Ok(refusal(
                StatusCode::BAD_REQUEST,
                Some(&message.id),
                code,
                words,
            ));
        }
        let id = random_token(&OsRandom, "");
        let child = match self.inner.sessions.open(&id, &request.principal).await {
            Ok(child) => child,
            Err(refused) => return no_child(refused),
        };
        let unfinished = StopUnlessKept(Some(Arc::clone(&child)));
        let answered = exchange_with(child, Era::Legacy, &request, message).await?;
        let mut response = answered.response;
        if !answered.is_error && response.status() == StatusCode::OK {
            let id = HeaderValue::from_str(&id).expect("base64url is a header value");
            response.headers_mut().insert(MCP_SESSION_ID, id);
            unfinished.keep();
        }
        Ok(response)
    }

    async fn modern(
        &self,
        request: UpstreamRequest,
        message: Message,
    ) -> Result<Response<BoxBody>, BoxError> {
        match self.speaks_modern(&request).await {
            Ok(true) => {}
            Ok(false) => {
                let words = "Bad Request: this MCP server speaks no revision after 2025-11-25; open with initialize";
                let code = BAD_REQUEST;
                return Ok(refusal(StatusCode::BAD_REQUEST, message.id(), code, words));
            }
            Err(refused) => return no_child(refused),
        }
        let child = match self.inner.sessions.modern(&request.principal).await {
            Ok(child) => child,
            Err(refused) => return no_child(refused),
        };
        match message {
            Message::Request(message) => exchange(child, Era::Modern, &request, message).await,
            Message::Notification(notification) => {
                let told = child.exchange().tell(notification);
                if let Some(told) = told {
                    child.send(told).await?;
                }
                Ok(empty(StatusCode::ACCEPTED))
            }
            Message::Response(response) => {
                let words =
                    "Servers send no requests in this revision, so there is nothing to answer";
                let (status, code) = (StatusCode::BAD_REQUEST, rpc::INVALID_REQUEST);
                Ok(refusal(status, response.id.as_ref(), code, words))
            }
        }
    }

    async fn speaks_modern(&self, request: &UpstreamRequest) -> Result<bool, Refused> {
        let asking = async || {
            let child = self.inner.sessions.modern(&request.principal).await?;
            let speaks = modern::probe(&child).await.is_some();
            if !speaks {
                child.stop();
            }
            Ok(speaks)
        };
        self.inner
            .speaks_modern
            .get_or_try_init(asking)
            .await
            .copied()
    }

    fn listen(&self, request: &UpstreamRequest) -> Response<BoxBody> {
        let child = match self.session_of(request, None) {
            Ok(child) => child,
            Err(refusal) => return *refusal,
        };
        if !Accepts::of(&request.headers).streams {
            let words = "A GET is answered with text/event-stream, which Accept does not name";
            let (status, code) = (StatusCode::NOT_ACCEPTABLE, rpc::INVALID_REQUEST);
            return refusal(status, None, code, words);
        }
        child.touch();
        let (outlet, inlet) = outlet(true);
        child.exchange().listen(outlet);
        listening(inlet)
    }

    fn end_session(&self, request: &UpstreamRequest) -> Response<BoxBody> {
        match self.session_of(request, None) {
            Ok(child) => {
                child.stop();
                empty(StatusCode::NO_CONTENT)
            }
            Err(refusal) => *refusal,
        }
    }

    fn session(
        &self,
        request: &UpstreamRequest,
        message: &Message,
    ) -> Result<Arc<Child>, Box<Response<BoxBody>>> {
        let id = match message {
            Message::Request(request) => Some(&request.id),
            _ => None,
        };
        if let Some(asked) = request.headers.get(MCP_PROTOCOL_VERSION)
            && !known_version(asked)
        {
            let words = format!(
                "MCP-Protocol-Version {:?} is none that a session can have",
                String::from_utf8_lossy(asked.as_bytes())
            );
            let (status, code) = (StatusCode::BAD_REQUEST, BAD_REQUEST);
            return Err(Box::new(refusal(status, id, code, &words)));
        }
        self.session_of(request, id)
    }

    fn session_of(
        &self,
        request: &UpstreamRequest,
        id: Option<&wire::mcp::RequestId>,
    ) -> Result<Arc<Child>, Box<Response<BoxBody>>> {
        let Some(session) = request.headers.get(MCP_SESSION_ID) else {
            let words = "Mcp-Session-Id is missing; open a session with initialize";
            let (status, code) = (StatusCode::BAD_REQUEST, BAD_REQUEST);
            return Err(Box::new(refusal(status, id, code, words)));
        };
        let found = session
            .to_str()
            .ok()
            .and_then(|session| self.inner.sessions.find(session, &request.principal));
        found.ok_or_else(|| {
            let words = "This session is unknown or has ended; open a new one with initialize";
            let (status, code) = (StatusCode::NOT_FOUND, SESSION_NOT_FOUND);
            Box::new(refusal(status, id, code, words))
        })
    }
}

/// Sends a request to the child and waits for what it says.
async fn exchange(
    child: Arc<Child>,
    era: Era,
    request: &UpstreamRequest,
    message: Request,
) -> Result<Response<BoxBody>, BoxError> {
    let answered = exchange_with(child, era, request, message).await?;
    Ok(answered.response)
}

async fn exchange_with(
    child: Arc<Child>,
    era: Era,
    request: &UpstreamRequest,
    message: Request,
) -> Result<Answered, BoxError> {
    let accepts = Accepts::of(&request.headers);
    let (outlet, inlet) = outlet(accepts.streams);
    let original = message.id.clone();
    let admitted = child.exchange().admit(message, outlet);
    let Ok((id, bytes)) = admitted else {
        return Ok(Answered {
            response: busy("Too many requests to this MCP server are unanswered"),
            is_error: true,
        });
    };
    let waiting = Waiting {
        child: Arc::clone(&child),
        era,
        id,
        original,
        inlet,
        answered: false,
    };
    child.send(bytes).await?;
    waiting.answer(accepts).await
}

fn no_child(refused: Refused) -> Result<Response<BoxBody>, BoxError> {
    match refused {
        Refused::ServerIsFull(children) => Ok(busy(&format!(
            "This MCP server already runs {children} processes, as many as it may"
        ))),
        Refused::PrincipalIsFull(children) => Ok(busy(&format!(
            "You already have {children} sessions with this MCP server, as many as you may; end one first"
        ))),
        Refused::Start(reason) => Err(reason.into()),
    }
}

/// A legacy revision; stdio servers may also speak the first one, whose HTTP transport is another.
fn known_version(value: &HeaderValue) -> bool {
    value
        .to_str()
        .is_ok_and(|value| version::LEGACY.contains(&value) || value == version::V2024_11_05)
}

/// Ends the child of a session that never came about: its client hung up, or it refused.
struct StopUnlessKept(Option<Arc<Child>>);

impl StopUnlessKept {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for StopUnlessKept {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            child.stop();
        }
    }
}
