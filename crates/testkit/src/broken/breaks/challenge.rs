//! The challenge.

use serde_json::{Value, json};

use super::super::exchange::{Answer, Ask};
use super::super::mcp;
use super::{Break, instead, is_without_token};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("open-server", |site, ask, answer| {
        if is_without_token(ask) {
            instead(answer, mcp::open(site, ask));
        }
    }),
    Break::answers("open-methods", |site, ask, answer| {
        let is_list = is_without_token(ask)
            && serde_json::from_slice::<Value>(&ask.body)
                .is_ok_and(|message| message["method"] == "tools/list");
        if is_list {
            instead(answer, mcp::open(site, ask));
        }
    }),
    Break::answers("no-401", |_, ask, answer| {
        if is_without_token(ask) {
            instead(answer, Answer::json(403, &json!({"error": "forbidden"})));
        }
    }),
    Break::answers("error-in-200", |_, ask, answer| {
        if is_without_token(ask) {
            let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "Unauthorized"}});
            instead(answer, Answer::json(200, &error));
        }
    }),
    Break::answers("no-challenge", |_, _, answer| {
        answer.remove("www-authenticate")
    }),
    Break::answers("challenge-unparsable", |_, ask, answer| {
        rewrite(ask, answer, |line| line.replace('"', ""));
    }),
    Break::answers("challenge-not-bearer-first", |_, ask, answer| {
        rewrite(ask, answer, |line| format!("Basic realm=\"notes\", {line}"));
    }),
    Break::answers("challenge-several-headers-wrong-first", |_, ask, answer| {
        if is_without_token(ask) && answer.status == 401 {
            let basic = (
                "www-authenticate".to_owned(),
                "Basic realm=\"notes\"".to_owned(),
            );
            answer.headers.insert(0, basic);
        }
    }),
    Break::answers("challenge-no-resource-metadata", |_, ask, answer| {
        rewrite(ask, answer, |_| {
            "Bearer scope=\"notes:read notes:write\"".to_owned()
        });
    }),
    Break::answers("challenge-relative-url", |site, ask, answer| {
        rewrite(ask, answer, |line| line.replace(&site.origin, ""));
    }),
    Break::answers("challenge-other-origin", |site, ask, answer| {
        let other = site.origin.replace("127.0.0.1", "localhost");
        rewrite(ask, answer, |line| line.replace(&site.origin, &other));
    }),
    Break::answers("challenge-error-without-token", |_, ask, answer| {
        rewrite(ask, answer, |line| {
            line.replacen("Bearer ", "Bearer error=\"invalid_token\", ", 1)
        });
    }),
    Break::answers("get-not-401", |_, ask, answer| method(ask, answer, "GET")),
    Break::answers("head-not-401", |_, ask, answer| method(ask, answer, "HEAD")),
    Break::answers("delete-not-401", |_, ask, answer| {
        if is_without_token(ask) && ask.method == "DELETE" {
            instead(answer, Answer::json(200, &json!({})));
        }
    }),
    Break::answers("401-depends-on-protocol-version", |_, ask, answer| {
        let is_old = ask.header("mcp-protocol-version") == Some("2024-11-05");
        if is_without_token(ask) && is_old {
            instead(
                answer,
                Answer::json(400, &json!({"error": "unsupported protocol version"})),
            );
        }
    }),
    Break::answers("401-depends-on-accept", |_, ask, answer| {
        let takes_both = ask.header("accept").is_some_and(|accept| {
            accept.contains("text/event-stream") && accept.contains("application/json")
        });
        if is_without_token(ask) && ask.method == "POST" && !takes_both {
            instead(
                answer,
                Answer::json(406, &json!({"error": "not acceptable"})),
            );
        }
    }),
];

fn rewrite(ask: &Ask, answer: &mut Answer, change: impl FnOnce(&str) -> String) {
    let line = answer
        .header("www-authenticate")
        .filter(|_| is_without_token(ask));
    if let Some(line) = line.map(change) {
        answer.set("www-authenticate", &line);
    }
}

fn method(ask: &Ask, answer: &mut Answer, name: &str) {
    if is_without_token(ask) && ask.method == name {
        instead(
            answer,
            Answer::json(405, &json!({"error": "method_not_allowed"})).with("allow", "POST"),
        );
    }
}
