use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

/// The largest form or registration that is read.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(15);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRefusal {
    /// With the most that is read.
    TooLarge(usize),
    TooSlow,
    WrongType(&'static str),
    Encoded,
    Broken,
}

impl BodyRefusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::WrongType(_) | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    pub fn description(self) -> String {
        match self {
            Self::TooLarge(bytes_max) => format!("the body is larger than {bytes_max} bytes"),
            Self::TooSlow => "the body did not arrive in time".to_owned(),
            Self::WrongType(wanted) => format!("Content-Type must be {wanted}"),
            Self::Encoded => "Content-Encoding is not supported; send the body as it is".to_owned(),
            Self::Broken => "the body broke off".to_owned(),
        }
    }
}

/// Reads a form's body (RFC 6749 section 3.2: `application/x-www-form-urlencoded`, nothing else).
pub(crate) async fn read_form(headers: &HeaderMap, body: Body) -> Result<Bytes, BodyRefusal> {
    const FORM: &str = "application/x-www-form-urlencoded";
    if media_type(headers).is_none_or(|found| !found.eq_ignore_ascii_case(FORM)) {
        return Err(BodyRefusal::WrongType(FORM));
    }
    read(headers, body, BODY_BYTES_MAX).await
}

/// Reads a JSON body. Without a `Content-Type` it is taken for JSON.
pub(crate) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, BodyRefusal> {
    read_json_of(headers, body, BODY_BYTES_MAX).await
}

/// The same of another size.
pub(crate) async fn read_json_of(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, BodyRefusal> {
    const JSON: &str = "application/json";
    if media_type(headers).is_some_and(|found| !found.eq_ignore_ascii_case(JSON)) {
        return Err(BodyRefusal::WrongType(JSON));
    }
    read(headers, body, bytes_max).await
}

/// Reads a JSON body of a gateway's, which is larger than a stranger's.
pub(crate) async fn read_large_json(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, BodyRefusal> {
    read(headers, body, bytes_max).await
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, BodyRefusal> {
    let plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !plain {
        return Err(BodyRefusal::Encoded);
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(BodyRefusal::TooLarge(bytes_max));
    }
    let read = to_bytes(body, bytes_max);
    match tokio::time::timeout(BODY_TIME_MAX, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(BodyRefusal::TooLarge(bytes_max)),
        Ok(Err(_)) => Err(BodyRefusal::Broken),
        Err(_) => Err(BodyRefusal::TooSlow),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = cause.source();
    }
    false
}
