use std::borrow::Cow;
use std::time::Duration;

use ::oauth::Error;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use store::StoreError;
use wire::oauth::ErrorCode;

use crate::app::App;
use crate::body::BodyRefusal;
use crate::respond;

/// When to ask again about a policy that cannot be read here.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Why something was not done, for the program that asked: a code to act on, words for a person, and the member or parameter
/// that is to be changed.
///
/// Spec: RFC 9457.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    field: Option<String>,
    cause: Option<String>,
    retry_after: Option<Duration>,
    /// Boxed, since a problem is the error of everything here, and few have one.
    challenge: Option<Box<HeaderValue>>,
}

/// As it is sent (`application/problem+json`).
#[derive(Serialize)]
struct Document<'a> {
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    correlation_id: &'a str,
}

impl Problem {
    /// With words that stand in `docs/errors.md`.
    pub fn new(status: StatusCode, code: &'static str, words: &'static str) -> Self {
        Self::saying(status, code, words)
    }

    /// With words of whoever refused.
    pub fn saying(
        status: StatusCode,
        code: &'static str,
        words: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            detail: words.into(),
            field: None,
            cause: None,
            retry_after: None,
            challenge: None,
        }
    }

    /// A member of the body, or a parameter, is not what it must be.
    pub fn at(field: impl Into<String>, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::saying(StatusCode::BAD_REQUEST, "invalid_request", words)
        }
    }

    /// There is no such thing.
    pub fn not_found(words: impl Into<Cow<'static, str>>) -> Self {
        Self::saying(StatusCode::NOT_FOUND, "not_found", words)
    }

    /// It cannot be done as things are.
    pub fn conflict(words: impl Into<Cow<'static, str>>) -> Self {
        Self::saying(StatusCode::CONFLICT, "conflict", words)
    }

    /// Somebody else was quicker.
    pub fn stale() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "stale",
            "the policy is not at this revision any more; look at it again",
        )
    }

    /// An error of the authority's own.
    pub fn of(error: &Error) -> Self {
        let status = match error.code() {
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            cause: error.cause().map(str::to_owned),
            retry_after: error.retry_after(),
            ..Self::saying(
                status,
                error.code().as_str(),
                error.description().to_owned(),
            )
        }
    }

    #[must_use]
    pub fn with_challenge(self, challenge: HeaderValue) -> Self {
        Self {
            challenge: Some(Box::new(challenge)),
            ..self
        }
    }

    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// The answer, and, where a problem stands in it, that one with the id under which the log has it.
    pub fn written_out(app: &App, mut response: Response) -> Response {
        let Some(problem) = response.extensions_mut().remove::<Self>() else {
            return response;
        };
        let correlation_id = app.correlation_id();
        let reason = problem.cause.as_deref().unwrap_or(&problem.detail);
        let code = problem.code;
        match problem.status.is_server_error() && problem.retry_after.is_none() {
            true => {
                tracing::error!(correlation.id = %correlation_id, step = "admin", code, reason, "failed");
            }
            false => {
                tracing::info!(correlation.id = %correlation_id, step = "admin", code, reason, "refused");
            }
        }
        let document = Document {
            title: problem.status.canonical_reason().unwrap_or("Error"),
            status: problem.status.as_u16(),
            code,
            detail: &problem.detail,
            field: problem.field.as_deref(),
            correlation_id: &correlation_id,
        };
        let mut response = respond::json(problem.status, &document);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = problem.challenge {
            headers.insert(header::WWW_AUTHENTICATE, *challenge);
        }
        if let Some(wait) = problem.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        respond::with_correlation_id(response, &correlation_id)
    }
}

/// For [`Problem::written_out`], which every answer of the admin API passes.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = respond::empty(self.status);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnreadablePolicy { .. } => Self {
                cause: Some(error.to_string()),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "policy_unreadable",
                    "this node cannot read the policy of this MCP server, as when a later release wrote it",
                )
            }
            .with_retry_after(ASK_AGAIN),
            error => Self::of(&error.into()),
        }
    }
}

impl From<BodyRefusal> for Problem {
    fn from(refusal: BodyRefusal) -> Self {
        Self::saying(refusal.status(), "invalid_request", refusal.description())
    }
}
