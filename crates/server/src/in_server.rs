use std::sync::Arc;
use std::time::Duration;

use ::oauth::{Error, ServerContext};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;

use crate::app::{App, AppState};
use crate::respond::{self, Step};

/// When to ask again about a policy that cannot be read here: another node may be able to, or this one soon.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The MCP server that the path names; a 404 when there is none, a 503 when its policy cannot be read here.
pub(crate) struct InServer(pub Arc<ServerContext>);

impl FromRequestParts<AppState> for InServer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Response> {
        let found = find(parts, app).await;
        found.map(Self).map_err(|missing| match missing {
            Missing::Unknown => respond::not_found(),
            Missing::Closed(slug) => closed(app, &slug, parts),
        })
    }
}

/// The same for gateways and for servers that protect themselves: of a 503 they are told the reason, which concerns what they
/// have in force.
pub(crate) struct InOwnServer(pub Arc<ServerContext>);

impl FromRequestParts<AppState> for InOwnServer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Response> {
        let found = find(parts, app).await.and_then(|found| {
            // The admin API has no gateways.
            let is_server = !found.is_administration();
            is_server.then_some(found).ok_or(Missing::Unknown)
        });
        found.map(Self).map_err(|missing| match missing {
            Missing::Unknown => respond::not_found(),
            Missing::Closed(_) => {
                let mut response = respond::problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "policy_unreadable",
                    "this node cannot read the policy of this MCP server, as when a later release wrote it",
                );
                respond::retry_after(&mut response, &unreadable());
                response
            }
        })
    }
}

enum Missing {
    Unknown,
    /// Its slug.
    Closed(String),
}

async fn find(parts: &mut Parts, app: &AppState) -> Result<Arc<ServerContext>, Missing> {
    // Slugs are plain ASCII, so what needs decoding is none.
    let parameters = RawPathParams::from_request_parts(parts, app).await;
    let parameters = parameters.map_err(|_| Missing::Unknown)?;
    let mut parameters = parameters.iter();
    let slug = parameters.find(|(name, _)| *name == "slug");
    let (_, slug) = slug.ok_or(Missing::Unknown)?;
    app.server(slug)
        .ok_or_else(|| match app.authority.is_closed(slug) {
            true => Missing::Closed(slug.to_owned()),
            false => Missing::Unknown,
        })
}

/// Never a 404 nor an error that ends a session: clients would forget a server that is there.
pub(crate) fn closed(app: &App, slug: &str, parts: &Parts) -> Response {
    let is_page = parts.uri.path().ends_with("/authorize");
    let step = Step {
        name: "server",
        server: Some(slug),
        client_id: None,
        headers: &parts.headers,
    };
    match is_page {
        true => respond::error_page(
            app,
            step,
            &unreadable(),
            "Try again in a minute. If it stays so, tell whoever runs this server.",
        ),
        false => respond::oauth_error(app, step, &unreadable()),
    }
}

fn unreadable() -> Error {
    Error::temporarily_unavailable(
        ASK_AGAIN,
        "the policy of this MCP server cannot be read by this node, as when a later release wrote it",
    )
}
