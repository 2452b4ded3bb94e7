use base::{CorrelationId, Random};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use wire::mcp::json::{Json, Object};
use wire::mcp::message::RequestId;
use wire::mcp::rpc;

use crate::RefusalCause;

/// Where a refusal's correlation id is found without reading its body.
const CORRELATION_ID: HeaderName = HeaderName::from_static("portcullis-correlation-id");

/// An answer that is no: what the caller is told, and what only the log is.
#[derive(Debug)]
pub struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    cause: RefusalCause,
    reason: String,
    rule: Option<String>,
    correlation_id: CorrelationId,
    response: Response<Bytes>,
}

/// Which kind of no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// No token, or none that is valid here.
    Unauthenticated,
    /// The token is valid and has too few scopes; the person could grant more.
    NeedsScope,
    /// The policy says no.
    Denied,
    /// The request itself is wrong.
    Rejected,
    /// Nothing can be judged now.
    Unavailable,
    /// It was permitted, and the server behind gave no usable answer.
    UpstreamFailed,
}

impl Refusal {
    /// Which kind it is.
    pub fn kind(&self) -> RefusalKind {
        self.0.cause.kind()
    }

    /// Why, as one word of a closed set.
    pub fn cause(&self) -> RefusalCause {
        self.0.cause
    }

    /// Why, in words, with the rule that decided. For the log; the caller may be told less.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The rule that decided, when one did. For the log.
    pub fn rule(&self) -> Option<&str> {
        self.0.rule.as_deref()
    }

    /// What the caller was shown, to find the reason by: the id of the request, when it has one.
    pub fn correlation_id(&self) -> CorrelationId {
        self.0.correlation_id
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.response.status()
    }

    /// The answer.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        self.0.response.map(Full::new)
    }

    /// Says in how many seconds it is worth asking again (RFC 9110 section 10.2.3).
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, seconds.into())
    }

    /// Says which rule decided.
    pub(crate) fn by_rule(mut self, rule: &str) -> Self {
        self.0.rule = Some(rule.to_owned());
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.response.headers_mut().insert(name, value);
        self
    }

    /// A refusal told as OAuth errors are: `error`, `error_description`, and the correlation id.
    pub fn oauth(
        random: &dyn Random,
        cause: RefusalCause,
        status: StatusCode,
        error: &str,
        description: &str,
    ) -> Self {
        Self::oauth_because(
            random,
            cause,
            status,
            error,
            description,
            description.into(),
        )
    }

    /// As [`Refusal::oauth`], with another reason for the log.
    pub(crate) fn oauth_because(
        random: &dyn Random,
        cause: RefusalCause,
        status: StatusCode,
        error: &str,
        description: &str,
        reason: String,
    ) -> Self {
        let correlation_id = CorrelationId::current(random);
        let body = Json::object([
            ("error", error.into()),
            ("error_description", description.into()),
            ("correlation_id", correlation_id.to_string().as_str().into()),
        ]);
        Self::new(cause, status, reason, correlation_id, body.to_bytes())
    }

    /// A refusal told as a JSON-RPC error, the correlation id in its `data`.
    pub fn rpc(random: &dyn Random, error: RpcRefusal<'_>) -> Self {
        let correlation_id = CorrelationId::current(random);
        let mut data = error.data.unwrap_or_default();
        data.insert("correlation_id", correlation_id.to_string().as_str());
        let body = rpc::error(error.id, error.code, error.message, Some(data.into()));
        Self::new(
            error.cause,
            error.status,
            error.reason,
            correlation_id,
            body.to_bytes(),
        )
    }

    fn new(
        cause: RefusalCause,
        status: StatusCode,
        reason: String,
        correlation_id: CorrelationId,
        body: Vec<u8>,
    ) -> Self {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Ok(id) = HeaderValue::from_str(&correlation_id.to_string()) {
            headers.insert(CORRELATION_ID, id);
        }
        Self(Box::new(Parts {
            cause,
            reason,
            rule: None,
            correlation_id,
            response,
        }))
    }
}

/// What a JSON-RPC refusal says.
#[derive(Debug)]
pub struct RpcRefusal<'a> {
    /// Why.
    pub cause: RefusalCause,
    /// The HTTP status.
    pub status: StatusCode,
    /// The request's id, when it could be read.
    pub id: Option<&'a RequestId>,
    /// The JSON-RPC code.
    pub code: i64,
    /// What the caller is told.
    pub message: &'a str,
    /// What the error's `data` holds besides the correlation id.
    pub data: Option<Object>,
    /// What the log is told.
    pub reason: String,
}
