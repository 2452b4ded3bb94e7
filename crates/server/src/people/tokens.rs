use std::time::Duration;

use ::oauth::csrf::{self, Form};
use ::oauth::service_tokens::{
    self, CreateServiceTokenError, NewServiceToken, Revoker, ServiceTokenFilter,
};
use ::oauth::session::SignedIn;
use ::oauth::{Error, Parameters};
use axum::extract::{Request, State};
use axum::response::Response;
use base::Timestamp;
use domain::{ServiceToken, ServiceTokenId};
use http::{HeaderMap, StatusCode};
use wire::oauth::{Scope, ScopeSet};

use super::own_form;
use crate::app::{App, AppState};
use crate::pages::{self, TokenLine, TokenMadePage, TokenServer, TokensPage};
use crate::respond::{self, PageKind, Step};

/// The address of the list.
pub(crate) const PATH: &str = "/account/tokens";
/// Where one is ended.
pub(crate) const REVOKE_PATH: &str = "/account/tokens/revoke";

/// The lifetimes that the page offers, in days.
const DAYS_MAX: u64 = 365;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest name that is kept, in characters.
const NAME_CHARACTERS_MAX: usize = 80;

/// `GET /account/tokens`: what this person has.
pub(crate) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let signed_in = match app.signed_in(&headers).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return respond::see_other("/sign-in"),
        Err(error) => return failed(&app, &headers, &error),
    };
    show(&app, &headers, &signed_in, StatusCode::OK, None).await
}

async fn show(
    app: &App,
    headers: &HeaderMap,
    signed_in: &SignedIn,
    status: StatusCode,
    problem: Option<&str>,
) -> Response {
    match list(app, signed_in, problem).await {
        Ok(html) => respond::page(status, PageKind::Dashboard, html),
        Err(error) => failed(app, headers, &error),
    }
}

async fn list(app: &App, signed_in: &SignedIn, problem: Option<&str>) -> Result<String, Error> {
    let filter = ServiceTokenFilter {
        server: None,
        owner: Some(&signed_in.user.id),
    };
    let mut tokens = service_tokens::list(app.authority.store(), filter).await?;
    tokens.sort_by_key(|token| std::cmp::Reverse(token.created_at));
    let servers = app.authority.servers();
    let mut servers: Vec<_> = servers.values().collect();
    servers.sort_by_key(|server| (server.server.created_at, server.server.slug.clone()));
    let now = app.authority.now();
    let session = signed_in.session.id.as_str();
    Ok(pages::tokens(&TokensPage {
        user_name: &signed_in.user.name,
        user_email: signed_in.user.email.as_str(),
        tokens: tokens
            .iter()
            .map(|token| TokenLine {
                id: token.id.as_str(),
                name: &token.name,
                server_name: servers
                    .iter()
                    .find(|server| server.server.slug == token.server)
                    .map_or(token.server.as_str(), |server| &server.server.name),
                scopes: token.scopes.to_string(),
                expires: date(token.expires_at),
                ended: ended(token, now),
            })
            .collect(),
        servers: servers
            .iter()
            .map(|server| TokenServer {
                slug: server.slug(),
                name: &server.server.name,
                scopes: server
                    .server
                    .policy
                    .scopes
                    .iter()
                    .map(|scope| (scope.name.as_str(), scope.title.as_str(), scope.risk))
                    .collect(),
            })
            .collect(),
        error: problem,
        create_action: PATH,
        revoke_action: REVOKE_PATH,
        sign_out_action: "/sign-out",
        csrf: &csrf::token(&app.authority, Form::Account, session, ""),
        sign_out_csrf: &csrf::token(&app.authority, Form::SignOut, session, ""),
    }))
}

