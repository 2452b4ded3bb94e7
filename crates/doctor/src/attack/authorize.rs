//! Ways to a code: a weak challenge, and return addresses that only resemble the registered one.

use std::sync::Arc;

use serde_json::Value;
use url::Url;

use super::{found, not_examined};
use crate::endpoints::authorization_request;
use crate::flaws::attack as flaw;
use crate::flaws::endpoints::{
    AUTHORIZE_MISSING, AUTHORIZE_NO_PKCE_ACCEPTED, AUTHORIZE_REFUSES_REGISTERED,
    AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS,
};
use crate::{Ask, Desk, Exchange};

pub(super) async fn examine(desk: &mut Desk) {
    if desk.notes.has_any(&[
        AUTHORIZE_MISSING,
        AUTHORIZE_REFUSES_REGISTERED,
        AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS,
    ]) {
        return;
    }
    let client = client(desk);
    let (Some((client_id, redirect_uri)), Some(endpoint)) =
        (client, desk.scene.endpoint("authorization_endpoint"))
    else {
        return not_examined(
            desk,
            "the method plain and near return addresses: no client was registered",
        );
    };
    if !desk.may_attack(&endpoint) {
        return not_examined(
            desk,
            "the method plain and near return addresses: the authorization server is not on this machine; give --attack if it is yours",
        );
    }
    let ask = |desk: &Desk, redirect_uri: &str| {
        authorization_request(desk, &endpoint, &client_id, redirect_uri, true)
    };
    let honest = get(
        desk,
        &ask(desk, &redirect_uri),
        "an honest authorization request",
    )
    .await;
    let nonsense = get(
        desk,
        &ask(desk, "https://portcullis-doctor.invalid/callback"),
        "a return address of somebody else",
    )
    .await;
    // Where pages look alike whatever was asked, nothing can be told without an account.
    if !goes_on(&honest) || goes_on(&nonsense) {
        return not_examined(
            desk,
            "the method plain and near return addresses: the authorization endpoint answers good and bad requests alike until \
             somebody signs in",
        );
    }
    plain(desk, &ask(desk, &redirect_uri)).await;
    for near in near_misses(&redirect_uri) {
        let exchange = get(
            desk,
            &ask(desk, &near),
            "a return address that resembles the registered one",
        )
        .await;
        if goes_on(&exchange) {
            let detail = format!(
                "{redirect_uri} is registered; a request with {near} goes on like the honest one."
            );
            let words = [
                "A return address that only resembles the registered one is taken",
                detail.as_str(),
                "Compare return addresses byte for byte; of loopback addresses only the port may differ.",
            ];
            found(
                desk,
                flaw::REDIRECT_NEAR_MISS_ACCEPTED,
                words,
                &[&honest, &exchange],
            );
            return;
        }
    }
}

async fn plain(desk: &mut Desk, honest: &Url) {
    if desk.notes.has(AUTHORIZE_NO_PKCE_ACCEPTED) {
        return;
    }
    let mut url = honest.clone();
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| {
            let value = if name == "code_challenge_method" {
                "plain".into()
            } else {
                value
            };
            (name.into_owned(), value.into_owned())
        })
        .collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    let exchange = get(
        desk,
        &url,
        "an authorization request with the challenge method plain",
    )
    .await;
    if goes_on(&exchange) {
        let words = [
            "The challenge method plain is taken",
            "With plain, the challenge is the secret: whoever sees the request can use the code.",
            "Refuse every code_challenge_method but S256: redirect back with error=invalid_request.",
        ];
        found(desk, flaw::PKCE_PLAIN_ACCEPTED, words, &[&exchange]);
    }
}

fn client(desk: &Desk) -> Option<(String, String)> {
    let registered = desk.scene.registered.as_ref()?;
    let id = registered.get("client_id")?.as_str()?;
    let uris = registered.get("redirect_uris")?.as_array()?;
    let uri = uris
        .iter()
        .filter_map(Value::as_str)
        .max_by_key(|uri| uri.starts_with("https:"))?;
    Some((id.to_owned(), uri.to_owned()))
}

fn near_misses(uri: &str) -> Vec<String> {
    let mut near = vec![
        format!("{uri}/portcullis-doctor"),
        format!("{uri}?portcullis=doctor"),
        format!("{uri}/../portcullis-doctor"),
        format!("{uri}%2e"),
    ];
    if let Ok(url) = Url::parse(uri)
        && let Some(host) = url.host_str()
    {
        near.push(uri.replacen(host, &format!("{host}.portcullis-doctor.invalid"), 1));
        near.push(uri.replacen(host, &format!("{host}@portcullis-doctor.invalid"), 1));
        near.push(uri.replacen(host, &format!("sub.{host}"), 1));
        if url.scheme() == "https" {
            near.push(uri.replacen("https:", "http:", 1));
        }
    }
    near
}

async fn get(desk: &Desk, url: &Url, purpose: &str) -> Arc<Exchange> {
    let ask = Ask::new(http::Method::GET, url.as_str(), purpose).header("accept", "text/html");
    desk.send(ask).await
}

/// Whether a person would be asked: a page, or a way to one, and no error in it.
fn goes_on(exchange: &Exchange) -> bool {
    match exchange.redirects_to() {
        Some(place) => !place.contains("error="),
        None => exchange.is_success(),
    }
}
