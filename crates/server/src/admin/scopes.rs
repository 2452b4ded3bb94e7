use authz::Risk;
use axum::response::Response;
use http::Uri;
use serde::Serialize;
use wire::oauth::ScopeSet;

use super::problem::Problem;
use super::query::{Query, page};
use super::servers::AtServer;

/// One scope that an MCP server declares.
#[derive(Debug, Serialize)]
struct ScopeView<'a> {
    id: &'a str,
    name: &'a str,
    title: &'a str,
    risk: Risk,
    implies: &'a ScopeSet,
    /// Whether a client gets it asked for when it asks for nothing.
    is_default: bool,
}

/// `GET /servers/{slug}/scopes`, in the order in which people see them.
pub(super) async fn list(AtServer(server): AtServer, uri: Uri) -> Result<Response, Problem> {
    let query = Query::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let policy = &server.policy;
    let from = match query.text("after") {
        None => 0,
        Some(after) => {
            let place = policy.scopes.iter().position(|scope| scope.id == after);
            1 + place.ok_or_else(|| Problem::at("after", "there is no scope with this id"))?
        }
    };
    let views: Vec<ScopeView<'_>> = policy
        .scopes
        .iter()
        .skip(from)
        .take(limit + 1)
        .map(|scope| ScopeView {
            id: &scope.id,
            name: scope.name.as_str(),
            title: &scope.title,
            risk: scope.risk,
            implies: &scope.implies,
            is_default: policy.default_scopes.contains(&scope.name),
        })
        .collect();
    Ok(page(views, limit, |view| view.id.to_owned()))
}
