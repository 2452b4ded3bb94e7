//! Requests that a page of another site sends, or one that was resolved to this address.

use base::Secret;

use super::{found, knock};
use crate::flaws::attack as flaw;
use crate::{Ask, Desk};

const HOST: &str = "portcullis-doctor.invalid";

/// Without a token.
pub(super) async fn examine(desk: &mut Desk) {
    let own = desk.scene.url.origin().ascii_serialization();
    for origin in [
        "https://portcullis-doctor.invalid",
        "null",
        "http://localhost:6274",
        own.as_str(),
    ] {
        let purpose = format!("initialize from a page of {origin}, without a token");
        let exchange = knock::initialize(desk, &purpose, None, &[("origin", origin)]).await;
        if knock::is_let_in(&exchange) {
            let title = format!("With Origin {origin}, no token is needed");
            let words = [
                title.as_str(),
                "Any program can write any Origin, and any page of that origin gets in.",
                "Ask for a token whatever Origin says; use Origin only to refuse.",
            ];
            found(desk, flaw::FOREIGN_ORIGIN_ACCEPTED, words, &[&exchange]);
            return;
        }
    }
    let purpose = "initialize for another host, without a token";
    let exchange = knock::initialize(desk, purpose, None, &[("host", HOST)]).await;
    let told = exchange
        .headers("www-authenticate")
        .iter()
        .any(|line| line.contains(HOST));
    if told || knock::is_let_in(&exchange) {
        let words = [
            "What clients are told is made from the Host header",
            "Whoever gets a cache or a proxy to pass on another Host sends clients to sign in elsewhere.",
            "Make every URL from one configured public base URL, and answer 421 for other hosts.",
        ];
        found(desk, flaw::FOREIGN_HOST_ACCEPTED, words, &[&exchange]);
    }
}

/// A page elsewhere whose name was made to lead to this machine (DNS rebinding).
pub(super) async fn with_token(desk: &mut Desk, good: &Secret<String>) {
    if !desk.scene.is_loopback || desk.notes.has(flaw::FOREIGN_HOST_ACCEPTED) {
        return;
    }
    let ask = Ask::initialize(
        desk.scene.url.as_str(),
        "initialize for another host, with a good token",
    )
    .header("host", HOST)
    .header("origin", "http://portcullis-doctor.invalid")
    .bearer(good.expose())
    .until("\"jsonrpc\"");
    let exchange = desk.send(ask).await;
    if knock::is_let_in(&exchange) {
        knock::leave(desk, &exchange, good.expose()).await;
        let words = [
            "A server on this machine answers to any host name",
            "A page whose name is made to lead here (DNS rebinding) speaks with it as with its own server.",
            "Refuse requests whose Host is none of the server's names with 421 or 403.",
        ];
        found(desk, flaw::FOREIGN_HOST_ACCEPTED, words, &[&exchange]);
    }
}
