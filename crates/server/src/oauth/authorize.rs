use ::oauth::authorize::{self, NextStep, Refusal};
use ::oauth::consent::{self, Answer, Question};
use ::oauth::csrf::{self, Form};
use ::oauth::session::SignedIn;
use ::oauth::{Error, Parameters, SealedRequest, ServerContext};
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use wire::oauth::ScopeSet;

use crate::app::{App, AppState, InServer};
use crate::body::read_form;
use crate::event::EventKind;
use crate::pages::{self, ConsentPage, ConsentScope, ConsentTool, ReturningPage};
use crate::people::sign_in;
use crate::respond::{self, PageKind, Step};
use crate::same_origin::{self, Origin};

/// The longest query that is read.
const QUERY_BYTES_MAX: usize = 32 * 1024;

/// `GET /servers/{slug}/authorize`: from a client with its parameters, or from ourselves with the sealed request.
/// Writes nothing, so asking twice is the same as asking once.
pub(crate) async fn get(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let step = Step {
        name: "authorize",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let parsed = if query.len() > QUERY_BYTES_MAX {
        Err(Error::invalid_request("the request is longer than 32 KiB"))
    } else {
        Parameters::parse(query.as_bytes())
    };
    let parameters = match parsed {
        Ok(parameters) => parameters,
        Err(error) => return respond::error_page(&app, step, &error, TELL_ITS_MAKERS),
    };
    let signed_in = match app.signed_in(&parts.headers).await {
        Ok(signed_in) => signed_in,
        Err(error) => return respond::error_page(&app, step, &error, TRY_AGAIN),
    };
    match (parameters.get("request"), parameters.get("client_id")) {
        (Some(sealed), None) => {
            go_on(&app, &server, step, sealed, signed_in.as_ref(), &parts).await
        }
        (_, client_id) => {
            let step = Step { client_id, ..step };
            begin(&app, &server, step, &parameters, signed_in.as_ref(), &parts).await
        }
    }
}

const TELL_ITS_MAKERS: &str = "Go back to the application and try again; if it happens again, tell its makers what this page says.";
const TRY_AGAIN: &str = "Wait a moment, then reload this page.";

async fn begin(
    app: &App,
    server: &ServerContext,
    step: Step<'_>,
    parameters: &Parameters<'_>,
    signed_in: Option<&SignedIn>,
    parts: &Parts,
) -> Response {
    let validated = match authorize::validate(&app.authority, server, parameters, signed_in).await {
        Ok(validated) => validated,
        Err(refusal) => return respond::refusal(app, step, &refusal, false),
    };
    app.emit(Some(server.slug()), &parts.headers, || {
        EventKind::AuthorizationAsked {
            client_id: validated.client.id.as_str().to_owned(),
            client_name: validated.client.name.clone(),
        }
    });
    let sealed = validated.request.seal(&app.authority);
    match (authorize::next_step(&sealed.request, signed_in), signed_in) {
        (NextStep::Consent, Some(signed_in)) => ask(app, server, step, &sealed, signed_in).await,
        _ => {
            let shown = sign_in::Shown {
                server_name: &server.server.name,
                client_name: &sealed.request.client_name,
                sealed_request: &sealed.text,
                email: sealed.request.login_hint.as_deref().unwrap_or_default(),
                error: None,
            };
            sign_in::show(app, step, &parts.headers, StatusCode::OK, &shown).await
        }
    }
}

/// The same request again, after a form of ours: nothing here may redirect off our origin.
async fn go_on(
    app: &App,
    server: &ServerContext,
    step: Step<'_>,
    sealed: &str,
    signed_in: Option<&SignedIn>,
    parts: &Parts,
) -> Response {
    let sealed = match SealedRequest::open_for(&app.authority, server, sealed) {
        Ok(sealed) => sealed,
        Err(refusal) => return respond::refusal(app, step, &refusal, true),
    };
    match (authorize::next_step(&sealed.request, signed_in), signed_in) {
        (NextStep::Consent, Some(signed_in)) => ask(app, server, step, &sealed, signed_in).await,
        _ => {
            let shown = sign_in::Shown {
                server_name: &server.server.name,
                client_name: &sealed.request.client_name,
                sealed_request: &sealed.text,
                email: sealed.request.login_hint.as_deref().unwrap_or_default(),
                error: None,
            };
            sign_in::show(app, step, &parts.headers, StatusCode::OK, &shown).await
        }
    }
}

/// The consent page.
async fn ask(
    app: &App,
    server: &ServerContext,
    step: Step<'_>,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
) -> Response {
    let question = match consent::question(&app.authority, server, &sealed.request, signed_in).await
    {
        Ok(question) => question,
        Err(refusal) => return respond::refusal(app, step, &refusal, true),
    };
    let html = consent_page(app, server, sealed, signed_in, &question);
    respond::page(StatusCode::OK, PageKind::Form, html)
}

fn consent_page(
    app: &App,
    server: &ServerContext,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
    question: &Question,
) -> String {
    let scopes = question
        .scopes
        .iter()
        .map(|scope| ConsentScope {
            name: scope.name.as_str(),
            title: &scope.title,
            risk: scope.risk,
            tools: scope
                .opens
                .iter()
                .map(|(title, description)| ConsentTool { title, description })
                .collect(),
            already_granted: scope.approved_before,
        })
        .collect();
    let return_host = sealed.request.redirect_uri.display_host();
    let remember_note = question
        .approved_before
        .map(|_| "You approved this application before. It asks each time it signs in anew.");
    pages::consent(&ConsentPage {
        server_name: &server.server.name,
        resource: &server.server.resource,
        client_name: &question.client.name,
        // Nobody here has proven a host yet: what a registration says about itself proves nothing.
        client_verified: None,
        return_host: &return_host,
        return_kind: sealed.request.redirect_uri.kind(),
        user_name: &signed_in.user.name,
        user_email: signed_in.user.email.as_str(),
        scopes,
        withheld: Vec::new(),
        form_action: &format!("/servers/{}/authorize", server.slug()),
        sealed_request: &sealed.text,
        csrf: &csrf::token(
            &app.authority,
            Form::Consent,
            signed_in.session.id.as_str(),
            &sealed.text,
        ),
        switch_account_action: "/sign-out",
        remember_note,
    })
}

/// `POST /servers/{slug}/authorize`: what the person decided on the consent page.
pub(crate) async fn post(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "consent",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let body = match read_form(&parts.headers, body).await {
        Ok(body) => body,
        Err(refusal) => {
            let error = Error::invalid_request(refusal.description());
            let heading = "This form cannot be read";
            return respond::error_page_with(
                &app,
                step,
                &error,
                TRY_AGAIN,
                refusal.status(),
                heading,
            );
        }
    };
    match decide(&app, &server, &body, &parts.headers).await {
        Ok(response) => response,
        Err(refusal) => respond::refusal(&app, step, &refusal, true),
    }
}

async fn decide(
    app: &App,
    server: &ServerContext,
    body: &[u8],
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let form = Parameters::parse(body)?;
    form.refuse_repeats(&["scope"])?;
    if same_origin::of_request(app, headers) == Origin::Foreign {
        return Err(Refusal::page(
            Error::invalid_request("this form was sent from another site"),
            "Nothing was approved. Go back to the application and start the sign-in again.",
        ));
    }
    let text = form.get("request").ok_or_else(|| {
        Refusal::page(
            Error::invalid_request("request is missing"),
            "Go back to the application and start the sign-in again.",
        )
    })?;
    let sealed = SealedRequest::open_for(&app.authority, server, text)?;
    // Signed out meanwhile, or somebody else signed in in another tab: the question is asked again, of whoever it is.
    let ask_again = || {
        respond::see_other(&format!(
            "/servers/{}/authorize?request={}",
            server.slug(),
            sealed.text
        ))
    };
    let Some(signed_in) = app.signed_in(headers).await? else {
        return Ok(ask_again());
    };
    let genuine = csrf::is_valid(
        &app.authority,
        Form::Consent,
        signed_in.session.id.as_str(),
        &sealed.text,
        form.get("csrf").unwrap_or_default(),
    );
    if !genuine {
        return Ok(ask_again());
    }
    let client_id = sealed.request.client.as_str().to_owned();
    let user_name = signed_in.user.name.clone();
    match form.get("decision") {
        Some("approve") => {
            let ticked: ScopeSet = form
                .all("scope")
                .filter_map(|name| wire::oauth::Scope::parse(name).ok())
                .collect();
            let answer =
                consent::approve(&app.authority, server, &sealed, &signed_in, &ticked).await?;
            app.emit(Some(server.slug()), headers, || EventKind::ConsentGiven {
                client_id,
                client_name: answer.client_name.clone(),
                user_name,
                scopes: answer.scopes.clone(),
            });
            Ok(returning(&answer, false))
        }
        Some("deny") => {
            let answer = consent::deny(&app.authority, server, &sealed.request, &signed_in).await?;
            app.emit(Some(server.slug()), headers, || EventKind::ConsentRefused {
                client_id,
                client_name: answer.client_name.clone(),
                user_name,
            });
            Ok(returning(&answer, true))
        }
        _ => Err(Refusal::page(
            Error::invalid_request("decision must be approve or deny"),
            "Go back and press one of the two buttons.",
        )),
    }
}

/// Not a redirect: Chromium's `form-action` forbids a form's redirects to leave our origin, so a page goes on from here.
fn returning(answer: &Answer, denied: bool) -> Response {
    let html = pages::returning(&ReturningPage {
        client_name: &answer.client_name,
        url: &answer.address,
        kind: answer.kind,
        denied,
    });
    respond::page(StatusCode::OK, PageKind::Plain, html)
}
