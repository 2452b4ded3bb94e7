use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::app::AppState;
use crate::hosts::named_host;
use crate::respond;

/// Where a nonce is answered that was fetched through an alias; begins as [`oauth::aliases::PROOF_PATH`].
pub(crate) const PATH: &str = "/.well-known/portcullis-alias/{nonce}";

/// Answers a nonce of our own at the host that it was made for, and nothing else at any host.
pub(crate) async fn get(
    State(app): State<AppState>,
    Path(nonce): Path<String>,
    request: Request,
) -> Response {
    let Some(host) = named_host(request.uri(), request.headers()) else {
        return respond::not_found();
    };
    match ::oauth::aliases::answer(&app.authority, host, &nonce).await {
        Ok(Some(answer)) => {
            let mut response = Response::new(answer.into());
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
            response
        }
        Ok(None) => respond::not_found(),
        Err(error) => {
            tracing::error!(%error, "an alias could not be answered for");
            respond::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the authority cannot look this up at the moment; try again soon",
            )
        }
    }
}
