use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use serde_json::json;

use super::mcp_session::McpSession;
use super::token_response::{self, Tokens};
use super::{
    BrowserSignIn, Session, acceptance, add, claims, is_busy, not_examined, refusal, say, well,
};
use crate::flaws::signed_in as flaw;
use crate::{Desk, Exchange};

/// Nobody was ever given this one.
const NEVER_ISSUED: &str = "portcullis-doctor-never-issued-refresh-token";

/// Refreshes as clients do: alone, without a resource, with a scope, several at once.
pub async fn check(desk: &mut Desk, session: &mut Session) {
    let Some(first) = session.tokens.refresh.clone() else {
        return;
    };
    let resource = session.resource.clone();
    let whole = [("resource", resource.as_str())];
    let refreshed = match refresh(desk, session, "refresh", &first, &whole).await {
        Ok(tokens) => tokens,
        Err(exchange) => return refused(desk, &exchange),
    };
    if let Some(exchange) = refreshed.exchange.clone() {
        token_response::check(desk, &exchange, None);
    }
    let has_rotated = refreshed
        .refresh
        .as_ref()
        .is_some_and(|next| next.expose() != first.expose());
    if !has_rotated && session.endpoint.is_public() {
        not_rotated(desk, &refreshed);
    }
    session.tokens = kept(&session.tokens, refreshed);
    if session.is_accepted && !is_taken(desk, &session.tokens).await {
        session.is_accepted = false;
    }
    without_resource(desk, session).await;
    if has_rotated {
        // Its successor was used now, so that nobody can say it was lost on the way.
        session.replaced = Some(first);
    }
    with_scope(desk, session).await;
    at_once(desk, session).await;
    never_issued(desk, session).await;
}

/// Asks for new tokens; the exchange, when there are none.
pub(super) async fn refresh(
    desk: &Desk,
    session: &Session,
    purpose: &str,
    refresh_token: &Secret<String>,
    more: &[(&str, &str)],
) -> Result<Tokens, Arc<Exchange>> {
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.expose().as_str()),
    ];
    fields.extend_from_slice(more);
    let exchange = desk.send(session.endpoint.ask(purpose, &fields)).await;
    match token_response::read(desk, &exchange) {
        Some(tokens) if exchange.status() == Some(200) => Ok(tokens),
        _ => Err(exchange),
    }
}

/// The new tokens, with the old refresh token where no other came: it then stays good.
pub(super) fn kept(old: &Tokens, new: Tokens) -> Tokens {
    Tokens {
        refresh: new.refresh.clone().or_else(|| old.refresh.clone()),
        scope: new.scope.clone().or_else(|| old.scope.clone()),
        ..new
    }
}

fn refused(desk: &mut Desk, exchange: &Arc<Exchange>) {
    add(
        desk,
        flaw::REFRESH_REFUSED,
        exchange,
        format!(
            "A refresh token that was just issued is refused: {}",
            refusal(exchange)
        ),
        "Every client sends its person through the browser again when the access token ends.",
        "Accept refresh tokens of public clients with their client_id alone, and look into the log of the token endpoint at this moment.",
    );
}

fn not_rotated(desk: &mut Desk, tokens: &Tokens) {
    let Some(exchange) = tokens.exchange.clone() else {
        return;
    };
    add(
        desk,
        flaw::REFRESH_NOT_ROTATED,
        &exchange,
        "A refresh does not replace the refresh token".to_owned(),
        "The client has no secret, so a refresh token that is stolen once is good for ever, and nobody notices.",
        "Issue a new refresh token with each refresh, refuse the old one a minute later, and end the session when it comes again after that.",
    );
}

/// Whether the MCP server takes a refreshed token as it took the first.
async fn is_taken(desk: &mut Desk, tokens: &Tokens) -> bool {
    let (begun, mut mcp) = McpSession::begin(desk, &tokens.access).await;
    let mut last = begun;
    if !acceptance::is_refused(&last) {
        last = mcp
            .request(
                desk,
                "tools/list with the refreshed token",
                "tools/list",
                json!({}),
            )
            .await;
    }
    mcp.end(desk).await;
    if acceptance::is_refused(&last) {
        acceptance::refused(desk, &last);
        return false;
    }
    true
}

