use std::sync::Arc;
use std::time::Duration;

use authz::challenge_scopes;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::Notify;
use wire::mcp::headers::MCP_SESSION_ID;
use wire::mcp::json::Limits;
use wire::mcp::{Era, Message, method, read_server_message, rpc};

use crate::admitted_call::AdmittedCall;
use crate::challenge::insufficient_scope;
use crate::door::Door;
use crate::ending_body::EndingBody;
use crate::refusal::RpcRefusal;
use crate::resource_metadata::AskedAddress;
use crate::{
    EventFilter, Filtered, FilteredEvents, InForce, ListFilter, Permitted, ProtectedServer,
    Refusal, RefusalCause, VerifiedCaller,
};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// The longest list that is read, in bytes.
const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a server may take to write one.
const LIST_TIME_MAX: Duration = Duration::from_secs(300);

/// What is kept of a call to make our answer of its server's.
pub(crate) struct Answering {
    era: Era,
    asked: AskedAddress,
    in_force: Arc<InForce>,
    caller: Arc<VerifiedCaller>,
    call: Arc<AdmittedCall>,
    filter: Option<ListFilter>,
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
            filter: ListFilter::for_answer_to(permitted),
        }
    }

    /// What the server behind finds among the request's extensions.
    pub(crate) fn call(&self) -> &Arc<AdmittedCall> {
        &self.call
    }

    /// Makes our answer of the server's: its session id bound to its caller, its lists filtered, its streams mortal.
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
        let Some(filter) = self.filter else {
            let body = match is_stream {
                true => end_with_token(body, door, self.caller, false),
                false => body,
            };
            return Ok(Response::from_parts(head, body));
        };
        let only_listens = filter.asked().is_none();
        if is_stream {
            // What is left of it is another length, and this caller's alone.
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers.remove(header::CACHE_CONTROL);
            let events = OwnEvents {
                filter,
                server: Arc::clone(server),
                lists_changed: Arc::clone(&door.lists_changed),
            };
            let body = FilteredEvents::new(body, events, LIST_BYTES_MAX).boxed_unsync();
            let body = end_with_token(body, door, self.caller, only_listens);
            return Ok(Response::from_parts(head, body));
        }
        if is_of(&head.headers, "application/json") {
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers.remove(header::CACHE_CONTROL);
            let list = match filtered_json(body, &filter).await {
                Ok(list) => list,
                // Clients go by the status: 405 means no stream, 404 ends a session. What stood in the body is not shown.
                Err(_) if !head.status.is_success() => Bytes::new(),
                Err(reason) => return Err(no_list(server, &filter, reason)),
            };
            let body = Full::new(list).map_err(|never| match never {});
            return Ok(Response::from_parts(head, body.boxed_unsync()));
        }
        if !only_listens && head.status.is_success() {
            let reason = "it is neither JSON nor an event stream".to_owned();
            return Err(no_list(server, &filter, reason));
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

fn end_with_token(
    body: BoxBody,
    door: &Door,
    caller: Arc<VerifiedCaller>,
    only_listens: bool,
) -> BoxBody {
    EndingBody::new(body, Arc::clone(&door.server), caller, only_listens).boxed_unsync()
}

async fn filtered_json(body: BoxBody, filter: &ListFilter) -> Result<Bytes, String> {
    let read = tokio::time::timeout(LIST_TIME_MAX, whole(body, LIST_BYTES_MAX)).await;
    let bytes = read.map_err(|_| format!("it took longer than {LIST_TIME_MAX:?}"))??;
    let mut message = read_server_message(&bytes, &limits()).map_err(|error| error.to_string())?;
    filter
        .filter(&mut message, |_, _, _| true)
        .map_err(|no_list| no_list.to_string())?;
    Ok(message.to_bytes().into())
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
        bytes_max: LIST_BYTES_MAX,
        ..Limits::default()
    }
}

const NO_LIST: &str = "This MCP server made a list that cannot be read";

/// 500: what cannot be read cannot be filtered, and is not shown.
fn no_list(server: &ProtectedServer, filter: &ListFilter, reason: String) -> Refusal {
    let error = RpcRefusal {
        cause: RefusalCause::BadGateway,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        id: filter.asked(),
        code: rpc::INTERNAL_ERROR,
        message: NO_LIST,
        data: None,
        reason: format!("{NO_LIST}: {reason}"),
    };
    Refusal::rpc(&*server.random, error)
}

/// The events of the server inside.
struct OwnEvents {
    filter: ListFilter,
    server: Arc<ProtectedServer>,
    lists_changed: Arc<Notify>,
}

impl EventFilter for OwnEvents {
    fn begin(&mut self) {
        // A stream may listen for hours: whoever may not read a resource any more does not hear of it either.
        if self.filter.asked().is_none()
            && let Some(in_force) = self.server.last_in_force()
        {
            self.filter.judge_by(in_force);
        }
    }

    fn filter(&mut self, data: &str) -> Filtered {
        let message = read_server_message(data.as_bytes(), &limits());
        let filtered = message
            .map_err(|error| error.to_string())
            .and_then(|mut message| {
                if self.filter.hides(&message) {
                    return Ok(Filtered::Withheld);
                }
                if is_list_changed(&message) {
                    self.lists_changed.notify_one();
                }
                if !matches!(message, Message::Response(_)) {
                    return Ok(Filtered::AsItIs);
                }
                let filtered = self.filter.filter(&mut message, |_, _, _| true);
                filtered.map_err(|no_list| no_list.to_string())?;
                Ok(Filtered::Changed(text(&message)))
            });
        filtered.unwrap_or_else(|reason| {
            tracing::warn!(reason, "an event of this MCP server was withheld");
            match self.filter.asked() {
                None => Filtered::Withheld,
                Some(id) => {
                    let error = rpc::error(Some(id), rpc::INTERNAL_ERROR, NO_LIST, None);
                    Filtered::Changed(text(&error))
                }
            }
        })
    }
}

fn is_list_changed(message: &Message) -> bool {
    matches!(
        message,
        Message::Notification(told) if matches!(
            told.method.as_str(),
            method::NOTIFICATIONS_TOOLS_LIST_CHANGED
                | method::NOTIFICATIONS_RESOURCES_LIST_CHANGED
                | method::NOTIFICATIONS_PROMPTS_LIST_CHANGED
        )
    )
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).expect("JSON is written from strings and ASCII")
}

/// Whether this is the media type, without its parameters.
fn is_of(headers: &HeaderMap, essence: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(essence))
}
