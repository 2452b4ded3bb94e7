use ::oauth::introspect::introspect;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::token::{decode, read_form_alone};
use crate::app::AppState;
use crate::in_server::InServer;
use crate::metric;
use crate::respond::{self, Step};

/// `POST /servers/{slug}/introspect` (RFC 7662 section 2), for the MCP server itself.
pub(crate) async fn post(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "introspect",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let body = read_form_alone(&app, step, &parts, body).await?;
    let (form, header) =
        decode(&parts, &body).map_err(|error| respond::oauth_error(&app, step, &error))?;
    introspect(&app.authority, &server, &form, header.as_ref())
        .await
        .map(|answer| {
            metric::introspected(server.slug(), answer.active);
            respond::json(StatusCode::OK, &answer)
        })
        .map_err(|error| respond::oauth_error(&app, step, &error))
}
