use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use wire::mcp::headers::MCP_PARAM_PREFIX;

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE, HEAD");
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Accept, MCP-Protocol-Version, \
    Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID, DPoP";
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, DPoP-Nonce, Retry-After",
);

/// How many `Mcp-Param-…` headers one preflight may ask for.
const PARAM_HEADERS_MAX: usize = 64;

/// The answer to a true preflight, which browsers send without credentials; `None` when the request is none.
///
/// Spec: Fetch, "CORS-preflight fetch".
pub fn preflight(request: &Parts) -> Option<Response<Full<Bytes>>> {
    let asked = &request.headers;
    let is_preflight = request.method == Method::OPTIONS
        && asked.contains_key(header::ORIGIN)
        && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        return None;
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any_origin());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(asked));
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("7200"),
    );
    Some(response)
}

/// Lets the page that asked read the answer. No cookie counts here, so any admitted page may.
pub fn allow_reading(request_had_origin: bool, answer: &mut HeaderMap) {
    if request_had_origin {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any_origin());
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
}

fn any_origin() -> HeaderValue {
    HeaderValue::from_static("*")
}

/// The fixed ones, and those `Mcp-Param-…` that the page asks for: only the tool's schema knows their names.
fn allowed_headers(asked: &HeaderMap) -> HeaderValue {
    let mut allowed = ALLOWED_HEADERS.to_owned();
    let requested = asked
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let params = requested
        .split(',')
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| name.as_str().starts_with(MCP_PARAM_PREFIX));
    for name in params.take(PARAM_HEADERS_MAX) {
        allowed.push_str(", ");
        allowed.push_str(name.as_str());
    }
    HeaderValue::from_str(&allowed).unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS))
}
