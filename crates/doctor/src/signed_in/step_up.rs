use std::sync::Arc;

use ::wire::oauth::read_challenge;
use serde_json::{Value, json};

use super::mcp_session::{McpSession, answer};
use super::refresh::{kept, refresh};
use super::token_response::Tokens;
use super::{Session, add, not_examined, well};
use crate::explain::shown;
use crate::flaws::signed_in as flaw;
use crate::{Desk, Exchange};

/// The most tools that are tried.
const TOOLS_MAX: usize = 8;

/// Calls tools with a token of one scope only, which is to be told what more is needed.
///
/// A tool is tried only when the call can do nothing: it says that it only reads, or it is called without arguments that
/// it needs.
///
/// Spec: RFC 6750 section 3.1; MCP 2025-11-25 authorization, "Scope Challenge Handling".
pub(super) async fn check(desk: &mut Desk, session: &mut Session) {
    if !session.is_accepted {
        return;
    }
    let Some((narrow, scope)) = narrowed(desk, session).await else {
        return;
    };
    let scope = shown(&scope, 60);
    let (_, mut mcp) = McpSession::begin(desk, &session.tokens.access).await;
    let listed = mcp
        .request(desk, "tools/list with all scopes", "tools/list", json!({}))
        .await;
    let tools = harmless(&listed);
    // Not each server lets a session go on with another token.
    mcp.end(desk).await;
    let (_, mut mcp) = McpSession::begin(desk, &narrow.access).await;
    for tool in tools.iter().take(TOOLS_MAX) {
        let purpose = format!("a call with no scope but {scope}");
        let call = json!({ "name": tool, "arguments": {} });
        let called = mcp.request(desk, &purpose, "tools/call", call).await;
        if matches!(called.status(), Some(401 | 403)) {
            mcp.end(desk).await;
            return judge(desk, &called, tool, &scope);
        }
    }
    mcp.end(desk).await;
    not_examined(
        desk,
        format!(
            "step-up: no tool that can be tried without harm was refused to a token with no scope but {scope}"
        ),
    );
}

/// A token with one of the scopes that were granted, and that scope.
async fn narrowed(desk: &mut Desk, session: &mut Session) -> Option<(Tokens, String)> {
    let token = session.tokens.refresh.clone()?;
    let granted = session.tokens.scope.clone().unwrap_or_default();
    let scopes: Vec<&str> = granted
        .split_whitespace()
        .filter(|scope| *scope != "offline_access" && *scope != "openid")
        .collect();
    if scopes.len() < 2 {
        not_examined(
            desk,
            "step-up: a single scope was granted, so no token can have less",
        );
        return None;
    }
    let scope = scopes
        .iter()
        .find(|scope| scope.contains("read"))
        .unwrap_or(&scopes[0])
        .to_string();
    let resource = session.resource.clone();
    let more = [("resource", resource.as_str()), ("scope", scope.as_str())];
    let Ok(narrow) = refresh(desk, session, "refresh for one scope", &token, &more).await else {
        not_examined(desk, "step-up: no token with fewer scopes was issued");
        return None;
    };
    let is_narrow = !scopes
        .iter()
        .any(|other| *other != scope && narrow.has_scope(other));
    // What was granted stays the session's (RFC 6749 section 6).
    session.tokens = Tokens {
        access: session.tokens.access.clone(),
        scope: Some(granted.clone()),
        ..kept(&session.tokens, narrow.clone())
    };
    if !is_narrow || narrow.scope.is_none() {
        not_examined(
            desk,
            "step-up: a token that was asked for with one scope has them all",
        );
        return None;
    }
    Some((narrow, scope))
}

/// The names of tools that can be called without doing anything.
fn harmless(listed: &Exchange) -> Vec<String> {
    let answer = answer(listed).unwrap_or_default();
    let tools = answer.pointer("/result/tools").and_then(Value::as_array);
    let is_harmless = |tool: &&Value| {
        let reads = tool.pointer("/annotations/readOnlyHint") == Some(&Value::Bool(true));
        let needs = tool
            .pointer("/inputSchema/required")
            .and_then(Value::as_array)
            .is_some_and(|needed| !needed.is_empty());
        reads || needs
    };
    let mut tools: Vec<&Value> = tools.into_iter().flatten().filter(is_harmless).collect();
    // Those that change something are the likelier to need more.
    tools.sort_by_key(|tool| tool.pointer("/annotations/readOnlyHint") == Some(&Value::Bool(true)));
    tools
        .iter()
        .filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned()))
        .collect()
}

fn judge(desk: &mut Desk, called: &Arc<Exchange>, tool: &str, scope: &str) {
    let tool = shown(tool, 60);
    if called.status() == Some(401) {
        return add(
            desk,
            flaw::STEP_UP_401,
            called,
            format!("A call of {tool} with too little scope is answered 401"),
            "The client takes its token for bad: it refreshes, is refused again, and sends its person through the browser for the same scopes, for ever.",
            "Answer 403 with WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"...\", resource_metadata=\"...\".",
        );
    }
    let challenge = called
        .headers("www-authenticate")
        .iter()
        .find_map(|line| read_challenge(line));
    let missing = match challenge {
        None => "has no Bearer challenge".to_owned(),
        Some(challenge) if challenge.error.as_deref() != Some("insufficient_scope") => {
            "has a challenge without error=\"insufficient_scope\"".to_owned()
        }
        Some(challenge) if challenge.scope.is_none() => {
            "does not say which scopes are needed".to_owned()
        }
        Some(_) => {
            return well(
                desk,
                "a call with too little scope is told what more is needed",
            );
        }
    };
    add(
        desk,
        flaw::STEP_UP_NO_CHALLENGE,
        called,
        format!("The 403 to a call of {tool} with too little scope {missing}"),
        &format!(
            "A client that holds {scope} cannot know what to ask its person for, and shows an error instead."
        ),
        "Add WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"all that the call needs\", resource_metadata=\"...\".",
    );
}
