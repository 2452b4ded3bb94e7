//! What gateways, and MCP servers that protect themselves, ask the authority: each with the credential of its one MCP
//! server, and about that one alone.

pub(crate) mod activity;
pub(crate) mod alias_nonce;
pub(crate) mod board;
pub(crate) mod feed;
pub(crate) mod manifest;
mod own_scopes;

use ::oauth::Error;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;

use crate::app::AppState;
use crate::body;
use crate::respond::{self, Step};

/// The JSON body of a request whose credential is good.
async fn read_json(
    app: &AppState,
    step: Step<'_>,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, Response> {
    body::read_large_json(headers, body, bytes_max)
        .await
        .map_err(|refusal| {
            let error = Error::invalid_request(refusal.description());
            respond::oauth_error_with(app, step, &error, refusal.status())
        })
}
