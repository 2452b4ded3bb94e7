//! Everything that leaves: OAuth JSON, pages and redirects, with their headers. Errors meet HTTP and the log here, once.

use ::oauth::Error;
use ::oauth::authorize::Refusal;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use domain::Client;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use wire::oauth::{ErrorBody, ErrorCode};

use crate::app::App;
use crate::event::EventKind;
use crate::metric;
use crate::pages::{self, AskForm, ErrorPage, ReturningPage, WaitingPage};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The header that every refusal carries: the id under which its reason is in the log.
const CORRELATION_ID: HeaderName = HeaderName::from_static("portcullis-correlation-id");

/// Where a request was refused, for the log and the terminal.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    /// `token`, `register`, ….
    pub name: &'static str,
    /// The slug.
    pub server: Option<&'a str>,
    /// As far as the client said.
    pub client_id: Option<&'a str>,
    /// The request's.
    pub headers: &'a HeaderMap,
}

/// A JSON document that may be cached.
pub(crate) fn document(bytes: Bytes, cache_control: &'static str) -> Response {
    let mut response = with_type(StatusCode::OK, JSON, bytes);
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(cache_control),
    );
    response
}

/// A JSON answer that nobody may keep.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(value).expect("our answers are plain JSON");
    let mut response = with_type(status, JSON, bytes.into());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// A problem outside OAuth: unknown address, wrong method, foreign host.
pub(crate) fn problem(status: StatusCode, error: &'static str, description: &str) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        error: &'a str,
        error_description: &'a str,
    }
    let mut response = json(
        status,
        &Problem {
            error,
            error_description: description,
        },
    );
    // Browsers come here as well, by a mistyped address.
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}

/// There is nothing at this address.
pub(crate) fn not_found() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this address",
    )
}

/// An OAuth error as JSON (RFC 6749 section 5.2). Logged here.
pub(crate) fn oauth_error(app: &App, step: Step<'_>, error: &Error) -> Response {
    let status = match error.code() {
        ErrorCode::InvalidClient | ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
        ErrorCode::InsufficientScope | ErrorCode::AccessDenied => StatusCode::FORBIDDEN,
        ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    oauth_error_with(app, step, error, status)
}

/// As [`oauth_error`], with the status of a body that could not be read.
pub(crate) fn oauth_error_with(
    app: &App,
    step: Step<'_>,
    error: &Error,
    status: StatusCode,
) -> Response {
    let correlation_id = report(app, step, error);
    let body = ErrorBody {
        error: error.code(),
        error_description: error.description().to_owned(),
        correlation_id: Some(correlation_id.clone()),
    };
    let mut response = with_correlation_id(json(status, &body), &correlation_id);
    // For those who count.
    response.extensions_mut().insert(error.code());
    retry_after(&mut response, error);
    // RFC 6749 section 5.2: a client that tried the header is answered with its scheme.
    if status == StatusCode::UNAUTHORIZED && step.headers.contains_key(header::AUTHORIZATION) {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"portcullis\""),
        );
    }
    response
}

/// Says under which id the log has the reason.
pub(crate) fn with_correlation_id(mut response: Response, correlation_id: &str) -> Response {
    if let Ok(value) = HeaderValue::try_from(correlation_id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

/// Logs a refusal, tells the terminal, and gives the id under which both are found.
pub(crate) fn report(app: &App, step: Step<'_>, error: &Error) -> String {
    metric::refused(step, error);
    let correlation_id = app.correlation_id();
    let reason = error.cause().unwrap_or(error.description());
    let code = error.code().as_str();
    let server = step.server.unwrap_or_default();
    let client: String = step
        .client_id
        .unwrap_or_default()
        .chars()
        .take(64)
        .collect();
    if error.code() == ErrorCode::ServerError {
        tracing::error!(correlation.id = %correlation_id, step = step.name, mcp.server = server, client.id = ?client, oauth.error = code, reason, "failed");
    } else {
        tracing::info!(correlation.id = %correlation_id, step = step.name, mcp.server = server, client.id = ?client, oauth.error = code, reason, "refused");
    }
    app.emit(step.server, step.headers, || EventKind::Refused {
        step: step.name,
        code,
        reason: reason.to_owned(),
        client_id: step.client_id.map(|_| client.clone()),
        correlation_id: correlation_id.clone(),
    });
    correlation_id
}

/// What may be done with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// It has a form: the referrer goes to ourselves, so that `Origin` is not `null`.
    Form,
    /// It has a secret or nothing: no referrer at all.
    Plain,
    /// It has a form that a script of ours posts.
    GoingOn,
    /// The dashboard: also kept apart from windows that opened it.
    Dashboard,
}

/// A page.
pub(crate) fn page(status: StatusCode, kind: PageKind, html: String) -> Response {
    let mut response = with_type(status, HTML, html.into());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(match kind {
            PageKind::GoingOn => pages::CONTENT_SECURITY_POLICY_GOING_ON,
            _ => pages::CONTENT_SECURITY_POLICY,
        }),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let referrer = match kind {
        PageKind::Form | PageKind::GoingOn | PageKind::Dashboard => "same-origin",
        PageKind::Plain => "no-referrer",
    };
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=()"),
    );
    if kind == PageKind::Dashboard {
        headers.insert(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        );
    }
    response
}

