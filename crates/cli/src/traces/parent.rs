//! The header that ties the traces of several services together (W3C Trace Context).

use http::{HeaderMap, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACE_PARENT: &str = "traceparent";

/// Has `span` go on with the trace that `headers`, from a proxy that is trusted, name. Anything malformed begins a new one.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    let mut all = headers.get_all(TRACE_PARENT).iter();
    // Two are a mistake, or an attempt.
    if let (Some(one), None) = (all.next(), all.next())
        && let Ok(text) = one.to_str()
    {
        let context = TraceContextPropagator::new().extract(&One(text));
        let _ = span.set_parent(context);
    }
}

/// What an upstream is told of the trace that the current span is a part of.
pub fn trace_parent() -> Option<HeaderValue> {
    let mut found = Found(None);
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut found);
    found.0
}

struct One<'a>(&'a str);

impl Extractor for One<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACE_PARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACE_PARENT]
    }
}

struct Found(Option<HeaderValue>);

impl Injector for Found {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACE_PARENT {
            self.0 = HeaderValue::try_from(value).ok();
        }
    }
}