async fn without_resource(desk: &mut Desk, session: &mut Session) {
    let Some(token) = session.tokens.refresh.clone() else {
        return;
    };
    let audience = claims::audience_of(session.tokens.access.expose());
    let change =
        "Issue a refreshed token for the resource of the first one when the request names none.";
    match refresh(desk, session, "refresh without resource", &token, &[]).await {
        Err(exchange) if is_busy(&exchange) => busy(desk, "a refresh without resource", &exchange),
        Err(exchange) => add(
            desk,
            flaw::REFRESH_NEEDS_RESOURCE,
            &exchange,
            format!(
                "A refresh without resource is refused: {}",
                refusal(&exchange)
            ),
            "Claude Code and some builds of Codex send none, so their people are logged out after an hour.",
            change,
        ),
        Ok(tokens) => {
            let exchange = tokens.exchange.clone();
            let is_other = claims::audience_of(tokens.access.expose()) != audience;
            session.tokens = kept(&session.tokens, tokens);
            if let (true, Some(exchange)) = (is_other, exchange) {
                add(
                    desk,
                    flaw::REFRESH_NEEDS_RESOURCE,
                    &exchange,
                    "A refresh without resource gives a token for another audience".to_owned(),
                    "Claude Code and some builds of Codex send none: after an hour every call of theirs is refused.",
                    change,
                );
                with_resource_again(desk, session).await;
            }
        }
    }
}

/// The rest needs a token that the MCP server takes.
async fn with_resource_again(desk: &mut Desk, session: &mut Session) {
    let Some(token) = session.tokens.refresh.clone() else {
        return;
    };
    let resource = session.resource.clone();
    if let Ok(tokens) = refresh(desk, session, "refresh", &token, &[("resource", &resource)]).await
    {
        session.tokens = kept(&session.tokens, tokens);
    }
}

async fn with_scope(desk: &mut Desk, session: &mut Session) {
    let (Some(token), Some(scope)) = (session.tokens.refresh.clone(), session.tokens.scope.clone())
    else {
        return;
    };
    let resource = session.resource.clone();
    let more = [("resource", resource.as_str()), ("scope", scope.as_str())];
    match refresh(
        desk,
        session,
        "refresh with the granted scopes",
        &token,
        &more,
    )
    .await
    {
        Ok(tokens) => session.tokens = kept(&session.tokens, tokens),
        Err(exchange) if is_busy(&exchange) => busy(desk, "a refresh with scope", &exchange),
        Err(exchange) => add(
            desk,
            flaw::REFRESH_SCOPE_REFUSED,
            &exchange,
            format!(
                "A refresh that names the granted scopes is refused: {}",
                refusal(&exchange)
            ),
            "Codex, Gemini CLI and Copilot CLI send them, so their people are logged out after an hour.",
            "Accept scope on a refresh: what was granted or less of it, and drop what is unknown.",
        ),
    }
}

/// Several programs of one person share a refresh token, and wake at the same moment.
async fn at_once(desk: &mut Desk, session: &mut Session) {
    let Some(token) = session.tokens.refresh.clone() else {
        return;
    };
    let resource = session.resource.clone();
    let more = [("resource", resource.as_str())];
    let one = || {
        refresh(
            desk,
            session,
            "one of five refreshes at once",
            &token,
            &more,
        )
    };
    let (a, b, c, d, e) = tokio::join!(one(), one(), one(), one(), one());
    let (mut tokens, mut failed) = (Vec::new(), Vec::new());
    for outcome in [a, b, c, d, e] {
        match outcome {
            Ok(new) => tokens.push(new),
            Err(exchange) => failed.push(exchange),
        }
    }
    let detail = "Two windows of one client that refresh at the same moment log their person out: \"random logouts\".";
    let change = "Answer a repeated refresh token for a minute as the first time, with the same successor, and end the session only for one that comes later.";
    if let Some(exchange) = failed.iter().find(|exchange| !is_busy(exchange)) {
        add(
            desk,
            flaw::REFRESH_PARALLEL_FAILS,
            exchange,
            format!(
                "Of five refreshes at the same moment {} fail: {}",
                failed.len(),
                refusal(exchange)
            ),
            detail,
            change,
        );
    } else if let Some(exchange) = failed.first() {
        busy(desk, "five refreshes at once", exchange);
    }
    let Some(next) = tokens.pop() else {
        return;
    };
    session.tokens = kept(&session.tokens, next);
    let Some(token) = session.tokens.refresh.clone() else {
        return;
    };
    match refresh(desk, session, "refresh after the five", &token, &more).await {
        Ok(next) => {
            session.tokens = kept(&session.tokens, next);
            if failed.is_empty() {
                well(
                    desk,
                    "refresh: with and without resource, with scope, and five at once",
                );
            }
        }
        Err(exchange) if is_busy(&exchange) => {
            busy(desk, "a refresh after five at once", &exchange)
        }
        Err(exchange) => {
            session.tokens.refresh = None;
            add(
                desk,
                flaw::REFRESH_PARALLEL_FAILS,
                &exchange,
                format!(
                    "Five refreshes at the same moment end the session: {}",
                    refusal(&exchange)
                ),
                detail,
                change,
            );
        }
    }
}

