//! The same refusal, however a client asks first.

use http::Method;
use serde_json::{Value, json};

use crate::flaws::challenge::{
    DELETE_NOT_401, DEPENDS_ON_ACCEPT, DEPENDS_ON_PROTOCOL_VERSION, GET_NOT_401, HEAD_NOT_401,
    NO_CHALLENGE, OPEN_METHODS,
};
use crate::{Ask, Desk, Exchange, Failure, Finding, Flaw};

pub(super) async fn examine(desk: &mut Desk) {
    http_methods(desk).await;
    mcp_methods(desk).await;
    versions(desk).await;
    accepts(desk).await;
}

async fn http_methods(desk: &mut Desk) {
    let mut get_status = None;
    for (method, flaw, who) in [
        (
            Method::GET,
            GET_NOT_401,
            "Codex and mcp-remote ask with GET first and see no login",
        ),
        (
            Method::HEAD,
            HEAD_NOT_401,
            "Gemini CLI asks with HEAD first and sees no login",
        ),
        (
            Method::DELETE,
            DELETE_NOT_401,
            "whoever knows a session's id may be able to end it",
        ),
    ] {
        let ask = Ask::new(
            method.clone(),
            desk.scene.url.as_str(),
            format!("{method} without a token"),
        )
        .header("accept", "text/event-stream, application/json")
        .until("\n\n");
        let exchange = desk.send(ask).await;
        if is_refused(desk, &exchange, method != Method::DELETE) {
            continue;
        }
        // A server whose sessions nobody ends says so with 405, and then there is nothing to guard (Streamable HTTP, Session
        // Management).
        if method == Method::DELETE && exchange.status() == Some(405) {
            continue;
        }
        // A server that treats HEAD as GET has one fault, not two.
        if method == Method::GET {
            get_status = exchange.status();
        } else if method == Method::HEAD && get_status.is_some() && get_status == exchange.status()
        {
            continue;
        }
        let outcome = exchange.outcome();
        desk.notes.add(
            Finding::new(
                flaw,
                format!("{method} without a token is answered {outcome}"),
                format!("POST is answered 401, {method} is not: {who}."),
                format!("Check the token before the method: answer {method} at the MCP URL without one like POST, 401 with the challenge."),
            )
            .shown_by(desk.wire.evidence(&exchange)),
        );
    }
}

/// Whether the answer is a 401 as it should be. What is no answer for want of budget counts as one.
fn is_refused(desk: &Desk, exchange: &Exchange, wants_challenge: bool) -> bool {
    if matches!(exchange.answer, Err(Failure::LimitReached(_))) {
        return true;
    }
    let has_challenge = exchange
        .headers("www-authenticate")
        .iter()
        .any(|line| super::bearer_part(line).is_some());
    exchange.status() == Some(401)
        && (has_challenge || !wants_challenge || desk.notes.has(NO_CHALLENGE))
}

async fn mcp_methods(desk: &mut Desk) {
    for (method, params) in [
        ("tools/list", json!({})),
        (
            "tools/call",
            json!({"name": "portcullis-doctor-no-such-tool", "arguments": {}}),
        ),
        ("resources/list", json!({})),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params});
        let ask = Ask::mcp(
            desk.scene.url.as_str(),
            format!("{method} without a token"),
            &body,
        )
        .until("\"jsonrpc\"");
        let exchange = desk.send(ask).await;
        if exchange.is_success() {
            desk.notes.add(
                Finding::new(
                    OPEN_METHODS,
                    format!("{method} is answered without a token"),
                    format!(
                        "initialize is refused without a token, but {method} is answered {}. Anybody who leaves the first step out \
                         gets in.",
                        exchange.outcome()
                    ),
                    "Check the token for every request to the MCP URL, before the body is read.",
                )
                .shown_by(desk.wire.evidence(&exchange)),
            );
        }
    }
}

async fn versions(desk: &mut Desk) {
    let url = desk.scene.url.to_string();
    let discover: Value = json!({
        "jsonrpc": "2.0", "id": 1, "method": "server/discover",
        "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "portcullis-doctor", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    });
    let asks = [
        Ask::initialize_as(&url, "initialize, version 2024-11-05", "2024-11-05")
            .header("mcp-protocol-version", "2024-11-05"),
        Ask::initialize_as(&url, "initialize, version 2025-06-18", "2025-06-18"),
        Ask::mcp(&url, "server/discover, version 2026-07-28", &discover)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "server/discover")
            .until("\"jsonrpc\""),
        Ask::initialize_as(&url, "initialize, a version of the future", "2031-01-01")
            .header("mcp-protocol-version", "2031-01-01"),
    ];
    depends(
        desk,
        asks,
        DEPENDS_ON_PROTOCOL_VERSION,
        "Whether a missing token is answered 401 depends on the protocol version",
        "Codex asks with 2024-11-05 first, FastMCP and Claude Code with 2026-07-28; those get no login.",
        "Check the token before the protocol version is looked at.",
    )
    .await;
}

async fn accepts(desk: &mut Desk) {
    let url = desk.scene.url.to_string();
    let with = |purpose: &str, accept: Option<&str>| {
        let mut ask = Ask::initialize(&url, purpose);
        ask.headers.remove("accept");
        match accept {
            Some(accept) => ask.header("accept", accept),
            None => ask,
        }
    };
    let asks = [
        with("initialize without Accept", None),
        with(
            "initialize that accepts JSON only",
            Some("application/json"),
        ),
        with("initialize that accepts anything", Some("*/*")),
    ];
    depends(
        desk,
        asks,
        DEPENDS_ON_ACCEPT,
        "Whether a missing token is answered 401 depends on Accept",
        "Clients that ask with another Accept, or none, when they look whether a login is needed get no login.",
        "Check the token before the media types are looked at.",
    )
    .await;
}

async fn depends<const N: usize>(
    desk: &mut Desk,
    asks: [Ask; N],
    flaw: Flaw,
    title: &str,
    detail: &str,
    change: &str,
) {
    for ask in asks {
        let exchange = desk.send(ask).await;
        if is_refused(desk, &exchange, true) {
            continue;
        }
        desk.notes.add(
            Finding::new(
                flaw,
                title,
                format!(
                    "{} is answered {}. {detail}",
                    exchange.ask.purpose,
                    exchange.outcome()
                ),
                change,
            )
            .shown_by(desk.wire.evidence(&exchange)),
        );
    }
}
