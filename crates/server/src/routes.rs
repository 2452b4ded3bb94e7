use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::admin;
use crate::app::AppState;
use crate::gateways::{activity, alias_nonce, feed, manifest};
use crate::oauth::{alias_proof, authorize, introspect, metadata, register, revoke, token};
use crate::people::{client_logo, clients, home, setup, sign_in, sign_out, tokens};
use crate::{cookie_weight, metric, pages, respond};

/// First segments of the paths that the authority answers, an empty one for the root: no MCP server can be there.
pub const OWN_PATHS: [&str; 12] = [
    "",
    ".well-known",
    "account",
    "admin",
    "assets",
    "client-logos",
    "identity",
    "jwks.json",
    "servers",
    "setup",
    "sign-in",
    "sign-out",
];

/// Which listener a router is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only one.
    Whole,
    /// The public one, beside one for the dashboard.
    Public,
    /// The one for the dashboard: pages and the admin API, nothing for clients.
    Admin,
}

/// What the authority answers at one listener. Addresses of the MCP servers themselves belong to the gateway.
pub fn router(app: AppState, side: Side) -> Router {
    let router = match side {
        Side::Whole => for_programs()
            .merge(administration(&app))
            .merge(pages(consent().merge(dashboard()))),
        // Who signs in by themselves is sent to the dashboard; here that is the page of their own.
        Side::Public => {
            let own = get(async || respond::see_other(tokens::PATH));
            for_programs().merge(pages(consent().route("/admin", own)))
        }
        Side::Admin => administration(&app).merge(pages(dashboard())),
    };
    let router = router
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(app.clone(), known_host));
    let router = match side {
        // At hosts that are not known yet: that is what is being proven.
        Side::Whole | Side::Public => router.route(alias_proof::PATH, get(alias_proof::get)),
        Side::Admin => router,
    };
    router.with_state(app)
}

fn for_programs() -> Router<AppState> {
    let for_all = Router::new()
        .route(
            "/.well-known/oauth-authorization-server/servers/{slug}",
            get(metadata::of_server),
        )
        .route(
            "/.well-known/openid-configuration/servers/{slug}",
            get(metadata::of_server),
        )
        .route(
            "/servers/{slug}/.well-known/openid-configuration",
            get(metadata::of_server),
        )
        .route(
            "/servers/{slug}/.well-known/oauth-authorization-server",
            get(metadata::of_server),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::of_only_server),
        )
        .route(
            "/.well-known/openid-configuration",
            get(metadata::of_only_server),
        )
        .route("/.well-known/{*rest}", get(nothing))
        .route("/jwks.json", get(metadata::access_keys))
        .route("/identity/jwks.json", get(metadata::identity_keys))
        .route(
            "/servers/{slug}/identity/jwks.json",
            get(metadata::identity_keys_of),
        )
        .route("/servers/{slug}/register", post(register::post))
        .route("/servers/{slug}/token", post(token::post))
        .route("/servers/{slug}/revoke", post(revoke::post))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(open_to_all_origins));
    // No browser has the credential of an MCP server, so no page may ask.
    let for_servers = Router::new()
        .route("/servers/{slug}/introspect", post(introspect::post))
        .route("/servers/{slug}/feed", get(feed::get))
        .route("/servers/{slug}/manifest", post(manifest::post))
        .route("/servers/{slug}/alias-proof", post(alias_nonce::post))
        .route("/servers/{slug}/activity", post(activity::post))
        .method_not_allowed_fallback(wrong_method);
    for_all.merge(for_servers)
}

/// What owners do with programs. Browsers get no word of it: pages elsewhere have no business here.
fn administration(app: &AppState) -> Router<AppState> {
    let metadata = Router::new()
        .route(admin::METADATA_PATH, get(admin::metadata))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(open_to_all_origins));
    metadata.merge(admin::routes(app))
}

/// Saying yes to a client.
fn consent() -> Router<AppState> {
    Router::new()
        .route(
            "/servers/{slug}/authorize",
            get(authorize::get).post(authorize::post),
        )
        .route(client_logo::PATH, get(client_logo::get))
}

/// What owners do.
fn dashboard() -> Router<AppState> {
    Router::new()
        .route("/setup", get(setup::get).post(setup::post))
        .route("/admin", get(home::get))
        .route(clients::PATH, post(clients::decide))
}

/// These pages, with those for everybody who signs in.
fn pages(these: Router<AppState>) -> Router<AppState> {
    these
        .route("/sign-in", get(sign_in::get).post(sign_in::post))
        .route("/sign-out", post(sign_out::post))
        .route(tokens::PATH, get(tokens::get).post(tokens::create))
        .route(tokens::REVOKE_PATH, post(tokens::revoke))
        .route("/", get(home::root))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(cookie_weight::bearable))
        // What the page about cookies looks like.
        .route("/assets/{*name}", get(asset))
}

/// A name that somebody pointed at this address gets nothing, not even an error page that it could frame.
async fn known_host(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let measure = metric::Measure::begin(&request);
    let is_ours = app.hosts.accept(request.uri(), request.headers());
    let is_former = !is_ours && app.is_at_former_host(request.uri(), request.headers());
    let response = if is_former && is_page(&request) {
        // Cookies and forms belong to the origin that we have now.
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        respond::see_other(&format!("{}{path}", app.authority.public_url()))
    } else if is_ours || is_former {
        let mut response = next.run(request).await;
        if app.authority.public_url().starts_with("https:") {
            // A year. Names below ours are somebody else's to decide about.
            response.headers_mut().insert(
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=31536000"),
            );
        }
        response
    } else {
        tracing::info!(reason = "unknown Host", "refused");
        respond::problem(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "this server does not answer to this Host; start it with --public-url set to the address that is used",
        )
    };
    measure.end(response.status());
    response
}

/// Whether a person reads the answer in a browser.
fn is_page(request: &Request) -> bool {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    is_read
        && (path.ends_with("/authorize")
            || ["/", "/admin", "/setup", "/sign-in", tokens::PATH].contains(&path))
}

/// CORS for what programs read, in a browser or not. No credential is ambient here, so every origin may ask; the pages
/// for people are not behind this.
async fn open_to_all_origins(request: Request, next: Next) -> Response {
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        let mut response = respond::empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, OPTIONS"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Authorization, Content-Type, Accept, DPoP, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID",
            ),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("7200"),
        );
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("WWW-Authenticate, Retry-After"),
    );
    response
}

async fn nothing() -> Response {
    respond::not_found()
}

async fn wrong_method() -> Response {
    respond::problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this address does not answer to this method",
    )
}

async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let Some(asset) = pages::assets::find(uri.path()) else {
        return respond::not_found();
    };
    let unchanged = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|etag| etag.as_bytes() == asset.etag.as_bytes());
    let mut response = if unchanged {
        respond::empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(axum::body::Body::from(asset.bytes.clone()))
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.content_type),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(pages::assets::CACHE_CONTROL),
    );
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_route_is_below_a_path_that_is_kept_for_it() {
        let (source, _) = include_str!("routes.rs").split_once("mod tests").unwrap();
        let literal = source
            .split(".route(")
            .skip(1)
            .filter_map(|route| route.trim_start().strip_prefix('"'));
        let named = [
            clients::PATH,
            tokens::PATH,
            tokens::REVOKE_PATH,
            client_logo::PATH,
        ];
        let mut routes = 0;
        for path in literal.chain(named) {
            let first = path.split(['/', '"']).nth(1).unwrap_or_default();
            assert!(OWN_PATHS.contains(&first), "{first}");
            routes += 1;
        }
        assert!(routes > 20, "{routes} were found");
    }
}
