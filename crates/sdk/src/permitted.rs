use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use wire::mcp::{Era, Message};

use crate::rate_counts::Counted;
use crate::{InForce, RefusalCause, RequestTag, VerifiedCaller};

/// A call that was judged and may happen. Only [`ProtectedServer::authorize`](crate::ProtectedServer::authorize) makes
/// one, so that whoever takes a `Permitted` cannot be reached around the judgement.
///
/// The caller's token is not in it.
#[derive(Debug)]
pub struct Permitted {
    pub(crate) caller: Arc<VerifiedCaller>,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) era: Era,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Option<Message>,
    pub(crate) body: Bytes,
    pub(crate) rule: String,
    pub(crate) observed: Option<(RefusalCause, String)>,
    /// The request whose stream goes on here.
    pub(crate) resumes: Option<RequestTag>,
    /// Under the rate limits.
    pub(crate) counted: Vec<Counted>,
    /// For a server inside the same program, which may have routes of its own.
    pub(crate) uri: Uri,
    pub(crate) extensions: Extensions,
}

impl Permitted {
    /// Who calls.
    pub fn caller(&self) -> &Arc<VerifiedCaller> {
        &self.caller
    }

    /// The snapshot it was judged by; its answer is to be filtered by the same one.
    pub fn in_force(&self) -> &Arc<InForce> {
        &self.in_force
    }

    /// Which kind of Streamable HTTP it speaks.
    pub fn era(&self) -> Era {
        self.era
    }

    /// POST, GET or DELETE.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The headers as they came, without credentials; `Mcp-Session-Id` and
    /// `Last-Event-ID` are the server's own ones.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The message; GET and DELETE have none.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }

    /// The message, written again from the value that was judged; empty for GET and DELETE.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// For a GET that goes on with the stream of an earlier request of this caller's: which one.
    pub fn resumes(&self) -> Option<&RequestTag> {
        self.resumes.as_ref()
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// In observe mode: why it would have been refused.
    pub fn observed(&self) -> Option<&str> {
        self.observed.as_ref().map(|(_, reason)| reason.as_str())
    }

    /// The same as one word of a closed set.
    pub fn observed_cause(&self) -> Option<RefusalCause> {
        self.observed.as_ref().map(|(cause, _)| *cause)
    }

    /// The request for an MCP server inside the same program, with the [`VerifiedCaller`] among its extensions.
    pub fn into_request(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.extensions_mut() = self.extensions;
        *request.headers_mut() = self.headers;
        let headers = request.headers_mut();
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        let length = http_body::Body::size_hint(request.body()).exact();
        if let Some(length) = length.filter(|length| *length > 0) {
            request
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        request.extensions_mut().insert(self.caller);
        request
    }
}
