use std::time::Duration;

use authz::Inventory;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use tower_service::Service;
use wire::mcp::definition::ListKind;
use wire::mcp::era::{CLIENT_CAPABILITIES_META, CLIENT_INFO_META, PROTOCOL_VERSION_META};
use wire::mcp::headers::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID, mirror_headers};
use wire::mcp::json::{Json, Limits, Object};
use wire::mcp::message::{Notification, Outcome, RequestId};
use wire::mcp::{Era, Message, SseParser, method, read_server_message, version};

use crate::AskedAddress;
use crate::answer::{BoxBody, BoxError, whole};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long each answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Pages of one list that are read.
const PAGES_MAX: usize = 100;

/// Reads what the MCP server inside this program lists, as a client would that may see everything.
///
/// # Errors
/// In words.
pub(crate) async fn read_lists<S, Answer>(
    mcp: S,
    address: &AskedAddress,
) -> Result<Inventory, String>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Answer>> + Send,
    S::Future: Send,
    S::Error: std::fmt::Display,
    Answer: Body<Data = Bytes> + Send + 'static,
    Answer::Error: Into<BoxError>,
{
    let mut reading = Reading {
        mcp,
        address,
        era: Era::Legacy,
        session: None,
        next_id: 0,
    };
    let inventory = reading.open_and_read().await;
    if reading.session.is_some() {
        // So that the server need not remember us; whether it worked is its own affair.
        let _ = reading.send(Method::DELETE, None).await;
    }
    inventory
}

struct Reading<'a, S> {
    mcp: S,
    address: &'a AskedAddress,
    era: Era,
    session: Option<HeaderValue>,
    next_id: i64,
}

