use ::oauth::{Error, aliases};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use wire::gateway::AliasNonce;

use super::feed::{authenticated, step};
use super::read_json;
use crate::app::AppState;
use crate::in_server::InOwnServer;
use crate::respond;

/// A host and a nonce.
const BODY_BYTES_MAX: usize = 1024;

/// `POST /servers/{slug}/alias-proof`: the answer for a nonce that a gateway was asked at one of its server's hosts,
/// which lead there and not here.
pub(crate) async fn post(
    State(app): State<AppState>,
    InOwnServer(server): InOwnServer,
    request: Request,
) -> Result<Response, Response> {
    authenticated(&app, &server, "alias proof", request.headers()).await?;
    let (parts, body) = request.into_parts();
    let step = step("alias proof", &server, &parts.headers);
    let refuse = |error: Error| respond::oauth_error(&app, step, &error);
    let body = read_json(&app, step, &parts.headers, body, BODY_BYTES_MAX).await?;
    let asked: AliasNonce = serde_json::from_slice(&body).map_err(|error| {
        refuse(Error::invalid_request("the body is no JSON object").because(error))
    })?;
    match aliases::answer_of(&app.authority, &server, &asked.host, &asked.nonce).await {
        Ok(Some(answer)) => Ok(respond::json(StatusCode::OK, &json!({"answer": answer}))),
        Ok(None) => Ok(respond::not_found()),
        Err(error) => Err(refuse(error.into())),
    }
}