/// A page that says what went wrong. Logged here.
pub(crate) fn error_page(app: &App, step: Step<'_>, error: &Error, what_to_do: &str) -> Response {
    let (status, heading) = status_and_heading(error);
    error_page_with(app, step, error, what_to_do, status, heading)
}

fn status_and_heading(error: &Error) -> (StatusCode, &'static str) {
    match error.code() {
        ErrorCode::ServerError => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong here",
        ),
        ErrorCode::TemporarilyUnavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Not possible at the moment",
        ),
        ErrorCode::InvalidClient => (
            StatusCode::BAD_REQUEST,
            "This application is not known here",
        ),
        _ => (StatusCode::BAD_REQUEST, "This sign-in cannot go on"),
    }
}

/// As [`error_page`], with another status and heading.
pub(crate) fn error_page_with(
    app: &App,
    step: Step<'_>,
    error: &Error,
    what_to_do: &str,
    status: StatusCode,
    heading: &str,
) -> Response {
    error_page_showing(app, step, error, what_to_do, &[], (status, heading))
}

fn error_page_showing(
    app: &App,
    step: Step<'_>,
    error: &Error,
    what_to_do: &str,
    details: &[(&'static str, String)],
    (status, heading): (StatusCode, &str),
) -> Response {
    let correlation_id = report(app, step, error);
    let mut explanation = sentence(error.description());
    if error.code() == ErrorCode::ServerError {
        explanation = "The reason is in the log of the server.".to_owned();
    }
    let html = pages::error(&ErrorPage {
        heading,
        explanation: &explanation,
        details,
        what_to_do,
        correlation_id: &correlation_id,
    });
    let response = page(status, PageKind::Plain, html);
    let mut response = with_correlation_id(response, &correlation_id);
    retry_after(&mut response, error);
    response
}

/// A refused authorization request: a page, or the client is told. `after_form` when a form of ours was submitted on
/// the way, which must not end in a redirect off our origin.
pub(crate) fn refusal(app: &App, step: Step<'_>, refusal: &Refusal, after_form: bool) -> Response {
    match refusal {
        Refusal::Page {
            error,
            what_to_do,
            details,
        } => {
            let shown = status_and_heading(error);
            error_page_showing(app, step, error, what_to_do, details, shown)
        }
        Refusal::Waiting { client, error } => waiting(app, step, client, error, None, None),
        Refusal::Redirect {
            error,
            address,
            kind,
            client_name,
        } => {
            let correlation_id = report(app, step, error);
            // RFC 6749 section 4.1.2.1 lets a client ignore what it does not know; a person can pass it on.
            let address = &format!("{address}&correlation_id={correlation_id}");
            let response = if after_form {
                let html = pages::returning(&ReturningPage {
                    client_name,
                    url: address,
                    kind: *kind,
                    denied: true,
                    by_hand: false,
                    unknown_host: None,
                });
                page(StatusCode::OK, PageKind::Plain, html)
            } else {
                see_other(address)
            };
            with_correlation_id(response, &correlation_id)
        }
    }
}

/// A client that waits for an owner. Logged here.
pub(crate) fn waiting(
    app: &App,
    step: Step<'_>,
    client: &Client,
    error: &Error,
    looks_again_at: Option<&str>,
    ask: Option<AskForm<'_>>,
) -> Response {
    let correlation_id = report(app, step, error);
    let server = step.server.and_then(|slug| app.server(slug));
    let html = pages::waiting(&WaitingPage {
        server_name: server.as_ref().map_or("", |server| &server.server.name),
        client_name: &client.name,
        correlation_id: &correlation_id,
        looks_again_at,
        ask,
    });
    let response = page(StatusCode::OK, PageKind::Form, html);
    with_correlation_id(response, &correlation_id)
}

/// 303: the browser follows with GET and never posts a password again.
pub(crate) fn see_other(address: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(address) else {
        return not_found();
    };
    let mut response = empty(StatusCode::SEE_OTHER);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// Adds a `Set-Cookie`.
pub(crate) fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

fn with_type(status: StatusCode, content_type: HeaderValue, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

pub(crate) fn retry_after(response: &mut Response, error: &Error) {
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

const PARAMETERS_OF_ONE_WORD: &[&str] = &[
    "decision", "prompt", "request", "resource", "scope", "state",
];

/// A description as a sentence: OAuth's begin small and have no full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    // A parameter's name keeps its spelling.
    let first_word = text.split(' ').next().unwrap_or_default();
    let begins_with_name = first_word.contains('_') || PARAMETERS_OF_ONE_WORD.contains(&first_word);
    let first = if begins_with_name {
        first.to_string()
    } else {
        first.to_uppercase().to_string()
    };
    let end = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", characters.as_str())
}