impl<S, Answer> Reading<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Answer>> + Send,
    S::Future: Send,
    S::Error: std::fmt::Display,
    Answer: Body<Data = Bytes> + Send + 'static,
    Answer::Error: Into<BoxError>,
{
    async fn open_and_read(&mut self) -> Result<Inventory, String> {
        let opening = Object::from_iter([
            ("protocolVersion", Json::from(version::V2025_11_25)),
            ("capabilities", Json::Object(Object::new())),
            ("clientInfo", client_info()),
        ]);
        let opened = match self.ask(method::INITIALIZE, opening).await {
            Ok(opened) => {
                let initialized = Message::Notification(Notification {
                    method: method::NOTIFICATIONS_INITIALIZED.to_owned(),
                    params: None,
                });
                self.send(Method::POST, Some(&initialized)).await?;
                opened
            }
            // It may speak the modern era alone.
            Err(refused) => {
                self.era = Era::Modern;
                self.session = None;
                let discovered = self.ask(method::SERVER_DISCOVER, Object::new()).await;
                discovered.map_err(|_| refused)?
            }
        };
        let offered = opened.get("capabilities");
        let mut inventory = Inventory::default();
        for kind in ListKind::ALL {
            let capability = match kind {
                ListKind::Tools => "tools",
                ListKind::Resources | ListKind::ResourceTemplates => "resources",
                ListKind::Prompts => "prompts",
                // What it says of itself is no list.
                ListKind::Instructions => continue,
            };
            let is_offered = offered.is_some_and(|offered| offered.get(capability).is_some());
            if !is_offered {
                continue;
            }
            match self.read_list(kind, &mut inventory).await {
                // Many servers that offer resources know no templates.
                Err(_) if kind == ListKind::ResourceTemplates => {}
                read => read?,
            }
        }
        Ok(inventory)
    }

    async fn read_list(&mut self, kind: ListKind, inventory: &mut Inventory) -> Result<(), String> {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut params = Object::new();
            if let Some(cursor) = &cursor {
                params.insert("cursor", cursor.as_str());
            }
            let page = self.ask(kind.method(), params).await?;
            let added = inventory.add_page(kind, &page);
            added.map_err(|too_large| too_large.to_string())?;
            cursor = page.str("nextCursor").map(str::to_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err(format!("{} has more than {PAGES_MAX} pages", kind.method()))
    }

    async fn ask(&mut self, method: &str, mut params: Object) -> Result<Object, String> {
        if self.era == Era::Modern {
            let envelope = Json::object([
                (PROTOCOL_VERSION_META, version::V2026_07_28.into()),
                (CLIENT_INFO_META, client_info()),
                (CLIENT_CAPABILITIES_META, Json::Object(Object::new())),
            ]);
            params.insert("_meta", envelope);
        }
        self.next_id += 1;
        let id = RequestId::Integer(self.next_id);
        let message = Message::Request(wire::mcp::message::Request {
            id: id.clone(),
            method: method.to_owned(),
            params: Some(params),
        });
        let asking = async {
            let response = self.send(Method::POST, Some(&message)).await?;
            let (head, body) = response.into_parts();
            if let Some(session) = head.headers.get(&MCP_SESSION_ID) {
                self.session = Some(session.clone());
            }
            let kind = head.headers.get(header::CONTENT_TYPE);
            let is_stream =
                kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            let answer = match is_stream {
                true => answer_in_stream(body, &id).await,
                false => answer_in_json(body).await,
            };
            answer.map_err(|reason| format!("{} ({reason})", head.status))
        };
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, asking).await;
        let answer = answer.map_err(|_| format!("no answer within {ANSWER_TIME_MAX:?}"));
        match answer.flatten() {
            Ok(Message::Response(response)) => match response.outcome {
                Outcome::Result(Json::Object(result)) => Ok(result),
                Outcome::Result(_) => Err(format!("{method}: the result is no object")),
                Outcome::Error(error) => Err(format!(
                    "{method}: {}",
                    error.str("message").unwrap_or("an error without words")
                )),
            },
            Ok(_) => Err(format!("{method}: the answer is no response")),
            Err(reason) => Err(format!("{method}: {reason}")),
        }
    }

    async fn send(
        &mut self,
        method: Method,
        message: Option<&Message>,
    ) -> Result<Response<BoxBody>, String> {
        let body = message.map(Message::to_bytes).unwrap_or_default();
        let host = self.address.origin.split("://").nth(1).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(match &*self.address.path {
                "" => "/",
                path => path,
            })
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len());
        if message.and_then(Message::method) != Some(method::INITIALIZE) {
            let version = match self.era {
                Era::Legacy => version::V2025_11_25,
                Era::Modern => version::V2026_07_28,
            };
            request = request.header(&MCP_PROTOCOL_VERSION, version);
        }
        if let Some(session) = &self.session {
            request = request.header(&MCP_SESSION_ID, session);
        }
        let mut request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        if let (Era::Modern, Some(message)) = (self.era, message) {
            request.headers_mut().extend(mirror_headers(message));
        }
        let mcp = &mut self.mcp;
        let ready = std::future::poll_fn(|context| mcp.poll_ready(context)).await;
        ready.map_err(|error| error.to_string())?;
        let answer = mcp.call(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

fn client_info() -> Json {
    Json::object([
        ("name", "portcullis".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ])
}

fn limits() -> Limits {
    Limits {
        bytes_max: ANSWER_BYTES_MAX,
        ..Limits::default()
    }
}

async fn answer_in_json(body: BoxBody) -> Result<Message, String> {
    let bytes = whole(body, ANSWER_BYTES_MAX).await?;
    read_server_message(&bytes, &limits()).map_err(|error| error.to_string())
}

/// The answer to `id` among the events; what the server asks meanwhile is not answered.
async fn answer_in_stream(mut body: BoxBody, id: &RequestId) -> Result<Message, String> {
    let mut parser = SseParser::new(ANSWER_BYTES_MAX);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        parser.push(&data).map_err(|error| error.to_string())?;
        while let Some(event) = parser.next_event() {
            let Some(data) = event.data().filter(|data| !data.is_empty()) else {
                continue;
            };
            let message = read_server_message(data.as_bytes(), &limits());
            let message = message.map_err(|error| error.to_string())?;
            if matches!(&message, Message::Response(response) if response.id.as_ref() == Some(id)) {
                return Ok(message);
            }
        }
    }
    Err("the event stream ended before the answer".to_owned())
}
