use ::oauth::Parameters;
use ::oauth::introspect::introspect;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::basic;
use super::token::read_form_alone;
use crate::app::{AppState, InServer};
use crate::respond::{self, Step};

/// `POST /servers/{slug}/introspect` (RFC 7662 section 2), for the MCP server itself.
pub(crate) async fn post(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "introspect",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let body = match read_form_alone(&app, step, &parts, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let decoded =
        Parameters::parse(&body).and_then(|form| Ok((form, basic::read(&parts.headers)?)));
    let (form, header) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => return respond::oauth_error(&app, step, &error),
    };
    match introspect(&app.authority, &server, &form, header.as_ref()).await {
        Ok(answer) => respond::json(StatusCode::OK, &answer),
        Err(error) => respond::oauth_error(&app, step, &error),
    }
}
