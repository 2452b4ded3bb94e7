use std::time::Duration;

use authz::Inventory;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use sdk::{Era, Principal};
use wire::mcp::definition::ListKind;
use wire::mcp::era::{CLIENT_CAPABILITIES_META, CLIENT_INFO_META, PROTOCOL_VERSION_META};
use wire::mcp::headers::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID, mirror_headers};
use wire::mcp::json::{Json, Limits as JsonLimits, Object};
use wire::mcp::message::{Notification, Outcome, Request, RequestId};
use wire::mcp::{Message, SseParser, method, read_server_message, version};

use crate::body::UpstreamBody;
use crate::settings::{Limits, Upstream};
use crate::stdio;
use crate::upstream::{Forwarder, UpstreamRequest};
use crate::upstream_error::UpstreamError;

/// Pages of one list that are read.
const PAGES_MAX: usize = 100;

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(30);

const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// What one look at an upstream found.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// What it lists.
    pub inventory: Inventory,
    /// Whether it was read in the modern era: an HTTP server that speaks both is read in the legacy one.
    pub modern: bool,
    /// What it calls itself. Proves nothing.
    pub server_name: Option<String>,
}

/// Why the inventory of an upstream could not be read, in words for the terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// It speaks only the HTTP+SSE transport of 2024-11-05.
    #[error("{0}")]
    OldTransport(String),
    /// It answered something that is no MCP.
    #[error("{0}")]
    NotMcp(String),
    /// It asked for credentials.
    #[error("{0}")]
    Unauthorized(String),
}

/// Reads the inventory of `upstream`: tools, resources, templates and prompts, all pages, bounded.
///
/// # Errors
/// In words that say what was seen and what to do.
pub async fn discover(upstream: &Upstream, limits: &Limits) -> Result<Discovered, DiscoverError> {
    if let Upstream::Stdio(settings) = upstream {
        let found = stdio::discover(settings).await?;
        return Ok(Discovered {
            inventory: found.inventory,
            modern: found.modern,
            server_name: found.server_name,
        });
    }
    let forwarder = Forwarder::new("", upstream, limits)
        .map_err(|error| DiscoverError::Unreachable(error.to_string()))?;
    let mut look = Look {
        forwarder,
        list_bytes_max: limits.list_bytes_max,
        era: Era::Legacy,
        version: version::V2025_11_25.to_owned(),
        session: None,
        next_id: 0,
    };
    let found = look.open_and_read().await;
    look.close().await;
    found
}

/// One upstream that is being looked at.
struct Look {
    forwarder: Forwarder,
    list_bytes_max: usize,
    era: Era,
    version: String,
    session: Option<HeaderValue>,
    next_id: i64,
}

/// Why one question has no answer.
enum NoAnswer {
    /// The server said so, in JSON-RPC.
    Error(Object),
    /// The HTTP status said so.
    Status(StatusCode),
    /// Anything else.
    Failed(DiscoverError),
}

impl From<UpstreamError> for NoAnswer {
    fn from(error: UpstreamError) -> Self {
        Self::Failed(DiscoverError::Unreachable(error.words))
    }
}

impl Look {
    async fn open_and_read(&mut self) -> Result<Discovered, DiscoverError> {
        let opening = match self.ask(method::INITIALIZE, opening_params()).await {
            Ok(result) => {
                if let Some(version) = result.str("protocolVersion") {
                    self.version = version.to_owned();
                }
                self.tell(method::NOTIFICATIONS_INITIALIZED).await?;
                result
            }
            Err(NoAnswer::Failed(error)) => return Err(error),
            Err(refused) => self.open_modern(refused).await?,
        };
        let server_name = opening
            .get("serverInfo")
            .or_else(|| {
                opening
                    .get("_meta")?
                    .get("io.modelcontextprotocol/serverInfo")
            })
            .and_then(|info| info.get("name")?.as_str())
            .map(|name| name.chars().take(100).collect());
        let mut inventory = Inventory::default();
        for kind in ListKind::ALL {
            let capability = match kind {
                ListKind::Tools => "tools",
                ListKind::Resources | ListKind::ResourceTemplates => "resources",
                ListKind::Prompts => "prompts",
            };
            let offered = opening.get("capabilities");
            if offered.is_some_and(|offered| offered.get(capability).is_some()) {
                self.read_list(kind, &mut inventory).await?;
            }
        }
        Ok(Discovered {
            inventory,
            modern: self.era == Era::Modern,
            server_name,
        })
    }

    /// A server that refuses `initialize` may speak the modern era alone, or the transport of 2024-11-05.
    async fn open_modern(&mut self, refused: NoAnswer) -> Result<Object, DiscoverError> {
        self.era = Era::Modern;
        version::V2026_07_28.clone_into(&mut self.version);
        self.session = None;
        match self.ask(method::SERVER_DISCOVER, Object::new()).await {
            Ok(result) => Ok(result),
            Err(NoAnswer::Failed(DiscoverError::Unauthorized(words))) => {
                Err(DiscoverError::Unauthorized(words))
            }
            Err(_) if self.speaks_old_transport().await => Err(DiscoverError::OldTransport(
                "It speaks only the HTTP+SSE transport of 2024-11-05, which has been replaced by Streamable HTTP. Start \
                 it with Streamable HTTP (often a flag such as --transport http, and the path /mcp), or run it as a \
                 command: portcullis up -- COMMAND"
                    .to_owned(),
            )),
            Err(_) => Err(self.in_words(method::INITIALIZE, refused)),
        }
    }

