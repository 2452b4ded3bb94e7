//! What only somebody sees who has a token.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::exchange::{Answer, Ask, first};
use super::super::rules::{Refresh, ScopeRefusal};
use super::{Break, Place, instead, is_key_set, is_mcp, is_post};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("token-no-expires-in", |_, ask, answer| {
        without(ask, answer, "expires_in")
    }),
    Break::answers("token-expires-string", |_, ask, answer| {
        member(ask, answer, "expires_in", json!("3600"))
    }),
    Break::answers("token-type-odd", |_, ask, answer| {
        member(ask, answer, "token_type", json!("access_token"))
    }),
    Break::answers("token-no-refresh", |_, ask, answer| {
        without(ask, answer, "refresh_token")
    }),
    Break::rules("token-short-lived", |rules| {
        rules.token_lifetime = Duration::from_secs(120)
    }),
    Break::answers("token-null-members", |_, ask, answer| {
        member(ask, answer, "id_token", Value::Null)
    }),
    Break::answers("token-cacheable-answer", |_, ask, answer| {
        if is_tokens(ask, answer) {
            answer.remove("cache-control");
        }
    }),
    Break::rules("token-aud-missing", |rules| {
        rules.audience_is_required = false;
        rules.claims = |claims| remove(claims, "aud");
    }),
    Break::rules("token-aud-other", |rules| {
        rules.other_audience = Some("https://api.example.com");
        rules.claims = |claims| claims["aud"] = json!("https://api.example.com");
    }),
    Break::rules("token-iss-other", |rules| {
        rules.other_issuer = Some("https://login.example.com");
        rules.claims = |claims| claims["iss"] = json!("https://login.example.com");
    }),
    Break::rules("token-sub-missing", |rules| {
        rules.claims = |claims| remove(claims, "sub")
    }),
    Break::rules("token-exp-missing", |rules| {
        rules.expiry_is_required = false;
        rules.claims = |claims| remove(claims, "exp");
    }),
    Break::answers("accepted-then-refused", |_, ask, answer| {
        if is_mcp(ask) && ask.header("authorization").is_some() && answer.status == 200 {
            let challenge = "Bearer error=\"invalid_token\"";
            instead(
                answer,
                Answer::json(401, &json!({"error": "invalid_token"}))
                    .with("www-authenticate", challenge),
            );
        }
    }),
    Break::rules("refresh-refused", |rules| rules.refresh = Refresh::Refused),
    Break::rules("refresh-not-rotated", |rules| {
        rules.refresh = Refresh::Stays
    }),
    Break::rules("refresh-parallel-fails", |rules| {
        rules.refresh = Refresh::Races
    }),
    Break::rules("refresh-reuse-accepted", |rules| {
        rules.refresh = Refresh::OldWorks
    }),
    Break::rules("refresh-needs-resource", |rules| {
        rules.refresh = Refresh::NeedsResource
    }),
    Break::rules("refresh-scope-refused", |rules| {
        rules.refresh = Refresh::RefusesScope
    }),
    Break::rules("revocation-not-felt", |rules| {
        rules.revocation_is_felt = false
    }),
    Break::rules("iss-not-in-redirect", |rules| {
        rules.iss_in_redirect = Some("")
    }),
    Break::rules("iss-in-redirect-other", |rules| {
        rules.iss_in_redirect = Some("https://login.example.com")
    }),
    Break::rules("state-changed", |rules| rules.state_is_kept = false),
    Break::answers("authorize-refused", |_, ask, answer| {
        if is_post(ask, "/as/approve") {
            let back = answer
                .header("location")
                .map(|back| back.replace("code=", "error=invalid_scope&was="));
            answer.set("location", &back.unwrap_or_default());
        }
    }),
    Break::answers("code-refused", |_, ask, answer| {
        if is_tokens(ask, answer) && is_grant(ask, "authorization_code") {
            refuse(answer, 400, "invalid_client");
        }
    }),
    Break::answers("token-no-access-token", |_, ask, answer| {
        without(ask, answer, "access_token")
    }),
    Break {
        id: "token-scope-missing",
        place: Place::Plain,
        rules: |rules| rules.claims = |claims| claims["scope"] = json!("notes:read"),
        change: |_, ask, answer| without(ask, answer, "scope"),
    },
    Break::answers("token-not-verifiable", |_, ask, answer| {
        if is_key_set(ask) {
            answer.change_json(|set| set["keys"][0]["kid"] = json!("notes-2025-01"));
        }
    }),
    Break::answers("refresh-dead-not-invalid-grant", |_, ask, answer| {
        if is_post(ask, "/as/token") && is_grant(ask, "refresh_token") && answer.status == 400 {
            refuse(answer, 500, "server_error");
        }
    }),
    Break::rules("step-up-401", |rules| {
        rules.scope_refusal = ScopeRefusal::Unauthorized
    }),
    Break::rules("step-up-no-challenge", |rules| {
        rules.scope_refusal = ScopeRefusal::NoChallenge
    }),
];

fn is_tokens(ask: &Ask, answer: &Answer) -> bool {
    is_post(ask, "/as/token") && answer.status == 200
}

fn is_grant(ask: &Ask, kind: &str) -> bool {
    first(&ask.form(), "grant_type") == Some(kind)
}

fn refuse(answer: &mut Answer, status: u16, error: &str) {
    let refusal = Answer::json(status, &json!({ "error": error }));
    instead(answer, refusal.with("cache-control", "no-store"));
}

fn member(ask: &Ask, answer: &mut Answer, name: &str, value: Value) {
    if is_tokens(ask, answer) {
        answer.change_json(|tokens| tokens[name] = value);
    }
}

fn without(ask: &Ask, answer: &mut Answer, name: &str) {
    if is_tokens(ask, answer) {
        answer.change_json(|tokens| remove(tokens, name));
    }
}

fn remove(object: &mut Value, name: &str) {
    object.as_object_mut().map(|members| members.remove(name));
}
