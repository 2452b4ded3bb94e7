//! What a request and its steps leave in a trace, when whoever runs the gateway collects them.
//!
//! Spans have the target `portcullis_trace`; without a subscriber that wants it they cost a look at a flag. Their names and
//! attributes are words of ours and of OpenTelemetry's conventions: no argument, header or name of a person.

use http::{HeaderName, HeaderValue};
use tracing::Span;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// An extension of a request that is traced: what names the current span to an upstream (W3C Trace Context). Without it,
/// what the caller sent is passed on as it came.
#[derive(Debug, Clone, Copy)]
pub struct TraceParent(pub fn() -> Option<HeaderValue>);

/// Says which MCP server a request is for.
pub(crate) fn of_server(slug: &str) {
    let span = Span::current();
    span.record("http.route", "/mcp/{server}");
    span.record("portcullis.server", slug);
}

/// Says what kind of message it carries, one of a closed set.
pub(crate) fn of_message(method: &'static str) {
    Span::current().record("mcp.method.name", method);
}

/// Authenticating, reading and authorizing.
pub(crate) fn judge() -> Span {
    tracing::info_span!(target: "portcullis_trace", "judge")
}

/// The upstream's time, to the head of its answer.
pub(crate) fn upstream() -> Span {
    tracing::info_span!(target: "portcullis_trace", "upstream", otel.kind = "client")
}
