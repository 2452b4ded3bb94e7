use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Body, State, status};

const MODERN_VERSION: &str = "2026-07-28";
const SESSION: &str = "mcp-session-id";

/// The parts of a message that decide the answer; the rest stays as bytes.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<&'a str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

pub(super) fn answer(parts: &Parts, body: &[u8], state: &State) -> Response<Body> {
    if parts.method == Method::GET {
        return listen(parts, state);
    }
    if parts.method == Method::DELETE {
        return end_session(parts, state);
    }
    if parts.method != Method::POST {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Ok(message) = serde_json::from_slice::<Message<'_>>(body) else {
        return error(StatusCode::BAD_REQUEST, "null", -32700, "Parse error");
    };
    let modern = parts
        .headers
        .get("mcp-protocol-version")
        .is_some_and(|version| version == MODERN_VERSION)
        && message.method != Some("initialize");
    let id = message.id.map_or("null", RawValue::get);
    if modern && !state.settings.modern {
        return error(
            StatusCode::BAD_REQUEST,
            id,
            -32000,
            "Bad Request: Unsupported protocol version",
        );
    }
    if !modern && state.settings.sessions && message.method != Some("initialize") {
        match session(parts) {
            None => {
                return error(
                    StatusCode::BAD_REQUEST,
                    id,
                    -32000,
                    "Bad Request: no session id",
                );
            }
            Some(session) if !state.knows_session(session) => {
                return error(StatusCode::NOT_FOUND, id, -32001, "Session not found");
            }
            Some(_) => {}
        }
    }
    let (Some(method), Some(id)) = (message.method, message.id) else {
        // A notification, or the client's answer to a request of ours.
        return status(StatusCode::ACCEPTED);
    };
    let params = message.params.map_or("{}", RawValue::get);
    respond(method, id.get(), params, modern, state)
}

fn respond(method: &str, id: &str, params: &str, modern: bool, state: &State) -> Response<Body> {
    let settings = &state.settings;
    let result = match method {
        "tools/call" => return call(id, params, modern, state),
        "initialize" => return initialize(id, params, state),
        "ping" => "{}".to_owned(),
        "server/discover" if modern => state.opening(discover_result()).to_string(),
        "tools/list" => page("tools", &state.tools(), params, settings.page_size, modern),
        "resources/list" => page(
            "resources",
            &settings.resources,
            params,
            settings.page_size,
            modern,
        ),
        "resources/templates/list" => page(
            "resourceTemplates",
            &settings.resource_templates,
            params,
            settings.page_size,
            modern,
        ),
        "prompts/list" => page(
            "prompts",
            &settings.prompts,
            params,
            settings.page_size,
            modern,
        ),
        "resources/read" => {
            let uri = param(params, "uri");
            json!({"contents": [{"uri": uri, "mimeType": "text/plain", "text": "a note"}]})
                .to_string()
        }
        "prompts/get" => {
            let text = format!("prompt {}", param(params, "name"));
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}]})
                .to_string()
        }
        "completion/complete" => json!({"completion": {"values": ["1", "2"]}}).to_string(),
        "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => "{}".to_owned(),
        _ => {
            let code = if modern {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::OK
            };
            return error(code, id, -32601, "Method not found");
        }
    };
    result_response(id, &result, state)
}

/// `echo` and every other name give the arguments back; `slow` waits `ms` first; `count` sends `events`
/// notifications before its answer, `ms` apart, all on one stream.
fn call(id: &str, params: &str, modern: bool, state: &State) -> Response<Body> {
    #[derive(Deserialize)]
    struct Call<'a> {
        name: &'a str,
        #[serde(borrow, default)]
        arguments: Option<&'a RawValue>,
    }
    let Ok(call) = serde_json::from_str::<Call<'_>>(params) else {
        return error(StatusCode::OK, id, -32602, "params.name is missing");
    };
    let arguments = call.arguments.map_or("{}", RawValue::get);
    let text = serde_json::to_string(arguments).expect("text is always JSON");
    let result_type = if modern {
        r#""resultType":"complete","#
    } else {
        ""
    };
    let result = format!(r#"{{{result_type}"content":[{{"type":"text","text":{text}}}]}}"#);
    match call.name {
        "slow" => slow(id, &result, number(arguments, "ms")),
        "count" => {
            let pause = Duration::from_millis(number(arguments, "ms"));
            count(id, &result, number(arguments, "events"), pause)
        }
        _ => result_response(id, &result, state),
    }
}

