use std::net::IpAddr;
use std::time::Duration;

use ::oauth::authorize::Refusal;
use ::oauth::csrf::Form;
use ::oauth::sign_in::{SignInAttempt, SignInRefusal, SignInSuccess, sign_in};
use ::oauth::{Error, Parameters, SealedRequest, setup};
use axum::extract::{Request, State};
use axum::response::Response;
use base::Secret;
use http::{HeaderMap, StatusCode};

use super::form_cookie::FormCookie;
use crate::app::{App, AppState, peer_address};
use crate::body::read_form;
use crate::event::EventKind;
use crate::metric;
use crate::pages::{self, SignInPage};
use crate::respond::{self, PageKind, Step};
use crate::same_origin::form_is_genuine;

/// What a sign-in page shows.
pub(crate) struct Shown<'a> {
    pub server_name: &'a str,
    pub client_name: &'a str,
    pub sealed_request: &'a str,
    pub email: &'a str,
    pub error: Option<&'a str>,
}

/// The sign-in page.
pub(crate) async fn show(
    app: &App,
    step: Step<'_>,
    headers: &HeaderMap,
    status: StatusCode,
    shown: &Shown<'_>,
) -> Response {
    let somebody_exists = match setup::somebody_exists(&app.authority).await {
        Ok(somebody_exists) => somebody_exists,
        Err(error) => {
            return respond::error_page(app, step, &error, "Wait a moment, then reload this page.");
        }
    };
    let cookie = FormCookie::of(app, headers);
    let html = pages::sign_in(&SignInPage {
        server_name: shown.server_name,
        client_name: shown.client_name,
        form_action: "/sign-in",
        sealed_request: shown.sealed_request,
        csrf: &cookie.token(app, Form::SignIn),
        email: shown.email,
        error: shown.error,
        setup_hint: !somebody_exists,
    });
    cookie.set(app, respond::page(status, PageKind::Form, html))
}

/// `GET /sign-in`: for somebody who came by themselves.
pub(crate) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let step = step(&headers);
    match app.signed_in(&headers).await {
        Ok(Some(_)) => respond::see_other("/admin"),
        Ok(None) => show(&app, step, &headers, StatusCode::OK, &nobody()).await,
        Err(error) => {
            respond::error_page(&app, step, &error, "Wait a moment, then reload this page.")
        }
    }
}

/// `POST /sign-in`.
pub(crate) async fn post(State(app): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let step = step(headers);
    let body = match read_form(headers, body).await {
        Ok(body) => body,
        Err(refusal) => {
            let error = Error::invalid_request(refusal.description());
            let heading = "This form cannot be read";
            return respond::error_page_with(
                &app,
                step,
                &error,
                "Go back and try again.",
                refusal.status(),
                heading,
            );
        }
    };
    match attempt(&app, &body, headers, peer_address(&parts.extensions)).await {
        Ok(response) => response,
        Err(refusal) => respond::refusal(&app, step, &refusal, true),
    }
}

async fn attempt(
    app: &App,
    body: &[u8],
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Response, Refusal> {
    let form = Parameters::parse(body)?;
    form.refuse_repeats(&[])?;
    let sealed = match form.get("request") {
        Some(text) => Some(SealedRequest::open(&app.authority, text)?),
        None => None,
    };
    let server = sealed
        .as_ref()
        .and_then(|sealed| app.server(sealed.request.server.as_str()));
    let server_name = server.as_ref().map(|server| server.server.name.clone());
    let email = form.get("email").unwrap_or_default();
    let shown = |error| Shown {
        server_name: server_name.as_deref().unwrap_or_default(),
        client_name: sealed
            .as_ref()
            .map_or("", |sealed| &sealed.request.client_name),
        sealed_request: sealed.as_ref().map_or("", |sealed| &sealed.text),
        email,
        error: Some(error),
    };
    let step = Step {
        server: server.as_ref().map(|server| server.slug()),
        ..step(headers)
    };
    let csrf = form.get("csrf").unwrap_or_default();
    if !form_is_genuine(app, headers, Form::SignIn, csrf) {
        let error = Error::invalid_request("the form was not sent from the page that was shown");
        let id = respond::report(app, step, &error);
        let shown = shown("This form had expired. Please sign in again.");
        let page = show(app, step, headers, StatusCode::FORBIDDEN, &shown).await;
        return Ok(respond::with_correlation_id(page, &id));
    }
    let replaces = app.signed_in(headers).await?;
    let attempt = SignInAttempt {
        email,
        password: Secret::new(form.get("password").unwrap_or_default().to_owned()),
        address,
        known_device: app.cookies.device(headers),
        replaces: replaces.as_ref(),
    };
    match sign_in(&app.authority, attempt).await {
        Ok(success) => Ok(signed_in(app, headers, sealed.as_ref(), &success)),
        Err(SignInRefusal::Wrong) => {
            let error = Error::access_denied("the e-mail address or the password is wrong");
            let id = respond::report(app, step, &error);
            let shown = shown(
                "The e-mail address or the password is wrong. Only people the owner added can sign in; if you have no \
                 account, ask the owner.",
            );
            let page = show(app, step, headers, StatusCode::FORBIDDEN, &shown).await;
            Ok(respond::with_correlation_id(page, &id))
        }
        Err(SignInRefusal::Throttled { retry_after }) => {
            Ok(throttled(app, step, headers, &shown, retry_after).await)
        }
        Err(SignInRefusal::Failed(error)) => Err(error.into()),
    }
}

async fn throttled<'a>(
    app: &App,
    step: Step<'_>,
    headers: &HeaderMap,
    shown: &impl Fn(&'a str) -> Shown<'a>,
    wait: Duration,
) -> Response {
    let error = Error::temporarily_unavailable(wait, "too many failed sign-ins");
    let id = respond::report(app, step, &error);
    let shown = shown("There were too many failed sign-ins. Wait a minute, then try again.");
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = show(app, step, headers, status, &shown).await;
    respond::retry_after(&mut response, &error);
    respond::with_correlation_id(response, &id)
}

fn signed_in(
    app: &App,
    headers: &HeaderMap,
    sealed: Option<&SealedRequest>,
    success: &SignInSuccess,
) -> Response {
    metric::signed_in();
    let server = sealed.map(|sealed| sealed.request.server.as_str());
    app.emit(server, headers, || EventKind::SignedIn {
        user_name: success.session.signed_in.user.name.clone(),
        client_id: sealed.map(|sealed| sealed.request.client.as_str().to_owned()),
    });
    let next = match sealed {
        Some(sealed) => format!(
            "/servers/{}/authorize?request={}",
            sealed.request.server, sealed.text
        ),
        None => "/admin".to_owned(),
    };
    let response = respond::see_other(&next);
    let cookie = app.cookies.set_login(success.session.cookie.expose());
    let response = respond::with_cookie(response, cookie);
    respond::with_cookie(response, app.cookies.set_device(&success.known_device))
}

fn step(headers: &HeaderMap) -> Step<'_> {
    Step {
        name: "sign-in",
        server: None,
        client_id: None,
        headers,
    }
}

fn nobody() -> Shown<'static> {
    Shown {
        server_name: "",
        client_name: "",
        sealed_request: "",
        email: "",
        error: None,
    }
}
