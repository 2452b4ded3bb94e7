use ::oauth::administration::{READ, WRITE};
use ::oauth::administrator::{Access, NotAdmitted, admit};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use wire::oauth::{Challenge, ErrorCode, Scope, ScopeSet};

use super::metadata::METADATA_PATH;
use super::problem::Problem;
use crate::app::AppState;

/// In front of what only looks.
pub(super) async fn look(State(app): State<AppState>, request: Request, next: Next) -> Response {
    guard(&app, Access::Look, request, next).await
}

/// In front of what changes something.
pub(super) async fn change(State(app): State<AppState>, request: Request, next: Next) -> Response {
    guard(&app, Access::Change, request, next).await
}

/// By the token in the `Authorization` header alone: a browser's cookies are nobody's consent.
async fn guard(app: &AppState, access: Access, mut request: Request, next: Next) -> Response {
    let admitted = match token(request.headers()) {
        Ok(Some(token)) => admit(&app.authority, token, access)
            .await
            .map_err(|why| refused(app, access, why)),
        Ok(None) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send an access token for the admin API as Authorization: Bearer",
        )
        .with_challenge(challenge(app, access, None))),
        Err(why) => Err(refused(app, access, NotAdmitted::BadToken(why))),
    };
    let response = match admitted {
        Ok(administrator) => {
            request.extensions_mut().insert(administrator);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    Problem::written_out(app, response)
}

/// The one bearer token; nothing when none was sent.
fn token(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    const UNREADABLE: &str = "Authorization must be one header with Bearer and one token";
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let (scheme, token) = text
        .and_then(|text| text.split_once(' '))
        .ok_or(UNREADABLE)?;
    let is_token = !token.is_empty() && !token.contains([' ', ',']);
    match scheme.eq_ignore_ascii_case("bearer") && is_token {
        true => Ok(Some(token)),
        false => Err(UNREADABLE),
    }
}

fn refused(app: &AppState, access: Access, why: NotAdmitted) -> Problem {
    match why {
        NotAdmitted::BadToken(words) => Problem::saying(
            StatusCode::UNAUTHORIZED,
            ErrorCode::InvalidToken.as_str(),
            words,
        )
        .with_challenge(challenge(
            app,
            access,
            Some((ErrorCode::InvalidToken, words.to_owned())),
        )),
        NotAdmitted::NeedsScope(required) => {
            let words = format!("this needs the scope {required}");
            let error = Some((ErrorCode::InsufficientScope, words.clone()));
            Problem::saying(
                StatusCode::FORBIDDEN,
                ErrorCode::InsufficientScope.as_str(),
                words,
            )
            .with_challenge(challenge(app, access, error))
        }
        NotAdmitted::NoOwner => Problem::new(
            StatusCode::FORBIDDEN,
            "no_owner",
            "only owners may use the admin API",
        ),
        NotAdmitted::TooMany(wait) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "too many requests through this client; try again shortly",
        )
        .with_retry_after(wait),
        NotAdmitted::Absent => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "admin_api_closed",
            "an MCP server has the slug portcullis-admin, so there is no admin API here; use the portcullis commands",
        ),
        NotAdmitted::Failed(error) => Problem::of(&error),
    }
}

/// Names all that is needed, the lesser scope too: clients ask for exactly what they are told.
fn challenge(
    app: &AppState,
    access: Access,
    error: Option<(ErrorCode, String)>,
) -> http::HeaderValue {
    let needed: &[&str] = match access {
        Access::Look => &[READ],
        Access::Change => &[READ, WRITE],
    };
    let scope: ScopeSet = needed
        .iter()
        .filter_map(|name| Scope::parse(name).ok())
        .collect();
    Challenge {
        resource_metadata: format!("{}{METADATA_PATH}", app.admin_origin()),
        scope,
        error,
    }
    .to_header()
}
