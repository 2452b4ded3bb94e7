//! Authorization server metadata.

use serde_json::{Value, json};

use super::super::documents::{SERVER_METADATA, server_metadata};
use super::super::exchange::{Answer, Ask};
use super::{Break, instead, is_resource_metadata, is_server_metadata};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("issuer-missing", |_, ask, answer| {
        without(ask, answer, "issuer")
    }),
    Break::answers("issuer-slash", |site, ask, answer| {
        member(ask, answer, "issuer", json!(format!("{}/", site.issuer())));
    }),
    Break::answers("issuer-other", |_, ask, answer| {
        member(ask, answer, "issuer", json!("https://login.example.com"));
    }),
    Break::answers("issuer-query", |site, ask, answer| {
        let issuer = format!("{}?tenant=notes", site.issuer());
        if is_resource_metadata(ask) && answer.status == 200 {
            answer.change_json(|document| document["authorization_servers"] = json!([issuer]));
        }
        member(ask, answer, "issuer", json!(issuer));
    }),
    Break::answers("asm-missing", |_, ask, answer| {
        if is_server_metadata(ask) {
            instead(answer, nothing());
        }
    }),
    Break::answers("asm-only-appended", |_, ask, answer| {
        if is_server_metadata(ask) && ask.path != SERVER_METADATA[3] {
            instead(answer, nothing());
        }
    }),
    Break::answers("asm-only-oidc", |_, ask, answer| {
        if is_server_metadata(ask) && ask.path.contains("oauth-authorization-server") {
            instead(answer, nothing());
        }
    }),
    Break::answers("asm-differ", |site, ask, answer| {
        if ask.path.contains("openid-configuration") {
            member(
                ask,
                answer,
                "token_endpoint",
                json!(format!("{}/oidc/token", site.issuer())),
            );
        }
    }),
    Break::answers("asm-html", |_, ask, answer| {
        if is_server_metadata(ask) {
            instead(answer, Answer::html(200, "<div id=app></div>"));
        }
    }),
    Break::answers("asm-not-json", |_, ask, answer| {
        if is_server_metadata(ask) {
            instead(
                answer,
                Answer::text(200, "application/json", "{\"issuer\": "),
            );
        }
    }),
    Break::answers("asm-behind-login", |_, ask, answer| {
        if is_server_metadata(ask) {
            instead(answer, Answer::json(401, &json!({"error": "unauthorized"})));
        }
    }),
    Break::answers("asm-server-error", |_, ask, answer| {
        if is_server_metadata(ask) {
            instead(answer, Answer::json(500, &json!({"error": "server_error"})));
        }
    }),
    Break::answers("asm-redirects", |site, ask, answer| {
        if is_server_metadata(ask) {
            instead(answer, Answer::redirect(302, "/metadata/server.json"));
        } else if ask.path == "/metadata/server.json" {
            instead(answer, Answer::json(200, &server_metadata(site)));
        }
    }),
    Break::answers("asm-null-members", |_, ask, answer| {
        member(ask, answer, "service_documentation", Value::Null);
    }),
    Break::answers("asm-no-response-types", |_, ask, answer| {
        without(ask, answer, "response_types_supported");
    }),
    Break::answers("asm-no-s256", |_, ask, answer| {
        without(ask, answer, "code_challenge_methods_supported");
    }),
    Break::answers("asm-plain", |_, ask, answer| {
        member(
            ask,
            answer,
            "code_challenge_methods_supported",
            json!(["S256", "plain"]),
        );
    }),
    Break::answers("asm-no-auth-methods", |_, ask, answer| {
        without(ask, answer, "token_endpoint_auth_methods_supported");
        without(ask, answer, "client_id_metadata_document_supported");
    }),
    Break::answers("asm-none-not-listed", |_, ask, answer| {
        member(
            ask,
            answer,
            "token_endpoint_auth_methods_supported",
            json!(["client_secret_basic"]),
        );
        without(ask, answer, "client_id_metadata_document_supported");
    }),
    Break::answers("asm-none-not-first", |_, ask, answer| {
        member(
            ask,
            answer,
            "token_endpoint_auth_methods_supported",
            json!(["client_secret_basic", "none"]),
        );
    }),
    Break::answers("asm-no-refresh", |_, ask, answer| {
        member(
            ask,
            answer,
            "grant_types_supported",
            json!(["authorization_code"]),
        );
    }),
    Break::answers("asm-relative-endpoint", |_, ask, answer| {
        member(ask, answer, "revocation_endpoint", json!("/as/revoke"));
    }),
    Break::answers("asm-http-endpoint", |_, ask, answer| {
        member(
            ask,
            answer,
            "revocation_endpoint",
            json!("http://notes.example.com/as/revoke"),
        );
    }),
    Break::answers("asm-no-registration", |_, ask, answer| {
        without(ask, answer, "registration_endpoint");
        without(ask, answer, "client_id_metadata_document_supported");
    }),
    Break::answers("asm-cimd-without-none", |_, ask, answer| {
        member(
            ask,
            answer,
            "token_endpoint_auth_methods_supported",
            json!(["private_key_jwt"]),
        );
    }),
    Break::answers("asm-no-iss-promise", |_, ask, answer| {
        without(
            ask,
            answer,
            "authorization_response_iss_parameter_supported",
        );
    }),
    Break::answers("asm-oidc-incomplete", |_, ask, answer| {
        if ask.path.contains("openid-configuration") {
            without(ask, answer, "subject_types_supported");
        }
    }),
    Break::answers("asm-no-authorization-endpoint", |_, ask, answer| {
        without(ask, answer, "authorization_endpoint");
    }),
    Break::answers("asm-no-token-endpoint", |_, ask, answer| {
        without(ask, answer, "token_endpoint");
    }),
    Break::answers("asm-scopes-admin", |_, ask, answer| {
        member(
            ask,
            answer,
            "scopes_supported",
            json!(["notes:read", "notes:write", "offline_access", "admin"]),
        );
    }),
];

fn nothing() -> Answer {
    Answer::json(404, &json!({"error": "not_found"}))
}

fn member(ask: &Ask, answer: &mut Answer, name: &str, value: Value) {
    if is_server_metadata(ask) && answer.status == 200 {
        answer.change_json(|document| document[name] = value);
    }
}

fn without(ask: &Ask, answer: &mut Answer, name: &str) {
    if is_server_metadata(ask) && answer.status == 200 {
        answer.change_json(|document| {
            document.as_object_mut().map(|members| members.remove(name));
        });
    }
}
