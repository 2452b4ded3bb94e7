use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderValue, header};

use crate::app::AppState;
use crate::respond;

/// Where logos of clients are.
pub(crate) const PATH: &str = "/client-logos/{digest}";

/// Our own copy of a client's logo: no page of ours loads anything from a client's host. It is a picture and nothing
/// else, whatever its bytes would be elsewhere.
pub(crate) async fn get(State(app): State<AppState>, Path(digest): Path<String>) -> Response {
    let found = app.authority.client_documents().logo(&digest).await;
    let logo = match found {
        Ok(Some(logo)) => logo,
        Ok(None) => return respond::not_found(),
        Err(error) => {
            tracing::warn!(%error, "a logo cannot be read");
            return respond::not_found();
        }
    };
    let mut response = Response::new(axum::body::Body::from(logo.bytes));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, logo.content_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        ),
        (header::CONTENT_DISPOSITION, "inline; filename=\"logo\""),
        // The address is the digest of the picture.
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}