fn slow(id: &str, result: &str, ms: u64) -> Response<Body> {
    let answer = Bytes::from(event(&envelope(id, result)));
    let frames = stream::once(async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, Infallible>(Frame::data(answer))
    });
    event_stream(Either::Right(StreamBody::new(frames).boxed_unsync()))
}

fn count(id: &str, result: &str, events: u64, pause: Duration) -> Response<Body> {
    let answer = event(&envelope(id, result));
    let frames = stream::unfold(0, move |sent| {
        let frame = match sent {
            sent if sent < events => Some(event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":{sent}}}}}"#
            ))),
            sent if sent == events => Some(answer.clone()),
            _ => None,
        };
        async move {
            if sent > 0 && !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            frame.map(|frame| {
                (
                    Ok::<_, Infallible>(Frame::data(Bytes::from(frame))),
                    sent + 1,
                )
            })
        }
    });
    event_stream(Either::Right(StreamBody::new(frames).boxed_unsync()))
}

fn initialize(id: &str, params: &str, state: &State) -> Response<Body> {
    let asked = param(params, "protocolVersion");
    let version = match asked.as_str() {
        "2025-03-26" | "2025-06-18" | "2025-11-25" => asked,
        _ => "2025-11-25".to_owned(),
    };
    let result = state.opening(json!({
        "protocolVersion": version,
        "capabilities": capabilities(),
        "serverInfo": {"name": "echo", "version": "1.0.0"},
    }));
    let mut response = result_response(id, &result.to_string(), state);
    if state.settings.sessions {
        let session = HeaderValue::from_str(&state.open_session()).expect("ids are ASCII");
        response.headers_mut().insert(SESSION, session);
    }
    response
}

fn discover_result() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": [MODERN_VERSION],
        "capabilities": capabilities(),
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "echo", "version": "1.0.0"}},
    })
}

fn capabilities() -> Value {
    json!({"tools": {"listChanged": true}, "resources": {}, "prompts": {}, "completions": {}, "logging": {}})
}

fn page(member: &str, all: &[Value], params: &str, size: usize, modern: bool) -> String {
    let start: usize = param(params, "cursor").parse().unwrap_or(0);
    let end = (start + size).min(all.len());
    let mut result = json!({member: all.get(start..end).unwrap_or_default()});
    if end < all.len() {
        result["nextCursor"] = Value::from(end.to_string());
    }
    if modern {
        result["resultType"] = Value::from("complete");
        result["ttlMs"] = Value::from(0);
        result["cacheScope"] = Value::from("public");
    }
    result.to_string()
}

/// The stream a legacy client opens with GET: one notification, then silence until it goes away.
fn listen(parts: &Parts, state: &State) -> Response<Body> {
    if !state.settings.sessions {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    if !session(parts).is_some_and(|session| state.knows_session(session)) {
        return status(StatusCode::NOT_FOUND);
    }
    let changed = event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    let frames = stream::unfold(Some(changed), |next| async move {
        match next {
            Some(frame) => Some((Ok::<_, Infallible>(Frame::data(Bytes::from(frame))), None)),
            None => std::future::pending().await,
        }
    });
    event_stream(Either::Right(StreamBody::new(frames).boxed_unsync()))
}

fn end_session(parts: &Parts, state: &State) -> Response<Body> {
    match session(parts) {
        _ if !state.settings.sessions => status(StatusCode::METHOD_NOT_ALLOWED),
        Some(session) if state.end_session(session) => status(StatusCode::NO_CONTENT),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn session(parts: &Parts) -> Option<&str> {
    parts.headers.get(SESSION)?.to_str().ok()
}

fn param(params: &str, name: &str) -> String {
    let params: Value = serde_json::from_str(params).unwrap_or_default();
    params[name].as_str().unwrap_or_default().to_owned()
}

fn number(arguments: &str, name: &str) -> u64 {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    arguments[name].as_u64().unwrap_or_default()
}

fn envelope(id: &str, result: &str) -> String {
    let mut text = String::with_capacity(id.len() + result.len() + 40);
    let _ = write!(text, r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    text
}

fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}

fn result_response(id: &str, result: &str, state: &State) -> Response<Body> {
    let envelope = envelope(id, result);
    if state.settings.answer_as_sse {
        return event_stream(Either::Left(Full::from(event(&envelope))));
    }
    json_response(StatusCode::OK, envelope)
}

fn error(status: StatusCode, id: &str, code: i64, message: &str) -> Response<Body> {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#);
    json_response(status, body)
}

fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
