//! Calls with a token of fewer scopes than they need.

use std::sync::Arc;

use ::wire::oauth::read_challenge;
use base::Secret;
use serde_json::{Value, json};

use super::{found, lists, not_examined};
use crate::flaws::attack as flaw;
use crate::flaws::challenge::NO_CHALLENGE;
use crate::flaws::signed_in::{STEP_UP_401, STEP_UP_NO_CHALLENGE};
use crate::signed_in::{McpSession, answer};
use crate::{Desk, Exchange};

/// The most tools that are tried.
const TOOLS_MAX: usize = 8;

/// A token that is to open less.
pub(super) struct Narrow {
    /// The token.
    pub token: Secret<String>,
    /// Whether it has none of the scopes of this server, so that it is to open no tool at all.
    pub has_none: bool,
}

/// Calls the tools that do nothing without arguments, until one is refused.
pub(super) async fn examine(desk: &mut Desk, good: &Secret<String>, narrow: &Narrow) {
    desk.wire.keep_secret(narrow.token.expose());
    let (_, mut all) = McpSession::begin(desk, good).await;
    let listed = all
        .request(
            desk,
            "tools/list with the good token",
            "tools/list",
            json!({}),
        )
        .await;
    all.end(desk).await;
    let (begun, mut few) = McpSession::begin(desk, &narrow.token).await;
    if matches!(begun.status(), Some(401 | 403)) {
        few.end(desk).await;
        judge(desk, "initialize", &begun);
        return;
    }
    let mut carried_out = None;
    let mut was_refused = false;
    for tool in lists::harmless(&listed).iter().take(TOOLS_MAX) {
        let purpose = format!("a call of {tool} with too few scopes, without arguments");
        let call = json!({"name": tool, "arguments": {}});
        let called = few.request(desk, &purpose, "tools/call", call).await;
        if judge(desk, &format!("A call of {tool}"), &called) {
            was_refused = true;
            break;
        }
        if succeeded(&called) {
            carried_out.get_or_insert((tool.clone(), called));
        }
    }
    few.end(desk).await;
    match carried_out {
        _ if was_refused => {}
        Some((tool, called)) if narrow.has_none => {
            let title = format!("{tool} is carried out for a token with none of the scopes");
            let words = [
                title.as_str(),
                "Scopes are published and asked for, and make no difference: whoever was given little may do all.",
                "Say for each tool which scope it needs, and answer 403 with `WWW-Authenticate: Bearer \
                 error=\"insufficient_scope\", scope=\"...\"` to a token without it.",
            ];
            found(desk, flaw::SCOPE_NOT_CHECKED, words, &[&called]);
        }
        _ => not_examined(
            desk,
            "how a call with too few scopes is refused: none was that can be tried without harm",
        ),
    }
}

/// Whether a tool did what it does.
fn succeeded(called: &Exchange) -> bool {
    answer(called).is_some_and(|answer| {
        answer.get("result").is_some()
            && answer.pointer("/result/isError") != Some(&Value::Bool(true))
    })
}

/// Whether `called` is a refusal for want of scope; one that is not as it should be is written down.
fn judge(desk: &mut Desk, what: &str, called: &Arc<Exchange>) -> bool {
    let title = format!(
        "{what} with too few scopes is answered {}",
        called.outcome()
    );
    let change = "Answer 403 with `WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"<all that the call needs>\", \
                  resource_metadata=\"...\"`.";
    let (flaw, detail, told) = match called.status() {
        Some(401) => (
            flaw::SCOPE_AS_401,
            "Clients take 401 for a token that ended: they refresh it, get the same scopes, and go round in circles.",
            STEP_UP_401,
        ),
        Some(403) => {
            let asks = called
                .headers("www-authenticate")
                .iter()
                .filter_map(|line| read_challenge(line))
                .any(|challenge| challenge.error.as_deref() == Some("insufficient_scope"));
            if asks {
                return true;
            }
            (
                flaw::SCOPE_NO_CHALLENGE,
                "Nothing says that more scopes would help, so no client asks the person for them.",
                STEP_UP_NO_CHALLENGE,
            )
        }
        Some(200..=299) if speaks_of_scope(called) => (
            flaw::SCOPE_AS_200,
            "Clients show a failed call and never ask the person for more.",
            STEP_UP_401,
        ),
        _ => return false,
    };
    if !desk.notes.has_any(&[told, NO_CHALLENGE]) {
        found(desk, flaw, [&title, detail, change], &[called]);
    }
    true
}

fn speaks_of_scope(called: &Exchange) -> bool {
    let answer = answer(called).unwrap_or_default();
    let text = match answer.pointer("/error/message") {
        Some(message) => message.as_str(),
        None if answer.pointer("/result/isError") == Some(&Value::Bool(true)) => answer
            .pointer("/result/content/0/text")
            .and_then(Value::as_str),
        None => None,
    };
    let text = text.unwrap_or_default().to_ascii_lowercase();
    ["scope", "permission", "forbidden", "not allowed", "denied"]
        .iter()
        .any(|word| text.contains(word))
}