    /// There, a GET opens a stream whose first event says where to post.
    async fn speaks_old_transport(&mut self) -> bool {
        let request = UpstreamRequest {
            principal: principal(),
            era: Era::Legacy,
            method: Method::GET,
            headers: HeaderMap::from_iter([(
                ACCEPT,
                HeaderValue::from_static("text/event-stream"),
            )]),
            body: Bytes::new(),
        };
        let looking = async {
            let response = self.forwarder.send(request).await.ok()?;
            if !is_stream(&response) {
                return None;
            }
            let mut body = response.into_body();
            let mut parser = SseParser::new(64 * 1024);
            loop {
                let data = body.frame().await?.ok()?.into_data().ok()?;
                parser.push(&data).ok()?;
                if let Some(event) = parser.next_event().filter(|event| event.data().is_some()) {
                    return event.event().map(|name| name == "endpoint");
                }
            }
        };
        let looked = tokio::time::timeout(Duration::from_secs(5), looking).await;
        looked.ok().flatten().unwrap_or(false)
    }

    async fn read_list(
        &mut self,
        kind: ListKind,
        inventory: &mut Inventory,
    ) -> Result<(), DiscoverError> {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut params = Object::new();
            if let Some(cursor) = &cursor {
                params.insert("cursor", cursor.as_str());
            }
            let result = match self.ask(kind.method(), params).await {
                Ok(result) => result,
                // Many servers that offer resources know no templates.
                Err(NoAnswer::Error(_) | NoAnswer::Status(StatusCode::NOT_FOUND))
                    if kind == ListKind::ResourceTemplates =>
                {
                    return Ok(());
                }
                Err(no_answer) => return Err(self.in_words(kind.method(), no_answer)),
            };
            inventory
                .add_page(kind, &result)
                .map_err(|too_large| DiscoverError::NotMcp(too_large.to_string()))?;
            cursor = result.str("nextCursor").map(str::to_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err(DiscoverError::NotMcp(format!(
            "{} has more than {PAGES_MAX} pages",
            kind.method()
        )))
    }

    async fn ask(&mut self, method: &str, mut params: Object) -> Result<Object, NoAnswer> {
        if self.era == Era::Modern {
            params.insert("_meta", self.envelope());
        }
        self.next_id += 1;
        let id = RequestId::Integer(self.next_id);
        let message = Message::Request(Request {
            id: id.clone(),
            method: method.to_owned(),
            params: Some(params),
        });
        match tokio::time::timeout(PATIENCE, self.exchange(&message, &id)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Failed(DiscoverError::Unreachable(format!(
                "It did not answer {method} within {PATIENCE:?}"
            )))),
        }
    }

