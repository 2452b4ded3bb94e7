//! What is left of a request whose answering panicked.

use std::panic::AssertUnwindSafe;

use base::CorrelationId;
use futures_util::FutureExt as _;
use gateway::BoxBody;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use metrics::counter;
use oauth::Error;
use wire::oauth::ErrorBody;

const PANICS: &str = "portcullis_request_panics_total";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[(
    PANICS,
    "Requests whose answering panicked: each is a fault of this program",
)];

/// Answers 500 when `answering` panics. Without it the connection would end, and with it every other stream of HTTP/2 on
/// it. Nothing half-written stays: what a request changes is one transaction of the store's, which runs elsewhere.
pub async fn caught(
    id: CorrelationId,
    answering: impl Future<Output = Response<BoxBody>>,
) -> Response<BoxBody> {
    match AssertUnwindSafe(answering).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            counter!(PANICS).increment(1);
            tracing::error!(
                "a request made this program panic; it was answered 500, please report it with the line before"
            );
            sorry(&id.to_string())
        }
    }
}

fn sorry(id: &str) -> Response<BoxBody> {
    let error = Error::server_error("a panic");
    let body = ErrorBody {
        error: error.code(),
        error_description: error.description().to_owned(),
        correlation_id: Some(id.to_owned()),
    };
    let bytes = serde_json::to_vec(&body).expect("our answers are plain JSON");
    let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("portcullis-correlation-id", id);
    }
    answer
}
