use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::combinators::UnsyncBoxBody;
use sdk::{Era, Principal};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

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
