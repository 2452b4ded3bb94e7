use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;

use crate::app::AppState;
use crate::in_server::{self, InServer};
use crate::respond;

/// Short, since scopes follow the policy; long enough for the three reads of one handshake.
const METADATA_CACHE: &str = "public, max-age=60";
/// A new key is published well before it signs.
const KEYS_CACHE: &str = "public, max-age=300";
/// A gateway signs with its key as soon as it was listed.
const GATEWAY_KEYS_CACHE: &str = "public, max-age=30";

/// The metadata of one MCP server's issuer; the same at every address (RFC 8414 section 3.1 and OpenID's two).
pub(crate) async fn of_server(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Response {
    serve(&app, &server, request.headers())
}

/// The metadata at the bare origin, while that can only mean one server.
pub(crate) async fn of_only_server(State(app): State<AppState>, request: Request) -> Response {
    let Some(slug) = app.authority.only_slug() else {
        return respond::problem(
            http::StatusCode::NOT_FOUND,
            "not_found",
            "this origin has no single authorization server; use the address under /servers/ that the MCP server's metadata names",
        );
    };
    match app.server(&slug) {
        Some(server) => serve(&app, &server, request.headers()),
        None => in_server::closed(&app, &slug, &request.into_parts().0),
    }
}

fn serve(app: &AppState, server: &::oauth::ServerContext, headers: &HeaderMap) -> Response {
    app.emit_metadata_served(server.slug(), headers);
    respond::document(server.metadata_json.clone(), METADATA_CACHE)
}

/// The keys of access tokens (RFC 7517 section 5).
pub(crate) async fn access_keys(State(app): State<AppState>) -> Response {
    respond::document(app.authority.access_jwks_json(), KEYS_CACHE)
}

/// The keys of `Portcullis-Identity`.
pub(crate) async fn identity_keys(State(app): State<AppState>) -> Response {
    respond::document(app.authority.identity_jwks_json(), KEYS_CACHE)
}

/// The keys of `Portcullis-Identity` at one MCP server: also those of its gateways elsewhere. The set at the origin has
/// none of them, for a gateway speaks for its own MCP server alone.
pub(crate) async fn identity_keys_of(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Result<Response, Response> {
    let step = respond::Step {
        name: "identity",
        server: Some(server.slug()),
        client_id: None,
        headers: request.headers(),
    };
    let keys = app.authority.identity_jwks_of(&server.server.slug).await;
    let keys = keys.map_err(|error| respond::oauth_error(&app, step, &error.into()))?;
    let document = serde_json::to_vec(&keys).expect("keys are strings");
    Ok(respond::document(document.into(), GATEWAY_KEYS_CACHE))
}
