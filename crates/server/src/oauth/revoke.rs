use ::oauth::revoke::revoke;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::token::{decode, read_form_alone};
use crate::app::AppState;
use crate::event::EventKind;
use crate::in_server::InServer;
use crate::metric;
use crate::respond::{self, Step};

/// `POST /servers/{slug}/revoke` (RFC 7009 section 2).
pub(crate) async fn post(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "revoke",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let body = read_form_alone(&app, step, &parts, body).await?;
    let (form, header) =
        decode(&parts, &body).map_err(|error| respond::oauth_error(&app, step, &error))?;
    match revoke(&app.authority, &server, &form, header.as_ref()).await {
        Ok(revocation) => {
            metric::revoked(server.slug(), revocation.ended.is_some());
            if let (Some(_), Some(client)) = (&revocation.ended, &revocation.client) {
                app.emit(Some(server.slug()), &parts.headers, || EventKind::Revoked {
                    client_id: client.as_str().to_owned(),
                });
            }
            Ok(respond::empty(StatusCode::OK))
        }
        Err(error) => {
            let client_id = form.get("client_id");
            Err(respond::oauth_error(
                &app,
                Step { client_id, ..step },
                &error,
            ))
        }
    }
}
