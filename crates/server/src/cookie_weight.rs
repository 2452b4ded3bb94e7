use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};

use crate::pages::{self, ErrorPage};
use crate::respond::{self, PageKind};

/// The most bytes of cookies that a browser may bring. Ours take a few hundred; the connection itself bears 64 KiB of
/// head and can only hang up beyond that, without a word.
const COOKIE_BYTES_MAX: usize = 32 * 1024;

/// Tells a person whose browser was filled with cookies by a neighbour of ours what to do about it, while it can still
/// be told.
pub(crate) async fn bearable(request: Request, next: Next) -> Response {
    if weight(request.headers()) <= COOKIE_BYTES_MAX {
        return next.run(request).await;
    }
    tracing::info!(reason = "too many cookies", "refused");
    respond::page(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        PageKind::Plain,
        pages::error(&ErrorPage {
            heading: "Too many cookies",
            explanation: "This browser sends more cookies to this address than can be read. Other programs or sites under the \
                          same name have set them.",
            what_to_do: "Delete the cookies of this site in the browser's settings, or use a private window, and try again.",
            ..ErrorPage::default()
        }),
    )
}

fn weight(headers: &HeaderMap) -> usize {
    let lines = headers.get_all(header::COOKIE).iter();
    lines.map(|line| line.len()).sum()
}
