use ::oauth::authorize::Refusal;
use ::oauth::csrf::Form;
use ::oauth::password::PASSWORD_CHARACTERS_MIN;
use ::oauth::setup::{self, SetupRefusal};
use ::oauth::{Error, Parameters};
use axum::extract::{Request, State};
use axum::response::Response;
use base::Secret;
use http::{HeaderMap, StatusCode};

use super::form_cookie::FormCookie;
use crate::app::{App, AppState};
use crate::body::read_form;
use crate::event::EventKind;
use crate::pages::{self, SetupPage, SetupUsedPage};
use crate::respond::{self, PageKind, Step};
use crate::same_origin::form_is_genuine;

const TRY_AGAIN: &str = "Wait a moment, then open the link again.";

/// `GET /setup?token=…`: the form of the first owner. Looking spends nothing.
pub(crate) async fn get(State(app): State<AppState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let headers = &parts.headers;
    let shown = async {
        let query = parts.uri.query().unwrap_or_default();
        let parameters = Parameters::parse(query.as_bytes())?;
        parameters.refuse_repeats(&[])?;
        let token = parameters.get("token").unwrap_or_default();
        if setup::is_live(&app.authority, token).await? {
            Ok(show(&app, headers, StatusCode::OK, token, "", None))
        } else {
            link_used(&app).await
        }
    };
    match shown.await {
        Ok(response) => response,
        Err(error) => respond::error_page(&app, step(headers), &error, TRY_AGAIN),
    }
}

/// `POST /setup`: spends the link.
pub(crate) async fn post(State(app): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let body = match read_form(headers, body).await {
        Ok(body) => body,
        Err(refusal) => {
            let error = Error::invalid_request(refusal.description());
            let (status, heading) = (refusal.status(), "This form cannot be read");
            return respond::error_page_with(
                &app,
                step(headers),
                &error,
                TRY_AGAIN,
                status,
                heading,
            );
        }
    };
    match complete(&app, &body, headers).await {
        Ok(response) => response,
        Err(refusal) => respond::refusal(&app, step(headers), &refusal, true),
    }
}

async fn complete(app: &App, body: &[u8], headers: &HeaderMap) -> Result<Response, Refusal> {
    let form = Parameters::parse(body)?;
    form.refuse_repeats(&[])?;
    let token = form.get("token").unwrap_or_default();
    let email = form.get("email").unwrap_or_default();
    if !form_is_genuine(
        app,
        headers,
        Form::Setup,
        form.get("csrf").unwrap_or_default(),
    ) {
        let message = "This form had expired. Please fill it in again.";
        let status = StatusCode::FORBIDDEN;
        return Ok(show(app, headers, status, token, email, Some(message)));
    }
    let password = Secret::new(form.get("password").unwrap_or_default().to_owned());
    match setup::complete(&app.authority, token, email, password).await {
        Ok((session, known_device)) => {
            app.emit(None, headers, || EventKind::SignedIn {
                user_name: session.signed_in.user.name.clone(),
                client_id: None,
            });
            let response = respond::see_other("/admin");
            let cookie = app.cookies.set_login(session.cookie.expose());
            let response = respond::with_cookie(response, cookie);
            Ok(respond::with_cookie(
                response,
                app.cookies.set_device(&known_device),
            ))
        }
        Err(SetupRefusal::Form(reason)) => Ok(show(
            app,
            headers,
            StatusCode::UNPROCESSABLE_ENTITY,
            token,
            email,
            Some(&reason),
        )),
        Err(SetupRefusal::LinkUsed) => Ok(link_used(app).await?),
        Err(SetupRefusal::Failed(error)) => Err(error.into()),
    }
}

fn show(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    token: &str,
    email: &str,
    error: Option<&str>,
) -> Response {
    let cookie = FormCookie::of(app, headers);
    let html = pages::setup(&SetupPage {
        form_action: "/setup",
        token,
        csrf: &cookie.token(app, Form::Setup),
        email,
        error,
        password_characters_min: PASSWORD_CHARACTERS_MIN,
    });
    cookie.set(app, respond::page(status, PageKind::Form, html))
}

async fn link_used(app: &App) -> Result<Response, Error> {
    let owner_exists = setup::somebody_exists(&app.authority).await?;
    let html = pages::setup_used(&SetupUsedPage { owner_exists });
    Ok(respond::page(StatusCode::GONE, PageKind::Plain, html))
}

fn step(headers: &HeaderMap) -> Step<'_> {
    Step {
        name: "setup",
        server: None,
        client_id: None,
        headers,
    }
}
