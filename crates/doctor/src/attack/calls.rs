//! Messages that two readers read differently, with a good token. What they ask for does nothing.

use std::sync::Arc;

use base::Secret;
use serde_json::{Value, json};

use super::{found, knock};
use crate::flaws::attack as flaw;
use crate::signed_in::answer;
use crate::{Ask, Desk, Exchange};

pub(super) async fn examine(desk: &mut Desk, good: &Secret<String>) {
    let url = desk.scene.url.to_string();
    let modern = knock::discover(&url, "server/discover with a good token").bearer(good.expose());
    let modern = desk.send(modern.until("\"jsonrpc\"")).await;
    let speaks_modern = knock::is_let_in(&modern);
    duplicate_keys(desk, &url, good, speaks_modern).await;
    if speaks_modern {
        header_and_body(desk, &url, good).await;
    } else {
        super::not_examined(
            desk,
            "headers that disagree with the body: this server does not speak 2026-07-28",
        );
    }
    batch(desk, &url, good).await;
}

async fn duplicate_keys(desk: &mut Desk, url: &str, good: &Secret<String>, speaks_modern: bool) {
    let ask = if speaks_modern {
        let body = knock::discover_body().to_string();
        knock::discover(url, "a message with two methods").body(named_twice(&body))
    } else {
        let ask = Ask::initialize(url, "a message with two methods");
        let body = String::from_utf8_lossy(&ask.body).into_owned();
        ask.body(named_twice(&body))
    };
    let exchange = desk
        .send(ask.bearer(good.expose()).until("\"jsonrpc\""))
        .await;
    if knock::is_let_in(&exchange) {
        knock::leave(desk, &exchange, good.expose()).await;
        let words = [
            "A message that names its method twice is carried out",
            "What stands before the server (a gateway, a filter, a log) may have read the other one.",
            "Refuse JSON in which an object names a member twice, with 400.",
        ];
        found(desk, flaw::DUPLICATE_KEYS, words, &[&exchange]);
    }
}

/// The same object with another method in front.
fn named_twice(body: &str) -> String {
    format!("{{\"method\":\"ping\",{}", &body[1..])
}

async fn header_and_body(desk: &mut Desk, url: &str, good: &Secret<String>) {
    let ask = knock::discover(url, "a header that names another method than the body")
        .header("mcp-method", "tools/list")
        .bearer(good.expose())
        .until("\"jsonrpc\"");
    let exchange = desk.send(ask).await;
    if knock::is_let_in(&exchange) {
        let words = [
            "A body that is not what its header says is carried out",
            "Whatever routes, limits or allows by Mcp-Method is passed with another call inside.",
            "Compare Mcp-Method and Mcp-Name with the body and answer 400 when they differ.",
        ];
        found(desk, flaw::HEADER_BODY_DISAGREE, words, &[&exchange]);
    }
}

async fn batch(desk: &mut Desk, url: &str, good: &Secret<String>) {
    let begun = desk
        .send(
            Ask::initialize(url, "initialize, for a session")
                .bearer(good.expose())
                .until("\"jsonrpc\""),
        )
        .await;
    let version = negotiated(&begun);
    // That version had batches.
    if version.as_deref() == Some("2025-03-26") {
        return;
    }
    let body = json!([
        {"jsonrpc": "2.0", "id": 11, "method": "ping"},
        {"jsonrpc": "2.0", "id": 12, "method": "ping"},
    ]);
    let mut ask = Ask::mcp(url, "two messages in one body", &body).bearer(good.expose());
    if let Some(session) = begun.header("mcp-session-id") {
        ask = ask.header("mcp-session-id", session);
    }
    let version = version.unwrap_or_else(|| knock::MODERN.to_owned());
    let exchange = desk
        .send(ask.header("mcp-protocol-version", &version))
        .await;
    let took_both = exchange.is_success()
        && exchange
            .json()
            .as_ref()
            .and_then(Value::as_array)
            .is_some_and(|answers| answers.iter().any(|one| one.get("result").is_some()));
    if took_both {
        let words = [
            "A batch of messages is carried out",
            "Since 2025-06-18 a body is one message. What checks a body as one message lets the others through unseen.",
            "Answer 400 to a body that is an array.",
        ];
        found(desk, flaw::BATCH_SMUGGLES, words, &[&exchange]);
    }
    knock::leave(desk, &begun, good.expose()).await;
}

fn negotiated(begun: &Arc<Exchange>) -> Option<String> {
    let answer = answer(begun)?;
    Some(
        answer
            .pointer("/result/protocolVersion")?
            .as_str()?
            .to_owned(),
    )
}
