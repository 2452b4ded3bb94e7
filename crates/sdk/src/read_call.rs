use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use wire::mcp::headers::{HeaderRefusal, protocol_version};
use wire::mcp::{Era, Json, Message, check_headers_against_body, classify, read_message};

use crate::refusal::RpcRefusal;
use crate::{ProtectedServer, Refusal, RefusalCause};

/// How long a caller may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that was read and is one message of one era, not judged yet.
#[derive(Debug)]
pub struct ReadCall {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) era: Era,
    pub(crate) message: Option<Message>,
    /// For a server inside the same program.
    pub(crate) uri: Uri,
    pub(crate) extensions: Extensions,
}

impl ReadCall {
    /// Which kind of Streamable HTTP it speaks.
    pub fn era(&self) -> Era {
        self.era
    }

    /// The message; GET and DELETE have none.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }
}

impl ProtectedServer {
    /// Reads the call: bounded body, strict JSON, era, and headers that agree with the body.
    ///
    /// # Errors
    /// 405, 408, 413, 415 or 400; the error names the header or member.
    pub async fn read_call<B>(&self, request: Parts, body: B) -> Result<ReadCall, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Parts {
            method,
            headers,
            uri,
            extensions,
            ..
        } = request;
        if method == Method::GET || method == Method::DELETE {
            return Ok(ReadCall {
                method,
                headers,
                era: Era::Legacy,
                message: None,
                uri,
                extensions,
            });
        }
        if method != Method::POST {
            return Err(method_not_allowed(self));
        }
        self.check_content(&headers)?;
        let bytes_max = self.body_limits.bytes_max;
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, read_body(body, bytes_max)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(BodyError::TooLarge)) => {
                return Err(self.rejected(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    &format!("The body is larger than {bytes_max} bytes"),
                ));
            }
            Ok(Err(BodyError::Broken)) => {
                return Err(self.rejected(StatusCode::BAD_REQUEST, "The body broke off"));
            }
            Err(_) => {
                return Err(self.rejected(
                    StatusCode::REQUEST_TIMEOUT,
                    "The body took longer than 30 s to arrive",
                ));
            }
        };
        let message = read_message(&bytes, &self.body_limits)
            .map_err(|error| self.malformed(None, error.rpc_code(), &error.to_string(), None))?;
        let header_refused = |error: HeaderRefusal| {
            self.malformed(Some(&message), error.rpc_code(), &error.to_string(), None)
        };
        let version = protocol_version(&headers).map_err(header_refused)?;
        let era = classify(&message, version).map_err(|error| {
            self.malformed(
                Some(&message),
                error.rpc_code(),
                &error.to_string(),
                error.rpc_data(),
            )
        })?;
        check_headers_against_body(&headers, &message, era).map_err(header_refused)?;
        Ok(ReadCall {
            method,
            headers,
            era,
            message: Some(message),
            uri,
            extensions,
        })
    }

    /// A body that another reader could take for something else is not read at all.
    fn check_content(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let json = types.next().is_some_and(is_json) && types.next().is_none();
        if !json {
            return Err(self.rejected(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/json",
            ));
        }
        let plain = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if !plain {
            return Err(self.rejected(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding is not supported; send the body as it is",
            ));
        }
        Ok(())
    }

    pub(crate) fn rejected(&self, status: StatusCode, description: &str) -> Refusal {
        Refusal::oauth(
            &*self.random,
            RefusalCause::InvalidRequest,
            status,
            "invalid_request",
            description,
        )
    }

    fn malformed(
        &self,
        message: Option<&Message>,
        code: i64,
        words: &str,
        data: Option<Json>,
    ) -> Refusal {
        let id = match message {
            Some(Message::Request(request)) => Some(&request.id),
            _ => None,
        };
        Refusal::rpc(
            &*self.random,
            RpcRefusal {
                cause: RefusalCause::MalformedMessage,
                status: StatusCode::BAD_REQUEST,
                id,
                code,
                message: words,
                data: data.and_then(|data| match data {
                    Json::Object(members) => Some(members),
                    _ => None,
                }),
                reason: words.to_owned(),
            },
        )
    }
}

/// 405: what no MCP server answers to.
pub(crate) fn method_not_allowed(server: &ProtectedServer) -> Refusal {
    server
        .rejected(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only POST, GET and DELETE are answered here",
        )
        .with_header(
            header::ALLOW,
            HeaderValue::from_static("GET, POST, DELETE, OPTIONS"),
        )
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else {
        return false;
    };
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    essence.trim().eq_ignore_ascii_case("application/json")
        && parameters.split(';').all(|parameter| {
            let parameter = parameter.trim();
            parameter.is_empty()
                || ["charset=utf-8", "charset=\"utf-8\""]
                    .iter()
                    .any(|utf8| parameter.eq_ignore_ascii_case(utf8))
        })
}

enum BodyError {
    TooLarge,
    Broken,
}

/// Reads at most `bytes_max`. A body that comes in one piece is not copied.
async fn read_body<B>(mut body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        let so_far = rest.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let mut both = BytesMut::with_capacity((so_far + data.len()) * 2);
                both.extend_from_slice(&first);
                both.extend_from_slice(&data);
                rest = Some(both);
            }
            Some(rest) => rest.extend_from_slice(&data),
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}
