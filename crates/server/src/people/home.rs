use ::oauth::csrf::{self, Form};
use ::oauth::session::SignedIn;
use ::oauth::{Error, waiting_clients};
use authz::Requirement;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use wire::oauth::RedirectUri;

use super::{clients, own_form, tokens};
use crate::app::{App, AppState};
use crate::pages::{self, ConnectLine, HomePage, HomeServer, WaitingClient};
use crate::respond::{self, PageKind, Step};
use crate::span;

/// `GET /`: people are taken to the dashboard; programs learn that there is nothing here.
pub(crate) async fn root(headers: HeaderMap) -> Response {
    let wants_html = headers
        .get(http::header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_html {
        respond::see_other("/admin")
    } else {
        respond::not_found()
    }
}

/// `GET /admin`: what is protected, and how to connect.
pub(crate) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let signed_in = match app.signed_in(&headers).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return respond::see_other("/sign-in"),
        Err(error) => return failed(&app, &headers, &error),
    };
    match home(&app, &signed_in).await {
        Ok(html) => respond::page(StatusCode::OK, PageKind::Dashboard, html),
        Err(error) => failed(&app, &headers, &error),
    }
}

async fn home(app: &App, signed_in: &SignedIn) -> Result<String, Error> {
    let servers = app.authority.servers();
    let mut servers: Vec<_> = servers.values().collect();
    servers.sort_by_key(|server| (server.server.created_at, server.server.slug.clone()));
    let mut counted = Vec::with_capacity(servers.len());
    for server in servers {
        let clients = app
            .authority
            .store()
            .count_dynamic_clients(&server.server.slug)
            .await?;
        let lines = (app.connect_lines)(&server.server);
        counted.push((server, clients, lines));
    }
    let servers = counted
        .iter()
        .map(|(server, clients, lines)| HomeServer {
            name: &server.server.name,
            slug: server.slug(),
            resource: &server.server.resource,
            tools_protected: server
                .server
                .policy
                .tools
                .values()
                .filter(|entry| !matches!(entry.requirement, Requirement::Denied))
                .count(),
            clients: usize::try_from(*clients).unwrap_or_default(),
            connect: lines
                .iter()
                .map(|(client, command)| ConnectLine { client, command })
                .collect(),
        })
        .collect();
    let waiting = waiting_clients::list(&app.authority, signed_in).await?;
    let note = app.authority.public_url().starts_with("http:").then_some(
        "claude.ai, ChatGPT and other hosted clients need a public https address; programs on this computer do not.",
    );
    Ok(pages::home(&HomePage {
        user_name: &signed_in.user.name,
        user_email: signed_in.user.email.as_str(),
        servers,
        waiting: waiting
            .iter()
            .map(|waiting| waiting_line(app, signed_in, waiting))
            .collect(),
        decide_action: clients::PATH,
        tokens_path: tokens::PATH,
        note,
        sign_out_action: "/sign-out",
        csrf: &csrf::token(
            &app.authority,
            Form::SignOut,
            signed_in.session.id.as_str(),
            "",
        ),
    }))
}

fn waiting_line<'a>(
    app: &App,
    signed_in: &SignedIn,
    waiting: &'a waiting_clients::WaitingClient,
) -> WaitingClient<'a> {
    let (server, id) = (waiting.server.as_str(), waiting.id.as_str());
    let client = waiting.client.as_ref();
    WaitingClient {
        server_slug: server,
        server_name: &waiting.server_name,
        client_id: id,
        name: client.map_or("", |client| &client.name),
        document_host: waiting.document_host.as_deref(),
        redirect_uris: client.map_or_else(Vec::new, |client| {
            let uris = client.redirect_uris.iter();
            uris.map(RedirectUri::as_str).collect()
        }),
        since: format!(
            "for {}",
            span::in_words(app.authority.now().since(waiting.since))
        ),
        csrf: csrf::token(
            &app.authority,
            Form::Admin,
            signed_in.session.id.as_str(),
            &own_form::about(&[server, id]),
        ),
    }
}

fn failed(app: &App, headers: &HeaderMap, error: &Error) -> Response {
    let step = Step {
        name: "admin",
        server: None,
        client_id: None,
        headers,
    };
    respond::error_page(app, step, error, "Wait a moment, then reload this page.")
}