    async fn exchange(&mut self, message: &Message, id: &RequestId) -> Result<Object, NoAnswer> {
        let response = self.post(message).await?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(NoAnswer::Failed(DiscoverError::Unauthorized(format!(
                "It asks for credentials ({status}). Give the gateway its key with --upstream-header-file"
            ))));
        }
        if status.is_redirection() {
            let target = response.headers().get(http::header::LOCATION);
            let target = target.and_then(|target| target.to_str().ok());
            return Err(NoAnswer::Failed(DiscoverError::NotMcp(format!(
                "It redirects ({status}) to {}. Use the address it redirects to",
                target.unwrap_or("nowhere")
            ))));
        }
        if let Some(session) = response.headers().get(&MCP_SESSION_ID) {
            self.session = Some(session.clone());
        }
        let answer = if is_stream(&response) {
            self.answer_in_stream(response.into_body(), id).await?
        } else {
            let is_json = media_type(&response).eq_ignore_ascii_case("application/json");
            let kind = media_type(&response).to_owned();
            let bytes = Limited::new(response.into_body(), self.list_bytes_max)
                .collect()
                .await
                .map_err(|error| UpstreamError::broken(&error))?
                .to_bytes();
            match read_server_message(&bytes, &self.json_limits()) {
                Ok(message) if is_json => message,
                _ if !status.is_success() => return Err(NoAnswer::Status(status)),
                Ok(_) => return Err(not_mcp(format!("It answered with {kind}, not JSON"))),
                Err(error) => {
                    return Err(not_mcp(format!(
                        "It answered with something that is no MCP: {error}. Check the address, path included"
                    )));
                }
            }
        };
        match answer {
            Message::Response(response) => match response.outcome {
                Outcome::Result(Json::Object(result)) => Ok(result),
                Outcome::Result(_) => Err(not_mcp("It answered with something that is no object")),
                Outcome::Error(error) => Err(NoAnswer::Error(error)),
            },
            _ => Err(not_mcp("It answered a request with another request")),
        }
    }

    /// The answer to `id` among the events; what the server asks meanwhile is not answered.
    async fn answer_in_stream(
        &self,
        mut body: UpstreamBody,
        id: &RequestId,
    ) -> Result<Message, NoAnswer> {
        let mut parser = SseParser::new(self.list_bytes_max);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| UpstreamError::broken(&error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            parser
                .push(&data)
                .map_err(|error| not_mcp(error.to_string()))?;
            while let Some(event) = parser.next_event() {
                let Some(data) = event.data().filter(|data| !data.is_empty()) else {
                    continue;
                };
                let message = read_server_message(data.as_bytes(), &self.json_limits())
                    .map_err(|error| not_mcp(error.to_string()))?;
                if matches!(&message, Message::Response(response) if response.id.as_ref() == Some(id))
                {
                    return Ok(message);
                }
            }
        }
        Err(not_mcp("Its event stream ended before the answer"))
    }

    async fn tell(&mut self, method: &str) -> Result<(), DiscoverError> {
        let message = Message::Notification(Notification {
            method: method.to_owned(),
            params: None,
        });
        match tokio::time::timeout(PATIENCE, self.post(&message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(DiscoverError::Unreachable(error.words)),
            Err(_) => Err(DiscoverError::Unreachable(format!(
                "It did not take {method} within {PATIENCE:?}"
            ))),
        }
    }

    async fn post(&self, message: &Message) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut headers = self.headers();
        if self.era == Era::Modern {
            headers.extend(mirror_headers(message));
        }
        let is_opening = message.method() == Some(method::INITIALIZE);
        if is_opening {
            headers.remove(&MCP_PROTOCOL_VERSION);
        }
        self.forwarder
            .send(UpstreamRequest {
                principal: principal(),
                era: self.era,
                method: Method::POST,
                headers,
                body: message.to_bytes().into(),
            })
            .await
    }

    /// Ends the session, so that the server need not remember us.
    async fn close(&mut self) {
        if self.session.is_none() {
            return;
        }
        let request = UpstreamRequest {
            principal: principal(),
            era: Era::Legacy,
            method: Method::DELETE,
            headers: self.headers(),
            body: Bytes::new(),
        };
        // Whether it worked is the server's affair.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.forwarder.send(request)).await;
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(ACCEPT, ACCEPT_BOTH)]);
        if let Ok(version) = HeaderValue::from_str(&self.version) {
            headers.insert(&MCP_PROTOCOL_VERSION, version);
        }
        if let Some(session) = &self.session {
            headers.insert(&MCP_SESSION_ID, session.clone());
        }
        headers
    }

    fn envelope(&self) -> Json {
        Json::object([
            (PROTOCOL_VERSION_META, self.version.as_str().into()),
            (CLIENT_INFO_META, client_info()),
            (CLIENT_CAPABILITIES_META, client_capabilities()),
        ])
    }

    fn json_limits(&self) -> JsonLimits {
        JsonLimits {
            bytes_max: self.list_bytes_max,
            ..JsonLimits::default()
        }
    }

    fn in_words(&self, method: &str, no_answer: NoAnswer) -> DiscoverError {
        match no_answer {
            NoAnswer::Failed(error) => error,
            NoAnswer::Status(status) => DiscoverError::NotMcp(format!(
                "It answered {method} with {status}. Check the address, path included"
            )),
            NoAnswer::Error(error) => DiscoverError::NotMcp(format!(
                "It answered {method} with an error: {}",
                error.str("message").unwrap_or("without words")
            )),
        }
    }
}

fn opening_params() -> Object {
    Object::from_iter([
        ("protocolVersion", Json::from(version::V2025_11_25)),
        ("capabilities", client_capabilities()),
        ("clientInfo", client_info()),
    ])
}

/// Some servers list certain tools only to clients that can do these things; what is not in the first inventory would
/// be denied for ever.
fn client_capabilities() -> Json {
    let empty = || Json::Object(Object::new());
    Json::object([
        ("roots", empty()),
        ("sampling", empty()),
        ("elicitation", empty()),
    ])
}

fn client_info() -> Json {
    Json::object([
        ("name", "portcullis".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ])
}

/// Nobody's call: the gateway asks for itself.
fn principal() -> Principal {
    Principal {
        issuer: "".into(),
        subject: "portcullis".into(),
        client: "portcullis".into(),
    }
}

fn not_mcp(words: impl Into<String>) -> NoAnswer {
    NoAnswer::Failed(DiscoverError::NotMcp(words.into()))
}

fn media_type(response: &Response<UpstreamBody>) -> &str {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map_or("nothing", str::trim)
}

fn is_stream(response: &Response<UpstreamBody>) -> bool {
    response.status().is_success()
        && media_type(response).eq_ignore_ascii_case("text/event-stream")
        && !response.body().is_end_stream()
}
