use std::time::Duration;

use ::oauth::{Error, inventory};
use authz::{Inventory, ListKind, Policy, VerifyingKeys};
use axum::extract::{Request, State};
use axum::response::Response;
use domain::McpServer;
use http::StatusCode;
use serde_json::json;
use wire::gateway::{IDENTITY_KEY_ID, MANIFEST_BYTES_MAX, ManifestAnswer};
use wire::mcp::json::{Limits, Object, parse_strict};
use wire::oauth::{Jwk, JwkSet};

use super::feed::{authenticated, step};
use super::own_scopes::OwnScopes;
use super::read_json;
use crate::app::AppState;
use crate::in_server::InOwnServer;
use crate::respond;

/// How long a gateway's key is listed after it was said last.
const KEY_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How many gateways of one MCP server may have a key at once.
const KEYS_MAX: i64 = 64;

/// The longest id of a key.
const KEY_ID_BYTES_MAX: usize = 64;

/// `POST /servers/{slug}/manifest`: what the upstream offers, as a gateway sees it, and the key with which it signs
/// `Portcullis-Identity`; either or both. A server that protects itself also says which scopes its code enforces.
pub(crate) async fn post(
    State(app): State<AppState>,
    InOwnServer(server): InOwnServer,
    request: Request,
) -> Result<Response, Response> {
    authenticated(&app, &server, "manifest", request.headers()).await?;
    let (parts, body) = request.into_parts();
    let step = step("manifest", &server, &parts.headers);
    let refuse = |error: Error| respond::oauth_error(&app, step, &error);
    let body = read_json(&app, step, &parts.headers, body, MANIFEST_BYTES_MAX).await?;
    let limits = Limits {
        bytes_max: MANIFEST_BYTES_MAX,
        ..Limits::default()
    };
    let manifest = parse_strict(&body, &limits).map_err(|error| {
        refuse(Error::invalid_request("the body is no JSON object").because(error))
    })?;
    let manifest = manifest
        .as_object()
        .ok_or_else(|| refuse(Error::invalid_request("the body is no JSON object")))?;
    if let Some(key) = manifest.get("identity_key") {
        let key: Option<Jwk> = key.deserialize().ok().filter(is_gateway_key);
        let key = key.ok_or_else(|| {
            refuse(Error::invalid_request(
                "identity_key must be a public JWK for ES256 whose kid begins with gwk_",
            ))
        })?;
        let (now, slug) = (app.authority.now(), &server.server.slug);
        let kept = app
            .authority
            .store()
            .put_gateway_key(slug, &key, now, now.after(KEY_LIFETIME), KEYS_MAX)
            .await
            .map_err(|error| refuse(error.into()))?;
        if !kept {
            return Err(refuse(Error::invalid_request(
                "too many gateways of this MCP server have a key, or another one has this kid",
            )));
        }
    }
    let mut answer = ManifestAnswer::default();
    if let Some(found) = manifest.get("inventory") {
        let found = found.as_object().ok_or_else(|| {
            refuse(Error::invalid_request(
                "inventory must be an object of lists",
            ))
        })?;
        let own = OwnScopes::read(manifest).map_err(refuse)?;
        answer = publish(&app, &server.server, found, &own)
            .await
            .map_err(refuse)?;
    }
    Ok(respond::json(StatusCode::OK, &json!(answer)))
}

async fn publish(
    app: &AppState,
    server: &McpServer,
    found: &Object,
    own: &OwnScopes,
) -> Result<ManifestAnswer, Error> {
    let slug = &server.slug;
    let found = Inventory::from_object(found).map_err(|error| {
        Error::invalid_request("inventory lists more than is read").because(error)
    })?;
    let (store, now) = (app.authority.store(), app.authority.now());
    // Of a later one a server maps nothing by itself: somebody looks at what is new.
    let tools = match server.policy.is_blank() {
        true => own.of_tools(&found),
        false => Vec::new(),
    };
    let declare = |_: &McpServer, policy: &mut Policy| own.declare(policy);
    let published = inventory::publish(store, now, slug, &found, &tools, declare)
        .await
        .map_err(|error| match error {
            inventory::InventoryError::Store(error) => error.into(),
            error => Error::temporarily_unavailable(Duration::from_secs(5), error),
        })?;
    let undeclared_scopes = own.undeclared(&published.policy);
    if !undeclared_scopes.is_empty() {
        tracing::warn!(
            server = %slug,
            scopes = undeclared_scopes.join(" "),
            "an MCP server enforces scopes that its policy does not declare, so nobody can have them; declare them with \
             `portcullis export` and `portcullis apply`"
        );
    }
    let names = |list: Vec<(ListKind, String)>| list.into_iter().map(|(_, name)| name).collect();
    Ok(ManifestAnswer {
        tools: found.tools.len(),
        hidden: names(published.changes.new),
        changed: (published.changes.changed.into_iter())
            .map(|drifted| drifted.identity)
            .collect(),
        revision: published.revision,
        again: published.again,
        undeclared_scopes,
    })
}

/// Whether it is a key that a gateway makes: no other is listed, and no private half is.
fn is_gateway_key(key: &Jwk) -> bool {
    let kid = key.kid.as_deref().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    kid.starts_with(IDENTITY_KEY_ID)
        && kid.len() <= KEY_ID_BYTES_MAX
        && kid.bytes().all(is_plain)
        && (key.kty.as_str(), key.crv.as_deref(), key.alg.as_deref())
            == ("EC", Some("P-256"), Some("ES256"))
        && (&key.n, &key.e) == (&None, &None)
        && VerifyingKeys::from_jwks(&JwkSet {
            keys: vec![key.clone()],
        })
        .contains(kid)
}
