use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use sdk::{Era, Principal};
use wire::mcp::era::{CLIENT_CAPABILITIES_META, CLIENT_INFO_META, PROTOCOL_VERSION_META};
use wire::mcp::headers::{MCP_PROTOCOL_VERSION, MCP_SESSION_ID, mirror_headers};
use wire::mcp::json::{Json, Limits as JsonLimits, Object};
use wire::mcp::message::{Notification, Outcome, Request, RequestId};
use wire::mcp::{Message, SseParser, method, read_server_message};

use super::DiscoverError;
use crate::answer::redirect_target;
use crate::body::UpstreamBody;
use crate::upstream::{Forwarder, UpstreamRequest};
use crate::upstream_error::UpstreamError;

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(30);

const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// One upstream that is being looked at.
pub(super) struct Look {
    pub(super) forwarder: Forwarder,
    pub(super) list_bytes_max: usize,
    pub(super) era: Era,
    pub(super) version: String,
    pub(super) session: Option<HeaderValue>,
    pub(super) next_id: i64,
}

/// Why one question has no answer.
pub(super) enum NoAnswer {
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
    pub(super) async fn ask(
        &mut self,
        method: &str,
        mut params: Object,
    ) -> Result<Object, NoAnswer> {
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
            return Err(NoAnswer::Failed(DiscoverError::NotMcp(format!(
                "It redirects ({status}) to {}. Use the address it redirects to",
                redirect_target(response.headers())
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

    pub(super) async fn tell(&mut self, method: &str) -> Result<(), DiscoverError> {
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
    pub(super) async fn close(&mut self) {
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
}

/// Some servers list certain tools only to clients that can do these things; what is not in the first inventory would
/// be denied for ever.
pub(super) fn client_capabilities() -> Json {
    let empty = || Json::Object(Object::new());
    Json::object([
        ("roots", empty()),
        ("sampling", empty()),
        ("elicitation", empty()),
    ])
}

pub(super) fn client_info() -> Json {
    Json::object([
        ("name", "portcullis".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ])
}

/// Nobody's call: the gateway asks for itself.
pub(super) fn principal() -> Principal {
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

pub(super) fn is_stream(response: &Response<UpstreamBody>) -> bool {
    response.status().is_success()
        && media_type(response).eq_ignore_ascii_case("text/event-stream")
        && !response.body().is_end_stream()
}
