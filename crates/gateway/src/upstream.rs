use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use sdk::{Era, Permitted, Principal};
use url::Url;
use wire::mcp::headers::{
    LAST_EVENT_ID, MCP_NAME, MCP_PARAM_PREFIX, MCP_PROTOCOL_VERSION, MCP_SESSION_ID, mirror_headers,
};

use crate::body::UpstreamBody;
use crate::http_line::{Abandoned, Lines};
use crate::settings::{Limits, SettingsError, Upstream};
use crate::stdio::StdioBridge;
use crate::trace::{TRACEPARENT, TRACESTATE, TraceParent};
use crate::upstream_error::UpstreamError;

/// The header that tells an upstream who calls.
pub(crate) const PORTCULLIS_IDENTITY: HeaderName = HeaderName::from_static("portcullis-identity");

/// What is sent on of a caller's headers, in both eras. Everything else stays here.
const FORWARDED: [HeaderName; 5] = [
    header::ACCEPT,
    MCP_PROTOCOL_VERSION,
    TRACEPARENT,
    TRACESTATE,
    HeaderName::from_static("baggage"),
];

/// What reaches an upstream: built from a permitted call and from nothing else. The caller's token is not in it.
#[derive(Debug)]
pub struct UpstreamRequest {
    /// Whose call it is.
    pub principal: Principal,
    /// Which kind of Streamable HTTP it speaks.
    pub era: Era,
    /// POST, GET or DELETE.
    pub method: Method,
    /// The allow-listed headers, `Portcullis-Identity` and, in the legacy era, the upstream's own `Mcp-Session-Id`.
    pub headers: HeaderMap,
    /// The message, serialised again from the value that was judged; empty for GET and DELETE.
    pub body: Bytes,
}

impl UpstreamRequest {
    /// What is left of a permitted call for its upstream.
    fn of(permitted: &Permitted, identity: HeaderValue) -> Self {
        let from = permitted.headers();
        let mut headers = HeaderMap::with_capacity(16);
        for name in &FORWARDED {
            copy_header(from, &mut headers, name);
        }
        match permitted.era() {
            Era::Legacy => {
                if from.contains_key(&MCP_SESSION_ID) {
                    copy_header(from, &mut headers, &MCP_SESSION_ID);
                    // The session was found to be this caller's; an event without one could be anybody's.
                    copy_header(from, &mut headers, &LAST_EVENT_ID);
                }
            }
            Era::Modern => {
                // Rebuilt from what was judged, so that nobody behind us routes by something else.
                headers.extend(permitted.message().into_iter().flat_map(mirror_headers));
                if !headers.contains_key(&MCP_NAME) {
                    // Sent without being required, as for a task: it was found to agree with the body.
                    copy_header(from, &mut headers, &MCP_NAME);
                }
                for (name, value) in from {
                    if name.as_str().starts_with(MCP_PARAM_PREFIX) {
                        headers.append(name, value.clone());
                    }
                }
            }
        }
        headers.insert(&PORTCULLIS_IDENTITY, identity);
        Self {
            principal: permitted.caller().principal().clone(),
            era: permitted.era(),
            method: permitted.method().clone(),
            headers,
            body: permitted.body().clone(),
        }
    }
}

fn copy_header(from: &HeaderMap, to: &mut HeaderMap, name: &HeaderName) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}

/// Where permitted calls go.
#[derive(Debug)]
pub(crate) enum Forwarder {
    Http(HttpUpstream),
    Stdio(StdioBridge),
    Unusable,
}

impl Forwarder {
    pub(crate) fn new(
        slug: &str,
        upstream: &Upstream,
        limits: &Limits,
    ) -> Result<Self, SettingsError> {
        match upstream {
            Upstream::Http { url, headers } => HttpUpstream::new(url, headers, limits)
                .map(Self::Http)
                .map_err(|reason| SettingsError::Upstream {
                    slug: slug.to_owned(),
                    reason,
                }),
            Upstream::Stdio(settings) => Ok(Self::Stdio(StdioBridge::new(settings.clone()))),
            Upstream::Unusable => Ok(Self::Unusable),
        }
    }

    /// Ends what it has started itself.
    pub(crate) async fn shutdown(&self) {
        if let Self::Stdio(bridge) = self {
            bridge.shutdown().await;
        }
    }

    /// Sends a permitted call on. There is no other way from a caller to an upstream.
    pub(crate) async fn forward(
        &self,
        permitted: &Permitted,
        identity: HeaderValue,
        trace_parent: Option<TraceParent>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut request = UpstreamRequest::of(permitted, identity);
        if let Some(parent) = trace_parent.and_then(|TraceParent(current)| current()) {
            // What the caller said belongs to a span that is not the upstream's parent.
            request.headers.insert(TRACEPARENT, parent);
            request.headers.remove(TRACESTATE);
        }
        self.send(request).await
    }

    /// Sends what the gateway itself has to ask.
    pub(crate) async fn send(
        &self,
        request: UpstreamRequest,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        match self {
            Self::Http(upstream) => upstream.send(request).await,
            Self::Stdio(bridge) => match bridge.handle(request).await {
                Ok(response) => Ok(response.map(UpstreamBody::Boxed)),
                Err(error) => Err(UpstreamError::bad(error.to_string())),
            },
            Self::Unusable => Err(UpstreamError::unusable()),
        }
    }
}

/// A Streamable HTTP MCP server.
#[derive(Debug)]
pub(crate) struct HttpUpstream {
    lines: Arc<Lines>,
    target: PathAndQuery,
    host: HeaderValue,
    operator_headers: Vec<(HeaderName, HeaderValue)>,
    head_timeout: Duration,
    finish: Duration,
}

impl HttpUpstream {
    fn new(
        url: &Url,
        operator_headers: &[(HeaderName, HeaderValue)],
        limits: &Limits,
    ) -> Result<Self, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{} is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a URL with a user name; put credentials into the upstream's header file".into(),
            );
        }
        let address: Uri = url[..url::Position::AfterQuery]
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let authority = address.authority().ok_or("a URL without a host")?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        let target = address
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let connector =
            egress::https_connector(limits.connect_timeout).map_err(|error| error.to_string())?;
        Ok(Self {
            lines: Arc::new(Lines::new(connector, address, limits.connect_timeout)),
            target,
            host,
            operator_headers: operator_headers.to_vec(),
            head_timeout: limits.head_timeout,
            finish: limits.finish_after_expiry,
        })
    }

    async fn send(&self, call: UpstreamRequest) -> Result<Response<UpstreamBody>, UpstreamError> {
        let abandoned = match (call.era, &call.method) {
            (Era::Legacy, &Method::POST) => Abandoned::Finish(self.finish),
            _ => Abandoned::Close,
        };
        let mut request = Request::new(Full::new(call.body));
        *request.uri_mut() = self.target.clone().into();
        if call.method == Method::POST {
            *request.headers_mut() = call.headers;
            request.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        } else {
            *request.headers_mut() = call.headers;
        }
        *request.method_mut() = call.method;
        for (name, value) in &self.operator_headers {
            request.headers_mut().insert(name, value.clone());
        }
        request
            .headers_mut()
            .insert(header::HOST, self.host.clone());
        let sending = self.lines.send(request, abandoned);
        match tokio::time::timeout(self.head_timeout, sending).await {
            Ok(answer) => answer.map(|response| response.map(UpstreamBody::Line)),
            Err(_) => Err(UpstreamError::head_timeout(self.head_timeout)),
        }
    }
}
