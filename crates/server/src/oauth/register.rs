use ::oauth::Error;
use ::oauth::register::register;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, header};

use crate::app::{AppState, peer_address};
use crate::body::read_json;
use crate::event::EventKind;
use crate::in_server::InServer;
use crate::metric;
use crate::respond::{self, Step};

/// `POST /servers/{slug}/register` (RFC 7591 section 3).
pub(crate) async fn post(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "register",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let body = match read_json(&parts.headers, body).await {
        Ok(body) => body,
        Err(refusal) => {
            let error = Error::invalid_client_metadata(refusal.description());
            return respond::oauth_error_with(&app, step, &error, refusal.status());
        }
    };
    // Who comes from this machine has no address to count: it is a program that can do worse, or, behind a proxy or
    // tunnel, everybody. On a laptop a page of some site in the person's browser comes from this machine as well, and
    // says so.
    let is_page = parts.headers.contains_key(header::ORIGIN) && app.authority.is_on_loopback();
    let address = peer_address(&parts.extensions)
        .filter(|address| is_page || !address.to_canonical().is_loopback());
    match register(&app.authority, &server, &body, address).await {
        Ok(registration) => {
            metric::registered(server.slug(), registration.repeated, registration.waits);
            app.emit(Some(server.slug()), &parts.headers, || {
                EventKind::Registered {
                    client_id: registration.response.client_id.clone(),
                    client_name: registration.client_name.clone(),
                    repeated: registration.repeated,
                    waits: registration.waits,
                }
            });
            respond::json(StatusCode::CREATED, &registration.response)
        }
        Err(error) => respond::oauth_error(&app, step, &error),
    }
}