/// Spec: RFC 6749 section 5.2.
async fn never_issued(desk: &mut Desk, session: &Session) {
    let token = Secret::new(NEVER_ISSUED.to_owned());
    let Err(exchange) = refresh(
        desk,
        session,
        "a refresh token that nobody issued",
        &token,
        &[],
    )
    .await
    else {
        return;
    };
    let error = exchange
        .json()
        .and_then(|answer| Some(answer.get("error")?.as_str()?.to_owned()));
    if exchange.status() == Some(400) && error.as_deref() == Some("invalid_grant") {
        return;
    }
    let has_cause = desk.notes.findings().iter().any(|finding| {
        finding.flaw.id.starts_with("token-error") || finding.flaw.id.starts_with("token-unknown")
    });
    if is_busy(&exchange) || has_cause {
        return;
    }
    add(
        desk,
        flaw::REFRESH_DEAD_NOT_INVALID_GRANT,
        &exchange,
        format!(
            "A refresh token that is no good is answered {}",
            refusal(&exchange)
        ),
        "Clients sign in again when they read invalid_grant; for anything else they try again and again, or give up.",
        "Answer 400 with {\"error\": \"invalid_grant\"}.",
    );
}

/// Tries the first refresh token again when no repeat can be meant by it. Says whether that ended the session.
pub(super) async fn check_reuse(
    desk: &mut Desk,
    session: &mut Session,
    sign_in: &BrowserSignIn,
) -> bool {
    let (Some(replaced), Some(wait)) = (session.replaced.take(), sign_in.reuse_after) else {
        not_examined(desk, "whether a replaced refresh token is refused later");
        return false;
    };
    let endpoint = desk.scene.endpoint("token_endpoint");
    if !endpoint.is_some_and(|endpoint| desk.may_attack(&endpoint)) {
        not_examined(
            desk,
            "whether a replaced refresh token is refused later: that looks like theft to a server, and is tried with --attack",
        );
        return false;
    }
    if desk.wire.time_left() < wait + Duration::from_secs(5) {
        not_examined(
            desk,
            "whether a replaced refresh token is refused later: too little time was left",
        );
        return false;
    }
    sign_in.browser.say(&format!(
        "Waiting {} s, to see that a refresh token that was replaced is refused by then; this ends the session.",
        wait.as_secs()
    ));
    tokio::time::sleep(wait).await;
    let resource = session.resource.clone();
    let more = [("resource", resource.as_str())];
    match refresh(
        desk,
        session,
        "a refresh token that was replaced",
        &replaced,
        &more,
    )
    .await
    {
        Ok(tokens) => {
            let exchange = tokens.exchange.clone();
            if let Some(exchange) = exchange {
                add(
                    desk,
                    flaw::REFRESH_REUSE_ACCEPTED,
                    &exchange,
                    format!(
                        "A refresh token is accepted {} s after it was replaced and its successor used",
                        wait.as_secs()
                    ),
                    "Whoever stole it goes on beside its owner, and neither notices.",
                    "Refuse a replaced refresh token after a minute, and end its session: one of the two who have it stole it.",
                );
            }
            false
        }
        Err(exchange) if is_busy(&exchange) => {
            busy(
                desk,
                "whether a replaced refresh token is refused later",
                &exchange,
            );
            false
        }
        Err(_) => {
            well(desk, "a replaced refresh token is refused later");
            has_ended(desk, session).await
        }
    }
}

async fn has_ended(desk: &mut Desk, session: &mut Session) -> bool {
    let Some(token) = session.tokens.refresh.clone() else {
        return false;
    };
    let resource = session.resource.clone();
    let more = [("resource", resource.as_str())];
    match refresh(desk, session, "whether the session lives", &token, &more).await {
        Ok(tokens) => {
            session.tokens = kept(&session.tokens, tokens);
            false
        }
        Err(exchange) if is_busy(&exchange) => false,
        Err(_) => {
            say(
                desk,
                "The session ended when a replaced refresh token came again, as it should.",
            );
            true
        }
    }
}

fn busy(desk: &mut Desk, what: &str, exchange: &Exchange) {
    not_examined(
        desk,
        format!("{what}: the token endpoint answered {}", exchange.outcome()),
    );
}
