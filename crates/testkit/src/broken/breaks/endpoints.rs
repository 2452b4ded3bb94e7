//! The authorization and token endpoints, without an account.

use serde_json::json;

use super::super::exchange::Answer;
use super::{Break, instead, is_post};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("authorize-missing", |_, ask, answer| {
        if ask.path == "/as/authorize" {
            *answer = Answer::json(404, &json!({"error": "not_found"}));
        }
    }),
    Break::rules("authorize-unknown-client-redirects", |rules| {
        rules.unknown_client_redirects = true;
    }),
    Break::rules("authorize-no-pkce-accepted", |rules| {
        rules.pkce_is_required = false
    }),
    Break::answers("authorize-refuses-registered", |_, ask, answer| {
        let is_registered = ask
            .query("client_id")
            .is_some_and(|id| id.starts_with("cli_"));
        if ask.path == "/as/authorize" && is_registered {
            *answer = Answer::html(400, "The return address is not on the list.");
        }
    }),
    Break::answers("authorize-get-not-idempotent", |site, ask, answer| {
        if ask.path == "/as/authorize" && answer.status == 200 {
            let request = format!("{:?}", ask.query);
            if !site.memory().authorizations.insert(request) {
                *answer = Answer::html(400, "This request was used.");
            }
        }
    }),
    Break::answers("token-missing", |_, ask, answer| {
        if ask.path == "/as/token" && ask.method != "OPTIONS" {
            instead(answer, Answer::json(404, &json!({"error": "not_found"})));
        }
    }),
    Break::answers("token-redirects", |_, ask, answer| {
        if is_post(ask, "/as/token") {
            instead(answer, Answer::redirect(307, "/as/v2/token"));
        }
    }),
    Break::answers("token-wants-json", |_, ask, answer| {
        if is_post(ask, "/as/token") {
            let is_json = ask
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("application/json"));
            // As Fastify answers what it has no parser for.
            let (status, body) = if is_json {
                (401, json!({"error": "invalid_client"}))
            } else {
                let body = json!({"statusCode": 415, "code": "FST_ERR_CTP_INVALID_MEDIA_TYPE", "error": "Unsupported Media Type"});
                (415, body)
            };
            instead(
                answer,
                Answer::json(status, &body).with("cache-control", "no-store"),
            );
        }
    }),
    Break::answers("token-error-html", |_, ask, answer| {
        if is_post(ask, "/as/token") && answer.status >= 400 {
            instead(
                answer,
                Answer::html(400, "Bad request").with("cache-control", "no-store"),
            );
        }
    }),
    Break::answers("token-error-not-oauth", |_, ask, answer| {
        if is_post(ask, "/as/token") && answer.status >= 400 {
            let error = json!({"statusCode": 400, "message": "Bad Request"});
            instead(
                answer,
                Answer::json(400, &error).with("cache-control", "no-store"),
            );
        }
    }),
    Break::answers("token-unknown-client-500", |_, ask, answer| {
        if is_post(ask, "/as/token") && answer.status == 401 {
            let error = json!({"error": "server_error"});
            instead(
                answer,
                Answer::json(500, &error).with("cache-control", "no-store"),
            );
        }
    }),
    Break::answers("token-unknown-client-other", |_, ask, answer| {
        if is_post(ask, "/as/token") && answer.status == 401 {
            let error = json!({"error": "invalid_request"});
            instead(
                answer,
                Answer::json(400, &error).with("cache-control", "no-store"),
            );
        }
    }),
    Break::answers("token-cacheable", |_, ask, answer| {
        if is_post(ask, "/as/token") && answer.status >= 400 {
            answer.remove("cache-control");
        }
    }),
];
