//! The registration endpoint.

use serde_json::{Value, json};

use super::super::exchange::{Answer, Ask};
use super::{Break, instead, is_post};

const PATH: &str = "/as/register";

pub(super) const BREAKS: &[Break] = &[
    Break::answers("register-refused", |_, ask, answer| {
        if is_post(ask, PATH) {
            refuse(answer, 403, "access_denied");
        }
    }),
    Break::answers("register-rate-limit", |site, ask, answer| {
        if is_post(ask, PATH) && site.memory().registrations > 1 {
            refuse(answer, 429, "too_many_requests");
            answer.set("retry-after", "300");
        }
    }),
    Break::answers("register-refuses-loopback", |_, ask, answer| {
        if is_post(ask, PATH) && redirects(ask).iter().any(|uri| uri.starts_with("http:")) {
            refuse(answer, 400, "invalid_redirect_uri");
        }
    }),
    Break::answers("register-refuses-mixed", |_, ask, answer| {
        let redirects = redirects(ask);
        let has = |start: &str| redirects.iter().any(|uri| uri.starts_with(start));
        if is_post(ask, PATH) && has("http:") && has("https:") {
            refuse(answer, 400, "invalid_redirect_uri");
        }
    }),
    Break::answers("register-refuses-unknown-member", |_, ask, answer| {
        const KNOWN: [&str; 13] = [
            "redirect_uris",
            "client_name",
            "client_uri",
            "logo_uri",
            "scope",
            "grant_types",
            "response_types",
            "token_endpoint_auth_method",
            "application_type",
            "software_id",
            "software_version",
            "contacts",
            "tos_uri",
        ];
        let is_strange = body(ask)
            .as_object()
            .is_some_and(|members| members.keys().any(|name| !KNOWN.contains(&name.as_str())));
        if is_post(ask, PATH) && is_strange {
            refuse(answer, 400, "invalid_client_metadata");
        }
    }),
    Break::answers("register-no-redirect-uris", |_, ask, answer| {
        if is_post(ask, PATH) && answer.status == 201 {
            answer.change_json(|client| {
                client
                    .as_object_mut()
                    .map(|members| members.remove("redirect_uris"));
            });
        }
    }),
    Break::answers("register-null-members", |_, ask, answer| {
        if is_post(ask, PATH) && answer.status == 201 {
            answer.change_json(|client| client["logo_uri"] = Value::Null);
        }
    }),
    Break::answers("register-secret-for-none", |_, ask, answer| {
        if is_post(ask, PATH) && answer.status == 201 {
            answer.change_json(|client| {
                client["client_secret"] = json!("c2VjcmV0LW9mLW5vYm9keQ");
                client["client_secret_expires_at"] = json!(0);
            });
        }
    }),
    Break::answers("register-accepts-javascript", |_, ask, answer| {
        take(ask, answer, |uri| {
            !uri.starts_with("http") && uri.contains(['(', ','])
        });
    }),
    Break::answers("register-accepts-http", |_, ask, answer| {
        take(ask, answer, |uri| uri.starts_with("http://"));
    }),
    Break::answers("register-wrong-status", |_, ask, answer| {
        if is_post(ask, PATH) && answer.status == 201 {
            answer.status = 200;
        }
    }),
];

fn body(ask: &Ask) -> Value {
    serde_json::from_slice(&ask.body).unwrap_or_default()
}

fn redirects(ask: &Ask) -> Vec<String> {
    let list = body(ask)["redirect_uris"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn refuse(answer: &mut Answer, status: u16, error: &str) {
    instead(
        answer,
        Answer::json(status, &json!({"error": error})).with("cache-control", "no-store"),
    );
}

/// Registers what was refused, when it is all `like` this.
fn take(ask: &Ask, answer: &mut Answer, like: fn(&str) -> bool) {
    let asked = redirects(ask);
    if is_post(ask, PATH)
        && answer.status == 400
        && !asked.is_empty()
        && asked.iter().all(|uri| like(uri))
    {
        let mut client = body(ask);
        client["client_id"] = json!("cli_taken");
        instead(
            answer,
            Answer::json(201, &client).with("cache-control", "no-store"),
        );
    }
}
