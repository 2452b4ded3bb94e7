use std::time::Duration;

use serde_json::json;

use super::mcp_session::McpSession;
use super::{Session, found, not_examined, well};
use crate::Desk;
use crate::flaws::signed_in as flaw;

/// How long the end of a session may take to be felt, in tries.
const TRIES: u32 = 10;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// Ends the session, unless it has ended, and looks whether the MCP server notices.
///
/// Spec: RFC 7009 section 2.
pub(super) async fn check(desk: &mut Desk, session: &Session, has_ended: bool) {
    let (_, mut mcp) = McpSession::begin(desk, &session.tokens.access).await;
    if !has_ended && !end(desk, session).await {
        return mcp.end(desk).await;
    }
    if !session.is_accepted {
        return;
    }
    for _ in 0..TRIES {
        let asked = mcp
            .request(
                desk,
                "the token of a session that has ended",
                "tools/list",
                json!({}),
            )
            .await;
        if asked.status() == Some(401) {
            return well(desk, "the MCP server feels the end of a session");
        }
        if !asked.is_success() {
            let why = format!(
                "whether the end of a session is felt: the MCP server answered {}",
                asked.outcome()
            );
            return not_examined(desk, why);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let last = mcp
        .request(
            desk,
            "the token of a session that has ended",
            "tools/list",
            json!({}),
        )
        .await;
    if !last.is_success() {
        return;
    }
    mcp.end(desk).await;
    let seconds = (TRIES * PAUSE).as_secs();
    found(
        desk,
        flaw::REVOCATION_NOT_FELT,
        [
            format!("The MCP server takes a token {seconds} s after its session ended"),
            "Whoever is signed out, dismissed or robbed of a device goes on calling tools until the access token ends by itself.".to_owned(),
            "Ask the introspection endpoint (RFC 7662) with a short cache, follow a feed of revocations, or let access tokens live for minutes only.".to_owned(),
        ],
        [last],
    );
}

/// Revokes what there is. Says whether that was possible.
async fn end(desk: &mut Desk, session: &Session) -> bool {
    let Some(endpoint) = desk.scene.endpoint("revocation_endpoint") else {
        not_examined(
            desk,
            "revocation: the metadata names no revocation_endpoint",
        );
        return false;
    };
    if !desk.may_have_secrets(&endpoint) {
        not_examined(
            desk,
            "revocation: its endpoint is not at the issuer's own origin, and tokens are sent nowhere else",
        );
        return false;
    }
    let tokens = [
        (session.tokens.refresh.as_ref(), "refresh_token"),
        (Some(&session.tokens.access), "access_token"),
    ];
    let mut is_done = false;
    for (token, hint) in tokens {
        let Some(token) = token else { continue };
        let fields = [
            ("token", token.expose().as_str()),
            ("token_type_hint", hint),
        ];
        let ask = session.endpoint.ask_at(
            endpoint.as_str(),
            &format!("revoke the {}", hint.replace('_', " ")),
            &fields,
        );
        let exchange = desk.send(ask).await;
        is_done |= exchange.is_success();
    }
    if !is_done {
        not_examined(
            desk,
            "revocation: the revocation endpoint refused the token",
        );
    }
    is_done
}
