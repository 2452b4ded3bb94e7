//! What only the sequence of one client meets.

use serde_json::{Value, json};

use super::super::exchange::{Answer, Ask};
use super::{Break, instead, is_post};

pub(super) const BREAKS: &[Break] = &[
    Break::rules("cimd-host-refused", |rules| rules.cimd = false),
    Break::rules("loopback-port-compared", |rules| {
        rules.loopback_port_is_free = false;
    }),
    Break::answers("known-redirect-refused", |_, ask, answer| {
        refuse_redirects(ask, answer, |uri| {
            [
                "https://www.cursor.com/",
                "https://global.consent.azure-apim.net/",
            ]
            .iter()
            .any(|known| uri.starts_with(known))
        });
    }),
    Break::answers("self-hosted-redirect-refused", |_, ask, answer| {
        refuse_redirects(ask, answer, |uri| {
            uri.starts_with("https://")
                && (uri.contains("/api/mcp/") || uri.contains("/oauth/clients/"))
        });
    }),
    Break::answers("authorize-not-a-page", |_, ask, answer| {
        if is_page(ask, answer)
            && ask
                .query("client_id")
                .is_some_and(|id| id.starts_with("cli_"))
        {
            *answer = Answer::json(200, &json!({"next": "/login"}));
        }
    }),
    Break::answers("resource-forms-refused", |_, ask, answer| {
        if is_page(ask, answer) && ask.query("resource").is_none() {
            *answer = back(ask, "invalid_target");
        }
    }),
    Break::answers("extra-scope-fatal", |_, ask, answer| {
        let known = ["notes:read", "notes:write"];
        let has_more = ask
            .query("scope")
            .is_some_and(|scope| scope.split(' ').any(|one| !known.contains(&one)));
        if is_page(ask, answer) && has_more {
            *answer = back(ask, "invalid_scope");
        }
    }),
];

fn is_page(ask: &Ask, answer: &Answer) -> bool {
    ask.method == "GET" && ask.path == "/as/authorize" && answer.status == 200
}

/// To the client, with an error.
fn back(ask: &Ask, error: &str) -> Answer {
    let uri = ask.query("redirect_uri").unwrap_or_default();
    Answer::redirect(303, &format!("{uri}?error={error}"))
}

fn refuse_redirects(ask: &Ask, answer: &mut Answer, refused: fn(&str) -> bool) {
    let body: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
    let has_one = body["redirect_uris"]
        .as_array()
        .is_some_and(|list| list.iter().filter_map(Value::as_str).any(refused));
    if is_post(ask, "/as/register") && has_one {
        let error = json!({"error": "invalid_redirect_uri"});
        instead(
            answer,
            Answer::json(400, &error).with("cache-control", "no-store"),
        );
    }
}
