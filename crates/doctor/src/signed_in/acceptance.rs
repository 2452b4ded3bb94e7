use std::sync::Arc;

use ::wire::oauth::read_challenge;
use serde_json::json;

use super::mcp_session::McpSession;
use super::token_response::Tokens;
use super::{SignIn, found, not_examined, well};
use crate::explain::{Form, read, shown};
use crate::flaws::signed_in as flaw;
use crate::{Desk, Exchange, Flaw};

/// What makes a careful server refuse a token, so that its refusal is no second flaw.
const CAUSES: [Flaw; 6] = [
    flaw::TOKEN_AUD_MISSING,
    flaw::TOKEN_AUD_OTHER,
    flaw::TOKEN_ISS_OTHER,
    flaw::TOKEN_SUB_MISSING,
    flaw::TOKEN_EXP_MISSING,
    flaw::TOKEN_NOT_VERIFIABLE,
];

/// Shows the token to the MCP server, which must take it. Says whether it does.
pub async fn check(desk: &mut Desk, tokens: &Tokens) -> bool {
    if let Some(why) = is_over(desk, tokens) {
        not_examined(desk, why);
        return false;
    }
    let (begun, mut mcp) = McpSession::begin(desk, &tokens.access).await;
    let mut last = begun;
    if !is_refused(&last) {
        last = mcp
            .request(desk, "tools/list with the token", "tools/list", json!({}))
            .await;
    }
    mcp.end(desk).await;
    if is_refused(&last) {
        match lacks(desk, tokens) {
            Some(scope) => not_examined(
                desk,
                format!(
                    "whether the MCP server takes a good token: this one has no scope of {}, which the challenge names, and it \
                     answered {}",
                    shown(&scope, 100),
                    last.outcome()
                ),
            ),
            None => refused(desk, &last),
        }
        return false;
    }
    if !last.is_success() {
        not_examined(
            desk,
            format!(
                "whether the MCP server takes the token: it answered {}",
                last.outcome()
            ),
        );
        return false;
    }
    well(desk, "the MCP server takes the token");
    true
}

/// The scopes that the challenge names, when the token is known to have none of them: its refusal is no wonder.
fn lacks(desk: &Desk, tokens: &Tokens) -> Option<String> {
    let named = desk.scene.challenge.as_ref()?.scope.as_ref()?.to_string();
    let of_claim = match read(tokens.access.expose()).0 {
        Form::Jwt(jwt) => jwt
            .claims
            .get("scope")
            .map(|scope| scope.as_str().unwrap_or_default().to_owned())
            .or_else(|| jwt.claims.get("scp").is_none().then(String::new)),
        _ => None,
    };
    let has = tokens.scope.clone().or(of_claim)?;
    let is_there = |scope: &str| has.split(' ').any(|own| own == scope);
    let mut needed = named.split_whitespace().peekable();
    (needed.peek().is_some() && !needed.any(is_there)).then_some(named)
}

/// A token that was given may have ended meanwhile, which says nothing about the server.
fn is_over(desk: &Desk, tokens: &Tokens) -> Option<String> {
    let Form::Jwt(jwt) = read(tokens.access.expose()).0 else {
        return None;
    };
    let exp = jwt.claims.get("exp")?.as_i64()?;
    let was_given = matches!(desk.plan.sign_in, SignIn::Token(_));
    (was_given && exp <= desk.plan.clock.now().unix_seconds()).then(|| {
        "what the MCP server does with the token: the one that was given has ended".to_owned()
    })
}

/// Whether it is the token that was refused, and not only one act for want of a scope.
pub fn is_refused(exchange: &Exchange) -> bool {
    match exchange.status() {
        Some(401) => true,
        Some(403) => !exchange
            .headers("www-authenticate")
            .iter()
            .filter_map(|line| read_challenge(line))
            .any(|challenge| challenge.error.as_deref() == Some("insufficient_scope")),
        _ => false,
    }
}

/// Writes down that the server refuses what was issued for it, unless it must.
pub fn refused(desk: &mut Desk, exchange: &Arc<Exchange>) {
    if desk.notes.has_any(&CAUSES) {
        return not_examined(
            desk,
            "what the MCP server does with a good token: it refuses this one, as it must for what is wrong with it",
        );
    }
    let said = exchange
        .headers("www-authenticate")
        .iter()
        .filter_map(|line| read_challenge(line))
        .find_map(|challenge| challenge.error_description.or(challenge.error))
        .map_or(String::new(), |said| {
            format!(" It says: {}.", shown(&said, 200))
        });
    let by = if exchange.is_html() {
        " The answer is a page for people, so it comes from a firewall or a proxy in front of the server."
    } else {
        ""
    };
    let given = if matches!(desk.plan.sign_in, SignIn::Token(_)) {
        " Unless the token that was given is revoked or another server's."
    } else {
        ""
    };
    found(
        desk,
        flaw::ACCEPTED_THEN_REFUSED,
        [
            format!("The MCP server answers {} to a token that was issued for it", exchange.outcome()),
            format!("Every client signs in and then says that it is not authorized.{said}{by}{given}"),
            "Let the MCP server verify with the issuer, audience and keys of this authorization server, and let no proxy take the Authorization header away.".to_owned(),
        ],
        [Arc::clone(exchange)],
    );
}
