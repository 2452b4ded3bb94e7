//! What must be refused: tokens that are not good here, ways around the check, calls that are two calls, ways to a code.
//!
//! It is only tried against the URL that was given, on this machine or with leave, one request after the other. Whatever
//! is sent is `initialize`, a list, or a call that can do nothing.

mod authorize;
mod bad_tokens;
mod calls;
mod claims;
mod foreign;
mod forge;
mod knock;
mod lists;
mod own_key;
mod paths;
mod scopes;

use std::sync::Arc;

use base::Secret;

use crate::flaws::challenge::{ERROR_IN_200, NO_401, OPEN_METHODS, OPEN_SERVER};
use crate::flaws::signed_in::ACCEPTED_THEN_REFUSED;
use crate::{Desk, Exchange, Finding, Flaw, Section};

/// What attacks are made of that nobody can make without leave.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    /// A private key that the authorization server signs with, as PEM: the doctor mints what a correct server never issues.
    pub signing_key_pem: Option<Secret<String>>,
    /// A token that is good and has fewer scopes than the one of the session.
    pub narrow_token: Option<Secret<String>>,
    /// A token that was good once.
    pub expired_token: Option<Secret<String>>,
    /// A token of the same issuer for another resource.
    pub other_audience_token: Option<Secret<String>>,
}

/// Tries each.
pub async fn examine(desk: &mut Desk) {
    if !desk.scene.is_loopback && !desk.plan.attack {
        return not_examined(
            desk,
            "anything: this server is not on this machine; give --attack if it is yours",
        );
    }
    if desk.notes.has_any(&[OPEN_SERVER, OPEN_METHODS]) {
        return not_examined(desk, "anything: the server lets in whoever has no token");
    }
    if desk
        .scene
        .without_token
        .as_ref()
        .and_then(|exchange| exchange.status())
        != Some(401)
        && !desk.notes.has_any(&[NO_401, ERROR_IN_200])
    {
        return not_examined(desk, "anything: the server does not refuse a missing token");
    }
    let found_before = desk.notes.findings().len();
    paths::examine(desk).await;
    foreign::examine(desk).await;
    let refuses = bad_tokens::examine(desk).await;
    authorize::examine(desk).await;
    let minted = own_key::examine(desk, refuses).await;
    let is_minted = minted.is_some();
    match minted.or_else(|| session_token(desk)) {
        Some(good) => with_token(desk, &good, is_minted).await,
        None => not_examined(
            desk,
            "tokens in the URL, lists, scopes, duplicate members and batches: that takes a good token (--sign-in or --token-file)",
        ),
    }
    if desk.notes.findings().len() == found_before {
        desk.notes.well(
            Section::Attack,
            "whatever was tried without a good token was refused",
        );
    }
}

async fn with_token(desk: &mut Desk, good: &Secret<String>, is_minted: bool) {
    let begun = knock::initialize(
        desk,
        "initialize with the good token",
        Some(good.expose()),
        &[],
    )
    .await;
    if !knock::is_let_in(&begun) {
        return not_examined(
            desk,
            format!(
                "what a good token opens: the server answers it {}",
                begun.outcome()
            ),
        );
    }
    knock::leave(desk, &begun, good.expose()).await;
    foreign::with_token(desk, good).await;
    bad_tokens::carried_otherwise(desk, good).await;
    calls::examine(desk, good).await;
    let narrow = desk.plan.attack_materials.narrow_token.clone();
    lists::examine(desk, narrow.as_ref().unwrap_or(good)).await;
    let given = narrow.map(|token| scopes::Narrow {
        token,
        has_none: false,
    });
    let minted = || {
        is_minted
            .then(|| own_key::without_scopes(desk, good))
            .flatten()
    };
    match given.or_else(minted) {
        Some(narrow) => scopes::examine(desk, good, &narrow).await,
        None => not_examined(
            desk,
            "whether scopes are checked: that takes a token with fewer of them (--narrow-token-file)",
        ),
    }
}

/// The token of the session, unless it is no good here.
fn session_token(desk: &Desk) -> Option<Secret<String>> {
    if desk.notes.has(ACCEPTED_THEN_REFUSED) {
        return None;
    }
    Some(desk.scene.signed_in.as_ref()?.access_token.clone())
}

fn not_examined(desk: &mut Desk, why: impl Into<String>) {
    desk.notes.not_examined(Section::Attack, why);
}

/// Writes down what was let through.
fn found(desk: &mut Desk, flaw: Flaw, words: [&str; 3], shown_by: &[&Arc<Exchange>]) {
    let [title, detail, change] = words;
    let mut finding = Finding::new(flaw, title, detail, change);
    for exchange in shown_by {
        finding = finding.shown_by(desk.wire.evidence(exchange));
    }
    desk.notes.add(finding);
}
