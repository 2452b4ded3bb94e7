use ::oauth::administrator::Administrator;
use ::oauth::grants;
use axum::Extension;
use axum::extract::{RawPathParams, State};
use axum::response::Response;
use domain::{ClientId, GrantId};
use http::{StatusCode, Uri};
use serde::Serialize;
use store::{GrantFilter, GrantRevoked, LiveGrant};
use wire::oauth::ScopeSet;

use super::problem::Problem;
use super::query::{Query, moment, page};
use crate::app::AppState;
use crate::respond;

/// A grant in force.
#[derive(Debug, Serialize)]
struct GrantView {
    id: String,
    server: String,
    client: String,
    client_name: Option<String>,
    /// The `sub`: a person, or the client itself.
    subject: String,
    email: Option<String>,
    scopes: ScopeSet,
    created_at: String,
    expires_at: String,
}

impl From<LiveGrant> for GrantView {
    fn from(grant: LiveGrant) -> Self {
        Self {
            id: grant.id.as_str().to_owned(),
            server: grant.server.to_string(),
            client: grant.client.as_str().to_owned(),
            client_name: grant.client_name,
            subject: grant.subject,
            email: grant.email,
            scopes: grant.scopes,
            created_at: moment(grant.created_at),
            expires_at: moment(grant.expires_at),
        }
    }
}

/// `GET /grants`, the oldest first.
pub(super) async fn list(State(app): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let known = ["limit", "after", "server", "person", "client"];
    let query = Query::read(&uri, &known)?;
    let (limit, server) = (query.limit()?, query.server()?);
    let client = query.text("client").map(ClientId::from_text);
    let after = query.text("after").map(GrantId::from_text);
    let filter = GrantFilter {
        server: server.as_ref(),
        subject: query.text("person"),
        client: client.as_ref(),
    };
    let (store, now) = (app.authority.store(), app.authority.now());
    let grants = store.list_live_grants(filter, now, after.as_ref(), limit + 1);
    let views: Vec<GrantView> = grants.await?.into_iter().map(GrantView::from).collect();
    Ok(page(views, limit, |view| view.id.clone()))
}

/// `DELETE /grants/{grant}`: its access tokens are refused everywhere within a second. One that has ended is gone.
pub(super) async fn revoke(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    parameters: RawPathParams,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("there is no such grant in force");
    let mut parameters = parameters.iter();
    let (_, id) = parameters.next().ok_or_else(unknown)?;
    let act = administrator.act(&app.authority);
    let grant = GrantId::from_text(id);
    match grants::revoke(app.authority.store(), act, &grant).await? {
        GrantRevoked::Revoked { .. } => Ok(respond::empty(StatusCode::NO_CONTENT)),
        GrantRevoked::EndedBefore | GrantRevoked::Unknown => Err(unknown()),
    }
}