/// `POST /account/tokens`: makes one, and shows it on the only page that ever does.
pub(crate) async fn create(State(app): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let own = match own_form::read(&app, headers, body, Form::Account, &[]).await {
        Ok(own) => own,
        Err(response) => return response,
    };
    match make(&app, &own.form(), &own.signed_in).await {
        Ok(html) => respond::page(StatusCode::OK, PageKind::Plain, html),
        Err(NotMade::Failed(error)) => failed(&app, headers, &error),
        Err(NotMade::Asked(problem)) => {
            let step = step(headers);
            respond::report(&app, step, &Error::invalid_request(problem.clone()));
            let status = StatusCode::BAD_REQUEST;
            show(&app, headers, &own.signed_in, status, Some(&problem)).await
        }
    }
}

/// Why there is no new token.
enum NotMade {
    /// Something is wrong with the form; in words for who filled it in.
    Asked(String),
    Failed(Error),
}

impl From<&str> for NotMade {
    fn from(words: &str) -> Self {
        Self::Asked(words.to_owned())
    }
}

impl From<CreateServiceTokenError> for NotMade {
    fn from(error: CreateServiceTokenError) -> Self {
        match error {
            CreateServiceTokenError::Store(error) => Self::Failed(error.into()),
            other => Self::Asked(other.to_string()),
        }
    }
}

async fn make(app: &App, form: &Parameters<'_>, signed_in: &SignedIn) -> Result<String, NotMade> {
    let server = form
        .get("server")
        .and_then(|slug| app.authority.server(slug))
        .ok_or("There is no such server.")?;
    let name = form.get("name").unwrap_or_default().trim();
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
        return Err("Say in at most 80 characters what the token is for.".into());
    }
    let scopes: ScopeSet = form
        .all("scope")
        .filter_map(|name| Scope::parse(name).ok())
        .collect();
    if scopes.is_empty() {
        return Err("Tick at least one thing that the token may do.".into());
    }
    let days: u64 = form
        .get("days")
        .and_then(|days| days.parse().ok())
        .filter(|days| (1..=DAYS_MAX).contains(days))
        .ok_or("A token expires after 1 to 365 days.")?;
    let new = NewServiceToken {
        server: &server.server,
        owner: Some(&signed_in.user.id),
        name,
        scopes: &scopes,
        lifetime: DAY * u32::try_from(days).unwrap_or(1),
    };
    let authority = &app.authority;
    let made = service_tokens::create(
        authority.store(),
        authority.now(),
        authority.random(),
        new,
        Some(&signed_in.user.id),
    )
    .await?;
    Ok(pages::token_made(&TokenMadePage {
        name,
        token: made.text.expose(),
        resource: &server.server.resource,
        expires: &date(made.token.expires_at),
        list_path: PATH,
    }))
}

/// `POST /account/tokens/revoke`: ends one of this person's own.
pub(crate) async fn revoke(State(app): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let own = match own_form::read(&app, headers, body, Form::Account, &[]).await {
        Ok(own) => own,
        Err(response) => return response,
    };
    let form = own.form();
    let id = ServiceTokenId::from_text(form.get("id").unwrap_or_default());
    let authority = &app.authority;
    let by = Revoker::Owner(&own.signed_in.user.id);
    match service_tokens::revoke(authority.store(), authority.now(), &id, by).await {
        Ok(_) => respond::see_other(PATH),
        Err(error) => failed(&app, headers, &error.into()),
    }
}

fn ended(token: &ServiceToken, now: Timestamp) -> Option<&'static str> {
    if token.revoked_at.is_some() {
        Some("Revoked")
    } else if token.expires_at <= now {
        Some("Expired")
    } else {
        None
    }
}

/// The day, in UTC.
pub(crate) fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms()).map_or_else(
        |_| String::new(),
        |at| at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
    )
}

fn failed(app: &App, headers: &HeaderMap, error: &Error) -> Response {
    respond::error_page(
        app,
        step(headers),
        error,
        "Wait a moment, then reload this page.",
    )
}

fn step(headers: &HeaderMap) -> Step<'_> {
    Step {
        name: "account",
        server: None,
        client_id: None,
        headers,
    }
}
