//! Whether what was registered can be used: the authorization endpoint, up to the page for people.

use std::sync::Arc;

use serde_json::Value;
use url::Url;

use crate::endpoints::{add, authorization_request};
use crate::flaws::endpoints::{
    AUTHORIZE_GET_NOT_IDEMPOTENT, AUTHORIZE_MISSING, AUTHORIZE_NO_PKCE_ACCEPTED,
    AUTHORIZE_REFUSES_REGISTERED, AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS,
};
use crate::{Ask, Desk, Exchange, Section};

pub(super) async fn examine(desk: &mut Desk) {
    let Some(endpoint) = desk.scene.endpoint("authorization_endpoint") else {
        return;
    };
    if desk.notes.has(AUTHORIZE_MISSING) {
        return;
    }
    let Some((client_id, redirect_uri)) = client(desk) else {
        return;
    };
    let url = authorization_request(desk, &endpoint, &client_id, &redirect_uri, true);
    let first = get(
        desk,
        &url,
        "an authorization request of the registered client",
    )
    .await;
    let sent_back = first.redirects_to();
    if is_refusal(&first, &redirect_uri)
        && sent_back.is_some_and(|to| to.starts_with(&redirect_uri))
    {
        // It takes the address, and refuses something else, such as a resource that the metadata has another text for.
        let why = "what a registered client is shown: its request is sent back to it with an error";
        desk.notes.not_examined(Section::Registration, why);
        return;
    }
    if is_refusal(&first, &redirect_uri) {
        add(
            desk,
            &first,
            AUTHORIZE_REFUSES_REGISTERED,
            "What was registered is refused at the authorization endpoint",
            format!(
                "{redirect_uri} was registered a moment ago; a request with it is answered {}.",
                outcome(&first)
            ),
            "Let registration and authorization read the same list of return addresses.",
        );
        return;
    }
    let second = get(desk, &url, "the same authorization request again").await;
    if second.answer.is_ok()
        && (second.status() != first.status() || is_refusal(&second, &redirect_uri))
    {
        add(
            desk,
            &second,
            AUTHORIZE_GET_NOT_IDEMPOTENT,
            "An authorization request can be opened once only",
            format!(
                "The first GET is answered {}, the second {}. FastMCP fetches the address before the browser opens it, and link scanners do too.",
                outcome(&first),
                outcome(&second)
            ),
            "Change nothing on GET; spend the request when the person decides.",
        );
    }
    if desk.notes.has(AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS) {
        return;
    }
    let url = authorization_request(desk, &endpoint, &client_id, &redirect_uri, false);
    let bare = get(desk, &url, "an authorization request without PKCE").await;
    if bare.answer.is_ok() && !is_refusal(&bare, &redirect_uri) {
        add(
            desk,
            &bare,
            AUTHORIZE_NO_PKCE_ACCEPTED,
            "A request without PKCE goes on",
            format!(
                "Without code_challenge the answer is {}, as with it. Whoever steals the code can use it.",
                outcome(&bare)
            ),
            "Refuse authorization requests of public clients without code_challenge: redirect back with error=invalid_request.",
        );
    }
}

/// The registered client and one of its return addresses.
fn client(desk: &Desk) -> Option<(String, String)> {
    let registered = desk.scene.registered.as_ref()?;
    let id = registered.get("client_id")?.as_str()?;
    let uris = registered.get("redirect_uris")?.as_array()?;
    let uri = uris
        .iter()
        .filter_map(Value::as_str)
        .max_by_key(|uri| uri.starts_with("http://127.0.0.1"))?;
    Some((id.to_owned(), uri.to_owned()))
}

async fn get(desk: &Desk, url: &Url, purpose: &str) -> Arc<Exchange> {
    let ask = Ask::new(http::Method::GET, url.as_str(), purpose).header("accept", "text/html");
    desk.send(ask).await
}

/// An error page, or a redirect back with an error.
fn is_refusal(exchange: &Exchange, redirect_uri: &str) -> bool {
    match exchange.redirects_to() {
        Some(place) => place.starts_with(redirect_uri) && place.contains("error="),
        None => exchange
            .status()
            .is_some_and(|status| status >= 400 && status != 401),
    }
}

fn outcome(exchange: &Exchange) -> String {
    match exchange.redirects_to() {
        Some(place) => {
            let place = place.split(['?', '#']).next().unwrap_or_default();
            format!("{} to {place}", exchange.outcome())
        }
        None => exchange.outcome(),
    }
}
