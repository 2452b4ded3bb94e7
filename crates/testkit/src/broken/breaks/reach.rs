//! Reachability.

use std::time::Duration;

use super::super::exchange::{Answer, Content};
use super::{
    Break, Certificate, Place, instead, is_mcp, is_resource_metadata, is_server_metadata,
    is_without_token,
};

pub(super) const BREAKS: &[Break] = &[
    Break::at(Place::NoName, "name-unknown", |_, _, _| {}),
    Break::at(Place::Closed, "not-reachable", |_, _, _| {}),
    Break::at(
        Place::Tls(Certificate::Untrusted),
        "tls-untrusted",
        |_, _, _| {},
    ),
    Break::at(Place::Tls(Certificate::OtherName), "tls-name", |_, _, _| {}),
    Break::at(
        Place::Tls(Certificate::Expired),
        "tls-expired",
        |_, _, _| {},
    ),
    Break::at(Place::TypedAsTls, "tls-fails", |_, _, _| {}),
    Break::at(Place::Typed("/mcp "), "url-space-or-dot", |_, _, _| {}),
    Break::answers("hangs", |_, ask, answer| {
        if is_mcp(ask) {
            answer.content = Content::Never;
        }
    }),
    Break::answers("slow-answer", |_, ask, answer| {
        if ask.path == "/.well-known/oauth-authorization-server/as" {
            answer.wait = Duration::from_millis(3_200);
        }
    }),
    Break::answers("huge-body", |_, ask, answer| {
        if is_without_token(ask) {
            answer.content = Content::Large(1_000_000_000);
        }
    }),
    Break::answers("floods", |_, ask, answer| {
        if is_without_token(ask) {
            answer.content = Content::Endless;
        }
    }),
    Break::at(
        Place::Typed("/old/mcp"),
        "mcp-redirects",
        |site, ask, answer| {
            if ask.path == "/old/mcp" {
                *answer = Answer::redirect(307, &site.resource());
            }
        },
    ),
    Break::at(
        Place::Tls(Certificate::Good),
        "mcp-redirects-to-http",
        |site, ask, answer| {
            if is_mcp(ask) {
                let to = site.origin.replacen("https:", "http:", 1);
                *answer = Answer::redirect(307, &format!("{to}/mcp"));
            }
        },
    ),
    Break::answers("mcp-redirect-loop", |_, ask, answer| {
        if is_mcp(ask) {
            let next = ask
                .query("hop")
                .and_then(|hop| hop.parse::<u64>().ok())
                .unwrap_or(0)
                + 1;
            *answer = Answer::redirect(307, &format!("/mcp?hop={next}"));
        }
    }),
    Break::at(
        Place::Typed("/mcp/"),
        "slash-redirects",
        |_, ask, answer| {
            if ask.path == "/mcp/" {
                *answer = Answer::redirect(307, "/mcp");
            }
        },
    ),
    Break::answers("bot-wall-hosted-agents", |_, ask, answer| {
        let agent = ask.header("user-agent").unwrap_or_default();
        if ["Claude-User", "openai-mcp"]
            .iter()
            .any(|bot| agent.starts_with(bot))
        {
            *answer = Answer::html(403, "Sorry, you have been blocked.").with("server", "edge");
        }
    }),
    Break::answers("gateway-html", |_, _, answer| {
        *answer = Answer::html(502, "<h1>502 Bad Gateway</h1>nginx");
    }),
    Break::answers("internal-host-in-metadata", |_, ask, answer| {
        if is_server_metadata(ask) {
            answer.change_json(|document| {
                document["revocation_endpoint"] = "http://notes.internal:8080/as/revoke".into();
            });
        }
    }),
    Break::at(
        Place::Tls(Certificate::GoodBesidePlain),
        "http-in-metadata",
        |site, ask, answer| {
            let http = site.origin.replacen("https:", "http:", 1);
            if is_resource_metadata(ask) {
                answer.change_json(|document| document["resource"] = format!("{http}/mcp").into());
            }
            if let Some(line) = answer.header("www-authenticate") {
                let line = line.replace(&site.origin, &http);
                answer.set("www-authenticate", &line);
            }
        },
    ),
    Break::answers("well-known-not-404", |_, ask, answer| {
        if answer.status == 404 && ask.path.starts_with("/.well-known/") {
            instead(answer, Answer::html(200, "<div id=app></div>"));
        }
    }),
];
