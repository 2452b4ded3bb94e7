use std::sync::Arc;
use std::time::Duration;

use authz::{ListKind, challenge_scopes};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::Notify;
use wire::mcp::headers::MCP_SESSION_ID;
use wire::mcp::json::Limits;
use wire::mcp::{Era, Message, method, rpc};

use crate::admitted_call::AdmittedCall;
use crate::challenge::insufficient_scope;
use crate::door::Door;
use crate::ending_body::EndingBody;
use crate::refusal::RpcRefusal;
use crate::resource_metadata::AskedAddress;
use crate::{
    AnswerFilter, EventFilter, Filtered, FilteredEvents, InForce, NoAnswer, OnItsWay, Permitted,
    ProtectedServer, Refusal, RefusalCause, VerifiedCaller,
};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// The longest answer in JSON, or event of a stream, that is held to look at it, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a server may take to write an answer in JSON.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);

/// What is kept of a call to make our answer of its server's.
pub(crate) struct Answering {
    era: Era,
    asked: AskedAddress,
    in_force: Arc<InForce>,
    caller: Arc<VerifiedCaller>,
    call: Arc<AdmittedCall>,
    filter: AnswerFilter,
    /// Something may come back: a request was made, or a stream asked for.
    expects: bool,
}

impl Answering {
    pub(crate) fn of(permitted: &Permitted, asked: AskedAddress) -> Self {
        let (caller, in_force) = (permitted.caller(), permitted.in_force());
        Self {
            era: permitted.era(),
            asked,
            call: Arc::new(AdmittedCall::new(Arc::clone(caller), Arc::clone(in_force))),
            in_force: Arc::clone(in_force),
            caller: Arc::clone(caller),
            filter: AnswerFilter::for_answer_to(permitted),
            expects: match permitted.message() {
                Some(message) => matches!(message, Message::Request(_)),
                None => permitted.method() == Method::GET,
            },
        }
    }

    /// What the server behind finds among the request's extensions.
    pub(crate) fn call(&self) -> &Arc<AdmittedCall> {
        &self.call
    }

    /// Makes our answer of the server's: its session id bound to its caller, its messages let through where they belong, its
    /// lists filtered, its streams mortal.
    pub(crate) async fn answer<A>(
        self,
        response: Response<A>,
        door: &Door,
    ) -> Result<Response<BoxBody>, Refusal>
    where
        A: Body<Data = Bytes> + Send + 'static,
        A::Error: Into<BoxError>,
    {
        let (mut head, body) = response.into_parts();
        self.bind_session(&mut head.headers);
        let is_stream = is_of(&head.headers, "text/event-stream");
        let server = &door.server;
        if let Some(needed) = self.call.needs().filter(|_| !is_stream) {
            let scope = challenge_scopes(self.era, needed, &self.caller.caller().scopes);
            return Err(insufficient_scope(
                &*server.random,
                &self.asked,
                scope,
                "in code",
            ));
        }
        let body: BoxBody = body.map_err(Into::into).boxed_unsync();
        let filter = self.filter;
        let list = filter
            .asked_list()
            .filter(|kind| *kind != ListKind::Instructions);
        if is_stream {
            let only_listens = filter.listens();
            // What is left of it is another length, and this caller's alone.
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            let events = OwnEvents {
                filter,
                server: Arc::clone(server),
                lists_changed: Arc::clone(&door.lists_changed),
            };
            let body = FilteredEvents::new(body, events, ANSWER_BYTES_MAX).boxed_unsync();
            let body =
                EndingBody::new(body, Arc::clone(server), self.caller, only_listens).boxed_unsync();
            return Ok(Response::from_parts(head, body));
        }
        if is_of(&head.headers, "application/json") {
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            let refuses = !head.status.is_success();
            let answer = match self.expects || refuses {
                true => whole_answer(body, &filter, refuses).await,
                // Nothing is expected back, whatever some servers say.
                false => Ok(Bytes::new()),
            };
            let answer = match answer {
                Ok(answer) => answer,
                // Clients go by the status: 405 means no stream, 404 ends a session. What stood in the body is not shown.
                Err(_) if refuses => Bytes::new(),
                Err(reason) => return Err(not_passed_on(server, &filter, &reason)),
            };
            let body = Full::new(answer).map_err(|never| match never {});
            return Ok(Response::from_parts(head, body.boxed_unsync()));
        }
        if list.is_some() && head.status.is_success() {
            let reason = "is neither JSON nor an event stream";
            return Err(not_passed_on(server, &filter, reason));
        }
        Ok(Response::from_parts(head, body))
    }

    fn bind_session(&self, headers: &mut HeaderMap) {
        let own = headers.remove(&MCP_SESSION_ID);
        let outward = own
            .as_ref()
            .filter(|_| self.era == Era::Legacy)
            .and_then(|own| own.to_str().ok())
            .and_then(|own| self.in_force.outward_session(self.caller.principal(), own))
            .and_then(|outward| HeaderValue::try_from(outward).ok());
        if let Some(outward) = outward {
            headers.insert(&MCP_SESSION_ID, outward);
        }
    }
}

