//! Tokens that anybody can make, and a good one that is carried otherwise than in the header.

use std::sync::Arc;

use base::{Secret, random_token};

use super::{claims, forge, found, knock};
use crate::flaws::attack as flaw;
use crate::flaws::challenge::{ERROR_IN_200, NO_401};
use crate::{Ask, Desk, Exchange, Flaw};

const VERIFY: &str = "Verify every token with a library: its signature by the issuer's published keys, only the algorithms that you \
                      issue, then iss, aud and exp.";

/// What came of the tokens that are plainly bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refuses {
    /// All of them.
    Yes,
    /// Not all, so that finer faults say nothing.
    No,
}

/// Tries each bad token until one is let in: what lets in garbage lets in everything after it.
pub(super) async fn examine(desk: &mut Desk) -> Refuses {
    let garbage = random_token(&*desk.plan.random, "portcullis-doctor-");
    let exchange = tried(desk, "a token that is none", &garbage).await;
    if knock::is_let_in(&exchange) {
        let words = [
            "Any text is taken for a token",
            "The Authorization header only has to be there. Anybody is let in.",
            VERIFY,
        ];
        found(desk, flaw::ACCEPTS_GARBAGE, words, &[&exchange]);
        return Refuses::No;
    }
    refused_rightly(desk, &exchange, &garbage);
    let claims = claims::good(desk);
    let key = forge::signing_key(desk.scene.jwks.as_ref());
    let noise = random_token(&*desk.plan.random, "");
    let forged = forge::badly_signed(key.as_ref(), &claims, noise.as_bytes());
    let mut attempts: Vec<(Flaw, &str, &str, String)> = vec![(
        flaw::ACCEPTS_FORGED_SIGNATURE,
        "a JWT with a signature of nobody",
        "A JWT is read and its signature is not verified",
        forged,
    )];
    for alg in ["none", "None", "NONE"] {
        attempts.push((
            flaw::ACCEPTS_ALG_NONE,
            "a JWT without a signature",
            "A JWT without a signature is taken",
            forge::without_signature(alg, &claims),
        ));
    }
    if let Some(key) = &key {
        for token in forge::with_public_key(key, &claims) {
            attempts.push((
                flaw::ACCEPTS_HS256_PUBLIC_KEY,
                "a JWT signed with the public key as a secret",
                "The public key is taken for a shared secret",
                token,
            ));
        }
    }
    let kid = random_token(&*desk.plan.random, "doctor-");
    if let Some(token) = forge::with_own_key(&claims, &kid) {
        attempts.push((
            flaw::ACCEPTS_UNKNOWN_KID,
            "a JWT signed with a key of its own",
            "A JWT that brings its own key is taken",
            token,
        ));
    }
    for (flaw, purpose, title, token) in attempts {
        let exchange = tried(desk, purpose, &token).await;
        if knock::is_let_in(&exchange) {
            let words = [
                title,
                "Anybody can make such a token, for any person and with any scope.",
                VERIFY,
            ];
            found(desk, flaw, words, &[&exchange]);
            return Refuses::No;
        }
    }
    Refuses::Yes
}

async fn tried(desk: &Desk, purpose: &str, token: &str) -> Arc<Exchange> {
    let exchange = knock::initialize(desk, purpose, Some(token), &[]).await;
    if knock::is_let_in(&exchange) {
        knock::leave(desk, &exchange, token).await;
    }
    exchange
}

/// Whether the refusal is a 401 that keeps the token to itself.
fn refused_rightly(desk: &mut Desk, exchange: &Arc<Exchange>, token: &str) {
    let Ok(answer) = &exchange.answer else {
        return;
    };
    let repeats = exchange.text().contains(token)
        || answer
            .headers
            .values()
            .any(|value| String::from_utf8_lossy(value.as_bytes()).contains(token));
    if repeats {
        let words = [
            "The refusal repeats the token",
            "What is refused today may be good elsewhere, or tomorrow; answers are logged, cached and shown on pages.",
            "Say what is wrong with a token, never the token.",
        ];
        found(desk, flaw::ERROR_LEAKS_TOKEN, words, &[exchange]);
    }
    if exchange.status() != Some(401) && !desk.notes.has_any(&[NO_401, ERROR_IN_200]) {
        let title = format!("A bad token is answered {}", exchange.outcome());
        let words = [
            title.as_str(),
            "Clients refresh or sign in again when they see 401. Anything else they show as a failure, for ever.",
            "Answer every token that is not good with 401 and `WWW-Authenticate: Bearer error=\"invalid_token\", ...`.",
        ];
        found(desk, flaw::BAD_TOKEN_NOT_401, words, &[exchange]);
    }
}

/// A good token in the URL, and with its scheme in small letters.
pub(super) async fn carried_otherwise(desk: &mut Desk, good: &Secret<String>) {
    desk.wire.keep_secret(good.expose());
    let mut url = desk.scene.url.clone();
    url.query_pairs_mut()
        .append_pair("access_token", good.expose());
    let ask = Ask::initialize(url.as_str(), "a good token in the URL").until("\"jsonrpc\"");
    let in_url = desk.send(ask).await;
    if knock::is_let_in(&in_url) {
        knock::leave(desk, &in_url, good.expose()).await;
        let words = [
            "A token in the URL is taken",
            "URLs stand in the logs of every proxy on the way, in histories and in Referer headers.",
            "Take tokens from the Authorization header only.",
        ];
        found(desk, flaw::ACCEPTS_TOKEN_IN_QUERY, words, &[&in_url]);
    }
    let small = format!("bearer {}", good.expose());
    let exchange = knock::initialize(
        desk,
        "a good token with its scheme in small letters",
        None,
        &[("authorization", &small)],
    )
    .await;
    if knock::is_let_in(&exchange) {
        knock::leave(desk, &exchange, good.expose()).await;
    } else if exchange.status() == Some(401) {
        let words = [
            "`bearer` in small letters is not known",
            "Some HTTP libraries write the scheme so; their users are sent to sign in for ever.",
            "Compare the scheme without regard to case.",
        ];
        found(desk, flaw::BEARER_CASE_SENSITIVE, words, &[&exchange]);
    }
}
