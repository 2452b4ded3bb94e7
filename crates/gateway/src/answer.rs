use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, LOCATION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body::Body as _;
use sdk::{Era, Permitted};
use wire::mcp::Message;
use wire::mcp::headers::MCP_SESSION_ID;

use crate::body::UpstreamBody;
use crate::upstream_error::UpstreamError;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What is passed on of an upstream's headers. Its cookies, CORS, challenge and name stay here.
const PASSED_ON: [HeaderName; 4] = [CACHE_CONTROL, X_ACCEL_BUFFERING, RETRY_AFTER, ALLOW];

/// An upstream's answer, found to be of a kind that MCP has.
pub(crate) enum Vetted {
    /// One JSON value.
    Json(Response<UpstreamBody>),
    /// An event stream.
    Stream(Response<UpstreamBody>),
    /// No body, as to a notification or the end of a session.
    Empty(Response<UpstreamBody>),
    /// An error status without JSON. Clients go by the status: 404 ends a session, 405 means no stream, 400 the other
    /// era. What stood in the body is not shown.
    Bare(Response<UpstreamBody>),
}

/// Looks at the head of an upstream's answer.
///
/// # Errors
/// When a client could not do anything with it: credentials asked for, a redirect, a web page.
pub(crate) fn vet(
    response: Response<UpstreamBody>,
    permitted: &Permitted,
) -> Result<Vetted, UpstreamError> {
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            return Err(UpstreamError::bad(format!(
                "The MCP server behind this gateway asks the gateway itself for credentials ({status}). Give it a key with \
                 --upstream-header-file"
            )));
        }
        StatusCode::MISDIRECTED_REQUEST => {
            return Err(UpstreamError::bad(
                "The MCP server behind this gateway does not answer to the host name it was asked by (421). Allow that \
                 name there, or use an address that it knows",
            ));
        }
        // Sent on, a 101 would end HTTP on the caller's connection.
        _ if status.is_informational() || status.as_u16() >= 600 => {
            return Err(UpstreamError::bad(format!(
                "The MCP server behind this gateway answered with {}, which ends no request",
                status.as_u16()
            )));
        }
        _ if status.is_redirection() => {
            return Err(UpstreamError::bad(format!(
                "The MCP server behind this gateway redirects ({status}) to {}. Use the address it redirects to",
                redirect_target(response.headers())
            )));
        }
        _ => {}
    }
    let mut encodings = response.headers().get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(UpstreamError::bad(
            "The MCP server behind this gateway compresses its answers though nobody asked for it. Turn that off",
        ));
    }
    match essence(response.headers()) {
        _ if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) => {
            Ok(Vetted::Empty(response))
        }
        // Nothing is expected back, whatever some servers say.
        Some("application/json") if !expects(permitted) && status.is_success() => {
            Ok(Vetted::Empty(response))
        }
        Some("application/json") => Ok(Vetted::Json(response)),
        Some("text/event-stream") => Ok(Vetted::Stream(response)),
        _ if status.is_client_error() => Ok(Vetted::Bare(response)),
        _ if status.is_server_error() => Err(UpstreamError::bad(format!(
            "The MCP server behind this gateway failed ({status})"
        ))),
        _ if !expects(permitted) => Ok(Vetted::Empty(response)),
        None if response.body().is_end_stream() => Err(UpstreamError::bad(
            "The MCP server behind this gateway answered without a body",
        )),
        kind => Err(UpstreamError::bad(format!(
            "What answers behind this gateway is no MCP server: it sent {}, neither JSON nor an event stream. Check the \
             address, path included",
            kind.unwrap_or("no Content-Type")
        ))),
    }
}

/// Whether something may come back: a request was made, or a stream asked for.
fn expects(permitted: &Permitted) -> bool {
    match permitted.message() {
        Some(message) => matches!(message, Message::Request(_)),
        None => permitted.method() == http::Method::GET,
    }
}

/// Where an upstream redirects to, without a query, which may hold a secret.
pub(crate) fn redirect_target(headers: &HeaderMap) -> &str {
    headers
        .get(LOCATION)
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.split(['?', '#']).next())
        .unwrap_or("nowhere")
}

/// The headers of our answer, from those of the upstream's.
pub(crate) fn headers_for_caller(upstream: &HeaderMap, permitted: &Permitted) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for name in &PASSED_ON {
        if let Some(value) = upstream.get(name) {
            headers.insert(name, value.clone());
        }
    }
    if permitted.era() == Era::Legacy
        && let Some(outward) = outward_session(upstream, permitted)
    {
        headers.insert(&MCP_SESSION_ID, outward);
    }
    protect(&mut headers);
    headers
}

/// What every answer says, so that no browser takes it for a page of this origin.
pub(crate) fn protect(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
}

/// Event streams pass proxies only unbuffered.
pub(crate) fn mark_stream(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

/// JSON, for its caller alone.
pub(crate) fn mark_json(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

fn outward_session(upstream: &HeaderMap, permitted: &Permitted) -> Option<HeaderValue> {
    let own = upstream.get(&MCP_SESSION_ID)?.to_str().ok()?;
    let principal = permitted.caller().principal();
    let outward = permitted.in_force().outward_session(principal, own)?;
    HeaderValue::try_from(outward).ok()
}

/// The media type without its parameters, when it is one that is known here; any other as it stands.
fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    ["application/json", "text/event-stream"]
        .into_iter()
        .find(|known| essence.eq_ignore_ascii_case(known))
        .or(Some(essence))
}