/// The words for the log go behind "it".
async fn whole_answer(
    body: BoxBody,
    filter: &AnswerFilter,
    refuses: bool,
) -> Result<Bytes, String> {
    let read = tokio::time::timeout(ANSWER_TIME_MAX, whole(body, ANSWER_BYTES_MAX)).await;
    let bytes = read
        .map_err(|_| format!("took longer than {ANSWER_TIME_MAX:?}"))?
        .map_err(|reason| format!("broke off: {reason}"))?;
    let shown = |filtered: Result<Message, NoAnswer>| {
        let message = filtered.map_err(|no_answer| no_answer.to_string())?;
        Ok(message.to_bytes().into())
    };
    match filter.look_at_whole(&bytes, &limits(), refuses) {
        Ok(OnItsWay::ToFilter(message)) => shown(filtered(filter, message)),
        Ok(_) => Ok(bytes),
        Err(no_answer) => shown(Err(no_answer)),
    }
}

fn filtered(filter: &AnswerFilter, mut message: Message) -> Result<Message, NoAnswer> {
    filter.filter(&mut message, |_, _, _| true)?;
    Ok(message)
}

/// The whole of a body, when it is not longer than this.
pub(crate) async fn whole(mut body: BoxBody, bytes_max: usize) -> Result<Bytes, String> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else {
            continue;
        };
        if read.len() + data.len() > bytes_max {
            return Err(format!("it is longer than {bytes_max} bytes"));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

fn limits() -> Limits {
    Limits {
        bytes_max: ANSWER_BYTES_MAX,
        ..Limits::default()
    }
}

/// What the caller is told of what `filter` did not let through.
fn words(filter: &AnswerFilter, reason: &str) -> String {
    match filter.asked_list() {
        Some(kind) if kind != ListKind::Instructions => {
            "This MCP server made a list that cannot be read".to_owned()
        }
        _ => format!("The answer of this MCP server is not passed on: it {reason}"),
    }
}

/// 500: what cannot be read cannot be judged, and is not shown; nor is what is for another request.
fn not_passed_on(server: &ProtectedServer, filter: &AnswerFilter, reason: &str) -> Refusal {
    let words = words(filter, reason);
    let error = RpcRefusal {
        cause: RefusalCause::BadGateway,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        id: filter.waiting(),
        code: rpc::INTERNAL_ERROR,
        message: &words,
        data: None,
        reason: format!("an answer of this MCP server is not passed on: it {reason}"),
    };
    Refusal::rpc(&*server.random, error)
}

/// The events of the server inside.
struct OwnEvents {
    filter: AnswerFilter,
    server: Arc<ProtectedServer>,
    lists_changed: Arc<Notify>,
}

impl EventFilter for OwnEvents {
    fn begin(&mut self) {
        // A stream may listen for hours: whoever may not read a resource any more does not hear of it either.
        if self.filter.listens()
            && let Some(in_force) = self.server.last_in_force()
        {
            self.filter.judge_by(in_force);
        }
    }

    fn filter(&mut self, data: &str) -> Filtered {
        let looked = self.filter.look(data.as_bytes(), &limits());
        let passes = looked.and_then(|on_its_way| {
            Ok(match on_its_way {
                OnItsWay::Asks => Filtered::AsItIs,
                OnItsWay::Hidden => Filtered::Withheld,
                OnItsWay::Tells { method } => {
                    if is_list_changed(&method) {
                        self.lists_changed.notify_one();
                    }
                    Filtered::AsItIs
                }
                OnItsWay::Answers => {
                    self.filter.answered();
                    Filtered::AsItIs
                }
                OnItsWay::ToFilter(message) => {
                    let shown = filtered(&self.filter, message)?;
                    self.filter.answered();
                    Filtered::Changed(text(&shown))
                }
            })
        });
        passes.unwrap_or_else(|no_answer| {
            let reason = no_answer.to_string();
            tracing::warn!(reason, "an event of this MCP server was withheld");
            let words = words(&self.filter, &reason);
            match self.filter.give_up() {
                None => Filtered::Withheld,
                Some(id) => {
                    let error = rpc::error(Some(&id), rpc::INTERNAL_ERROR, &words, None);
                    Filtered::Changed(text(&error))
                }
            }
        })
    }

    fn event_id(&self, own: &str) -> Option<String> {
        self.filter.outward_event(own)
    }
}

fn is_list_changed(told: &str) -> bool {
    matches!(
        told,
        method::NOTIFICATIONS_TOOLS_LIST_CHANGED
            | method::NOTIFICATIONS_RESOURCES_LIST_CHANGED
            | method::NOTIFICATIONS_PROMPTS_LIST_CHANGED
    )
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).expect("JSON is written from strings and ASCII")
}

/// Whether clients take the body for one of this media type: some look for it anywhere in the header.
fn is_of(headers: &HeaderMap, essence: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    values.any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        let mut places = value.windows(essence.len());
        places.any(|place| place == essence.as_bytes())
    })
}
