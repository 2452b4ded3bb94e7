//! Protected resource metadata.

use serde_json::{Value, json};

use super::super::documents::RESOURCE_METADATA;
use super::super::exchange::{Answer, Ask};
use super::{Break, Certificate, Place, instead, is_resource_metadata};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("prm-missing", |_, ask, answer| {
        if is_resource_metadata(ask) {
            instead(answer, nothing());
        }
    }),
    Break::answers("prm-named-missing", |_, _, answer| {
        if let Some(line) = answer.header("www-authenticate") {
            let line = line.replace("protected-resource/mcp", "protected-resource/notes");
            answer.set("www-authenticate", &line);
        }
    }),
    Break::answers("prm-only-root", |_, ask, answer| {
        if let Some(line) = answer.header("www-authenticate") {
            let line = line.replace("protected-resource/mcp", "protected-resource");
            answer.set("www-authenticate", &line);
        }
        if is_resource_metadata(ask) && ask.path != RESOURCE_METADATA {
            instead(answer, nothing());
        }
    }),
    Break::answers("prm-only-path", |_, ask, answer| {
        if ask.path == RESOURCE_METADATA {
            instead(answer, nothing());
        }
    }),
    Break::answers("prm-differ", |site, ask, answer| {
        if ask.path == RESOURCE_METADATA {
            answer.change_json(|document| document["resource"] = site.origin.as_str().into());
        }
    }),
    Break::answers("prm-behind-login", |_, ask, answer| {
        if is_resource_metadata(ask) {
            instead(answer, Answer::json(401, &json!({"error": "unauthorized"})));
        }
    }),
    Break::answers("prm-html", |_, ask, answer| {
        if is_resource_metadata(ask) {
            instead(answer, Answer::html(200, "<div id=app></div>"));
        }
    }),
    Break::answers("prm-not-json", |_, ask, answer| {
        if is_resource_metadata(ask) {
            instead(
                answer,
                Answer::text(200, "application/json", "{\"resource\": "),
            );
        }
    }),
    Break::answers("prm-server-error", |_, ask, answer| {
        if is_resource_metadata(ask) {
            instead(answer, Answer::json(500, &json!({"error": "server_error"})));
        }
    }),
    Break::answers("prm-redirects", |site, ask, answer| {
        if is_resource_metadata(ask) {
            instead(answer, Answer::redirect(302, "/metadata/resource.json"));
        } else if ask.path == "/metadata/resource.json" {
            let document = super::super::documents::resource_metadata(site, &site.resource());
            instead(answer, Answer::json(200, &document));
        }
    }),
    Break::answers("prm-null-members", |_, ask, answer| {
        member(ask, answer, "resource_documentation", Value::Null);
    }),
    Break::answers("prm-resource-missing", |_, ask, answer| {
        if is_resource_metadata(ask) {
            answer.change_json(|document| {
                document
                    .as_object_mut()
                    .map(|members| members.remove("resource"));
            });
        }
    }),
    Break::answers("prm-resource-origin", |site, ask, answer| {
        member(ask, answer, "resource", json!(site.origin));
    }),
    Break::answers("prm-resource-slash", |site, ask, answer| {
        member(
            ask,
            answer,
            "resource",
            json!(format!("{}/", site.resource())),
        );
    }),
    Break::answers("prm-resource-other-host", |_, ask, answer| {
        member(
            ask,
            answer,
            "resource",
            json!("https://notes.example.com/mcp"),
        );
    }),
    Break::answers("prm-resource-other-path", |site, ask, answer| {
        member(
            ask,
            answer,
            "resource",
            json!(format!("{}/api/mcp", site.origin)),
        );
    }),
    Break::at(
        Place::Tls(Certificate::Good),
        "prm-resource-http",
        |site, ask, answer| {
            let http = site.resource().replacen("https:", "http:", 1);
            member(ask, answer, "resource", json!(http));
        },
    ),
    Break::answers("prm-no-servers", |_, ask, answer| {
        member(ask, answer, "authorization_servers", json!([]));
    }),
    Break::answers("prm-several-servers", |site, ask, answer| {
        let servers = json!([site.issuer(), "https://login.example.com"]);
        member(ask, answer, "authorization_servers", servers);
    }),
    Break::answers("prm-scopes-missing", |_, ask, answer| {
        if is_resource_metadata(ask) {
            answer.change_json(|document| {
                document
                    .as_object_mut()
                    .map(|members| members.remove("scopes_supported"));
            });
        }
        if answer.status == 401
            && let Some(line) = answer.header("www-authenticate")
        {
            let line = line.replace(", scope=\"notes:read notes:write\"", "");
            answer.set("www-authenticate", &line);
        }
    }),
    Break::answers("prm-bearer-methods", |_, ask, answer| {
        member(
            ask,
            answer,
            "bearer_methods_supported",
            json!(["header", "query"]),
        );
    }),
    Break::answers("wrong-content-type", |_, ask, answer| {
        if is_resource_metadata(ask) && answer.status == 200 {
            answer.set("content-type", "text/plain");
        }
    }),
];

fn nothing() -> Answer {
    Answer::json(404, &json!({"error": "not_found"}))
}

fn member(ask: &Ask, answer: &mut Answer, name: &str, value: Value) {
    if is_resource_metadata(ask) && answer.status == 200 {
        answer.change_json(|document| document[name] = value);
    }
}
