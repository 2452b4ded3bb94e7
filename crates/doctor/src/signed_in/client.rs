use std::sync::Arc;

use base::Secret;
use serde_json::{Value, json};

use super::token_endpoint::TokenEndpoint;
use super::{Session, found, not_examined, resource, scopes, token_response};
use crate::flaws::signed_in as flaw;
use crate::{Ask, Desk, Exchange};

/// A client at the authorization server.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret, when it has one.
    pub secret: Option<Secret<String>>,
}

/// Gets a token for the client itself.
///
/// Spec: RFC 6749 section 4.4.
pub(super) async fn session(desk: &mut Desk, client: Client) -> Option<Session> {
    let Some(endpoint) = TokenEndpoint::of(desk, client) else {
        not_examined(
            desk,
            "a token: the metadata names no token_endpoint at the issuer's own origin, which a secret may be sent to",
        );
        return None;
    };
    let resource = resource(desk);
    // offline_access is for people.
    let scope = scopes(desk).map(|scopes| {
        let scopes = scopes.split(' ').filter(|scope| *scope != "offline_access");
        scopes.collect::<Vec<_>>().join(" ")
    });
    let mut fields = vec![
        ("grant_type", "client_credentials"),
        ("resource", resource.as_str()),
    ];
    if let Some(scope) = scope.as_deref().filter(|scope| !scope.is_empty()) {
        fields.push(("scope", scope));
    }
    let exchange = desk
        .send(endpoint.ask("a token for the client itself", &fields))
        .await;
    if exchange.status() != Some(200) {
        client_refused(desk, &exchange);
        return None;
    }
    let tokens = token_response::check(desk, &exchange, scope.as_deref())?;
    Some(Session {
        endpoint,
        resource,
        tokens,
        replaced: None,
        is_accepted: false,
    })
}

fn client_refused(desk: &mut Desk, exchange: &Arc<Exchange>) {
    if super::is_busy(exchange) {
        return not_examined(
            desk,
            format!(
                "a token: the token endpoint answered {}",
                exchange.outcome()
            ),
        );
    }
    let refusal = super::refusal(exchange);
    found(
        desk,
        flaw::CLIENT_CREDENTIALS_REFUSED,
        [
            format!("The token endpoint refuses the client's own credentials: {refusal}"),
            "The id and the secret were sent as the metadata says that clients authenticate here.".to_owned(),
            "Allow the client_credentials grant to this client, look at its id and secret, and accept them by HTTP Basic and in the body alike.".to_owned(),
        ],
        [Arc::clone(exchange)],
    );
}

/// Why the doctor may not register a client, when it may not.
pub(super) fn may_register(desk: &Desk) -> Result<(), String> {
    let Some(endpoint) = desk.scene.endpoint("registration_endpoint") else {
        return Err("the authorization server registers no clients by itself; give a client that it knows with --client-id".to_owned());
    };
    if desk.may_register(&endpoint) {
        return Ok(());
    }
    Err(format!(
        "signing in needs a client at {}: --register lets the doctor register one there, --client-id names one that is there",
        endpoint.host_str().unwrap_or_default()
    ))
}

/// Registers a client that comes back to `redirect_uri` (RFC 7591).
pub(super) async fn register(desk: &mut Desk, redirect_uri: &str) -> Option<Client> {
    let endpoint = desk.scene.endpoint("registration_endpoint")?;
    let body = json!({
        "client_name": "Portcullis doctor (sign-in)",
        "redirect_uris": [redirect_uri],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
        "software_id": "portcullis-doctor",
        "software_version": env!("CARGO_PKG_VERSION"),
    });
    let exchange = desk
        .send(Ask::post_json(
            endpoint.as_str(),
            "register a client to sign in with",
            &body,
        ))
        .await;
    let answer = exchange.json().unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(id) = text("client_id").filter(|_| exchange.is_success()) else {
        // The registration section says what is wrong with it.
        not_examined(
            desk,
            format!(
                "signing in: no client was registered ({})",
                super::refusal(&exchange)
            ),
        );
        return None;
    };
    let needs_secret = text("token_endpoint_auth_method").is_some_and(|method| method != "none");
    let secret = text("client_secret")
        .filter(|_| needs_secret)
        .map(Secret::new);
    Some(Client { id, secret })
}
