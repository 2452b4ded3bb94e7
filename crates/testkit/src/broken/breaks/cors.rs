//! What pages may read.

use serde_json::json;

use super::super::exchange::Answer;
use super::{Break, is_mcp};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("preflight-refused", |_, ask, answer| {
        if ask.method == "OPTIONS" && is_mcp(ask) {
            *answer = Answer::json(405, &json!({"error": "method_not_allowed"}));
        }
    }),
    Break::answers("preflight-needs-token", |_, ask, answer| {
        if ask.method == "OPTIONS" && is_mcp(ask) {
            *answer = Answer::json(401, &json!({"error": "unauthorized"}))
                .with("www-authenticate", "Bearer");
        }
    }),
    Break::answers("cors-no-origin", |_, ask, answer| {
        if is_mcp(ask) {
            answer.remove("access-control-allow-origin");
        }
    }),
    Break::answers("cors-credentials", |_, ask, answer| {
        if is_mcp(ask)
            && let Some(origin) = ask.header("origin")
        {
            answer.set("access-control-allow-origin", origin);
            answer.set("access-control-allow-credentials", "true");
        }
    }),
    Break::answers("cors-headers-missing", |_, ask, answer| {
        if is_mcp(ask) && ask.method == "OPTIONS" {
            answer.set("access-control-allow-headers", "Content-Type");
        }
    }),
    Break::answers("cors-not-exposed", |_, ask, answer| {
        if is_mcp(ask) {
            answer.remove("access-control-expose-headers");
        }
    }),
];
