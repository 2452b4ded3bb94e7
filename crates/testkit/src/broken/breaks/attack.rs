//! What a server must refuse and this one does not.

use super::super::exchange::Content;
use super::super::rules::ScopeRefusal;
use super::{Break, is_mcp};

pub(super) const BREAKS: &[Break] = &[
    Break::rules("accepts-garbage", |rules| rules.any_text_is_a_token = true),
    Break::rules("accepts-forged-signature", |rules| {
        rules.signature_is_checked = false
    }),
    Break::rules("accepts-expired", |rules| rules.expiry_is_checked = false),
    Break::rules("accepts-wrong-audience", |rules| {
        rules.audience_is_checked = false
    }),
    Break::rules("accepts-no-audience", |rules| {
        rules.audience_is_required = false
    }),
    Break::rules("accepts-other-issuer", |rules| {
        rules.issuer_is_checked = false
    }),
    Break::rules("accepts-alg-none", |rules| {
        rules.none_is_an_algorithm = true
    }),
    Break::rules("accepts-hs256-public-key", |rules| {
        rules.public_key_is_a_secret = true
    }),
    Break::rules("accepts-unknown-kid", |rules| {
        rules.unknown_kid_passes = true
    }),
    Break::rules("accepts-token-in-query", |rules| {
        rules.token_in_query = true
    }),
    Break::rules("bearer-case-sensitive", |rules| {
        rules.only_capital_bearer = true
    }),
    Break::rules("expired-not-401", |rules| rules.expired_status = 403),
    Break::rules("bad-token-not-401", |rules| rules.bad_token_status = 500),
    Break::rules("foreign-origin-accepted", |rules| {
        rules.foreign_origin_passes = true
    }),
    Break::rules("foreign-host-accepted", |rules| {
        rules.host_is_checked = false
    }),
    Break::rules("scope-as-401", |rules| {
        rules.scope_refusal = ScopeRefusal::Unauthorized
    }),
    Break::rules("scope-as-200", |rules| {
        rules.scope_refusal = ScopeRefusal::Success
    }),
    Break::rules("scope-no-challenge", |rules| {
        rules.scope_refusal = ScopeRefusal::NoChallenge
    }),
    Break::rules("scope-not-checked", |rules| {
        rules.scope_refusal = ScopeRefusal::None
    }),
    Break::rules("lists-leak-json", |rules| rules.hidden_tool_in_json = true),
    Break::rules("lists-leak-sse", |rules| rules.hidden_tool_in_stream = true),
    Break::rules("path-well-known-open", |rules| {
        rules.open_path = |path| path.starts_with("/mcp/.well-known/");
    }),
    Break::rules("path-encoded-open", |rules| {
        rules.open_path = |path| path.contains('%') && path.ends_with("cp");
    }),
    Break::rules("path-double-slash-open", |rules| {
        rules.open_path = |path| path == "//mcp"
    }),
    Break::rules("path-case-open", |rules| {
        rules.open_path = |path| path != "/mcp" && path.eq_ignore_ascii_case("/mcp");
    }),
    Break::rules("duplicate-keys", |rules| rules.duplicate_keys = true),
    Break::rules("header-body-disagree", |rules| rules.header_agrees = false),
    Break::rules("batch-smuggles", |rules| rules.batches = true),
    Break::rules("pkce-plain-accepted", |rules| rules.plain_challenge = true),
    Break::rules("redirect-near-miss-accepted", |rules| {
        rules.near_redirects = true
    }),
    Break::rules("code-replay-accepted", |rules| rules.code_is_spent = false),
    Break::answers("error-leaks-token", |_, ask, answer| {
        let token = ask
            .header("authorization")
            .and_then(|line| line.split_once(' '));
        if is_mcp(ask)
            && answer.status == 401
            && let Some((_, token)) = token
        {
            let text = serde_json::json!({"error": "invalid_token", "error_description": format!("cannot verify {token}")});
            answer.content = Content::Whole(text.to_string().into_bytes());
        }
    }),
];
