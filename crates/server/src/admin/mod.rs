//! The admin API: what the `portcullis` commands do, over HTTP, for whoever has a token of an owner's. One file per noun;
//! each handler reads a request, calls what the command calls, and answers JSON. `docs/admin-api.md` has every address.

mod access;
mod audit;
mod grants;
mod members;
mod metadata;
mod policy;
mod problem;
mod query;
mod scopes;
mod servers;
mod tools;

use ::oauth::administration;
use ::oauth::administrator::Administrator;
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, delete, get, patch, post, put};
use axum::{Extension, Router};
use domain::UserId;
use http::StatusCode;
use serde_json::json;

pub(crate) use self::metadata::{METADATA_PATH, get as metadata};
use self::problem::Problem;
use crate::app::AppState;
use crate::respond;

/// All of it. Whoever looks needs one scope, and whoever changes something the other: by where a route stands here, so that
/// none can go without.
pub(crate) fn routes(app: &AppState) -> Router<AppState> {
    let looking = Router::new()
        .route("/", get(who))
        .route("/servers", get(servers::list))
        .route("/servers/{slug}", get(servers::show))
        .route("/servers/{slug}/scopes", get(scopes::list))
        .route("/servers/{slug}/tools", get(tools::list))
        .route("/servers/{slug}/drift", get(tools::waiting))
        .route("/servers/{slug}/policy", get(policy::show))
        .route("/servers/{slug}/policy/revisions", get(policy::revisions))
        .route(
            "/servers/{slug}/policy/revisions/{revision}",
            get(policy::revision),
        )
        .route("/servers/{slug}/policy/diff", get(policy::diff))
        .route("/servers/{slug}/policy/preview", post(policy::preview))
        .route("/grants", get(grants::list))
        .route("/audit", get(audit::list))
        .route("/audit/export", get(audit::export))
        // Who may not look is not told either what is not there.
        .route("/{*rest}", any(nothing))
        .route_layer(middleware::from_fn_with_state(app.clone(), access::look));
    let changing = Router::new()
        .route("/servers", post(servers::add))
        .route(
            "/servers/{slug}",
            patch(servers::change).delete(servers::remove),
        )
        .route("/servers/{slug}/tools/approve", post(tools::approve))
        .route("/servers/{slug}/tools/reject", post(tools::reject))
        .route("/servers/{slug}/tools/map", post(tools::map))
        .route("/servers/{slug}/policy", put(policy::put))
        .route("/servers/{slug}/policy/rollback", post(policy::roll_back))
        .route("/grants/{grant}", delete(grants::revoke))
        .route_layer(middleware::from_fn_with_state(app.clone(), access::change));
    let all = looking
        .merge(changing)
        .method_not_allowed_fallback(wrong_method);
    Router::new().nest(administration::PATH, all)
}

/// `GET /admin/api/v1`: who one is here.
async fn who(Extension(administrator): Extension<Administrator>) -> Response {
    let view = json!({
        "user": administrator.user().map(UserId::as_str),
        "client": administrator.client().as_str(),
    });
    respond::json(StatusCode::OK, &view)
}

async fn nothing() -> Problem {
    Problem::not_found("there is nothing at this address")
}

async fn wrong_method() -> Response {
    respond::problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this address does not answer to this method",
    )
}
