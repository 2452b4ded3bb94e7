use std::time::Duration;

use ::oauth::authorize::{self, Refusal};
use ::oauth::consent::{self, Answer, Approval, Question};
use ::oauth::csrf::{self, Form};
use ::oauth::next_step::{NextStep, next_step};
use ::oauth::session::SignedIn;
use ::oauth::{ClientProof, Error, Parameters, SealedRequest, ServerContext, client_trust};
use axum::extract::{Request, State};
use axum::response::Response;
use domain::{Client, ClientRegistration, ServerSettings};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use wire::oauth::{RedirectUriKind, ScopeSet};

use crate::app::{App, AppState};
use crate::body::read_form;
use crate::event::EventKind;
use crate::in_server::InServer;
use crate::metric;
use crate::pages::{
    self, AskForm, ClientStanding, ConsentPage, ConsentScope, ConsentTool, GoingOnPage,
    ReturningPage,
};
use crate::people::sign_in;
use crate::respond::{self, PageKind, Step};
use crate::same_origin::{self, Origin};
use crate::span;

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
        (Some(sealed), None) => go_on(&app, &server, step, sealed, signed_in.as_ref()).await,
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
    metric::authorization(server.slug(), "asked");
    let sealed = validated.request.seal(&app.authority);
    // A form of another site brings no cookies along. Once around by GET, and the browser sends them.
    if parts.method == Method::POST {
        return respond::see_other(&address_of(server, &sealed));
    }
    show_next(app, server, step, &sealed, signed_in, false).await
}

/// The same request again, after a form of ours: nothing here may redirect off our origin.
async fn go_on(
    app: &App,
    server: &ServerContext,
    step: Step<'_>,
    sealed: &str,
    signed_in: Option<&SignedIn>,
) -> Response {
    match SealedRequest::open_for(&app.authority, server, sealed) {
        Ok(sealed) => show_next(app, server, step, &sealed, signed_in, true).await,
        Err(refusal) => respond::refusal(app, step, &refusal, true),
    }
}

/// Sign-in, the question, or the page that goes on without one.
async fn show_next(
    app: &App,
    server: &ServerContext,
    step: Step<'_>,
    sealed: &SealedRequest,
    signed_in: Option<&SignedIn>,
    after_form: bool,
) -> Response {
    let next = next_step(&app.authority, server, &sealed.request, signed_in).await;
    let (question, signed_in, asks) = match (next, signed_in) {
        (Ok(NextStep::Ask(question)), Some(signed_in)) => (question, signed_in, true),
        (Ok(NextStep::GoOn(question)), Some(signed_in)) => (question, signed_in, false),
        (Ok(_), _) => {
            let shown = sign_in::Shown {
                server_name: &server.server.name,
                client_name: &sealed.request.client_name,
                sealed_request: &sealed.text,
                email: sealed.request.login_hint.as_deref().unwrap_or_default(),
                error: None,
            };
            return sign_in::show(app, step, step.headers, StatusCode::OK, &shown).await;
        }
        (Err(Refusal::Waiting { client, error }), Some(signed_in)) => {
            return waiting(app, server, step, sealed, signed_in, (&client, &error)).await;
        }
        (Err(refusal), _) => return respond::refusal(app, step, &refusal, after_form),
    };
    if asks {
        metric::authorization(server.slug(), "shown");
        let documents = app.authority.client_documents();
        let logo = documents.logo_path(&question.client).await;
        let html = consent_page(app, server, sealed, signed_in, &question, logo.as_deref());
        respond::page(StatusCode::OK, PageKind::Form, html)
    } else {
        let html = going_on_page(app, server, sealed, signed_in, &question);
        respond::page(StatusCode::OK, PageKind::GoingOn, html)
    }
}

/// A client that registered itself is already on the owner's list; one with a document comes there when somebody asks.
async fn waiting(
    app: &App,
    server: &ServerContext,
    step: Step<'_>,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
    (client, error): (&Client, &Error),
) -> Response {
    let form_action = format!("/servers/{}/authorize", server.slug());
    let csrf = consent_token(app, sealed, signed_in);
    let ask = AskForm {
        form_action: &form_action,
        sealed_request: &sealed.text,
        csrf: &csrf,
    };
    let again = address_of(server, sealed);
    let must_ask = client.registration == ClientRegistration::MetadataDocument
        && match app
            .authority
            .store()
            .find_client_trust(&server.server.slug, &client.id)
            .await
        {
            Ok(trust) => trust.is_none(),
            Err(error) => return respond::error_page(app, step, &error.into(), TRY_AGAIN),
        };
    let (again, ask) = if must_ask {
        (None, Some(ask))
    } else {
        (Some(again.as_str()), None)
    };
    respond::waiting(app, step, client, error, again, ask)
}

fn address_of(server: &ServerContext, sealed: &SealedRequest) -> String {
    format!(
        "/servers/{}/authorize?request={}",
        server.slug(),
        sealed.text
    )
}

fn going_on_page(
    app: &App,
    server: &ServerContext,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
    question: &Question,
) -> String {
    pages::going_on(&GoingOnPage {
        server_name: &server.server.name,
        client_name: &question.client.name,
        return_host: &sealed.request.redirect_uri.display_host(),
        user_email: signed_in.user.email.as_str(),
        form_action: &format!("/servers/{}/authorize", server.slug()),
        sealed_request: &sealed.text,
        csrf: &consent_token(app, sealed, signed_in),
        switch_account_action: "/sign-out",
    })
}

fn consent_token(app: &App, sealed: &SealedRequest, signed_in: &SignedIn) -> String {
    csrf::token(
        &app.authority,
        Form::Consent,
        signed_in.session.id.as_str(),
        &sealed.text,
    )
}

fn consent_page(
    app: &App,
    server: &ServerContext,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
    question: &Question,
    logo: Option<&str>,
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
    pages::consent(&ConsentPage {
        server_name: &server.server.name,
        resource: &server.server.resource,
        client_name: &question.client.name,
        standing: match &question.proof {
            ClientProof::Host(host) => ClientStanding::Verified(host),
            ClientProof::Owner => ClientStanding::AddedByOwner,
            ClientProof::DocumentOnly(host) => ClientStanding::DocumentOf(host),
            ClientProof::Nobody => ClientStanding::Unverified,
        },
        client_logo: logo,
        name_caution: question.name_caution,
        return_host: &return_host,
        return_kind: sealed.request.redirect_uri.kind(),
        by_hand: !server.is_administration(),
        user_name: &signed_in.user.name,
        user_email: signed_in.user.email.as_str(),
        expected_email: question.expected_email.as_deref(),
        scopes,
        withheld: question
            .withheld
            .iter()
            .map(|withheld| (withheld.scope.as_str(), withheld.reason.in_words()))
            .collect(),
        form_action: &format!("/servers/{}/authorize", server.slug()),
        sealed_request: &sealed.text,
        csrf: &consent_token(app, sealed, signed_in),
        switch_account_action: "/sign-out",
        lasts: &lasts(&server.server.settings),
        remember_note: remember_note(sealed, question),
    })
}

/// When the last refresh token dies, as far as it can be said beforehand.
fn lasts(settings: &ServerSettings) -> String {
    let whole = span::in_words(Duration::from_secs(settings.family_seconds));
    if settings.refresh_token_seconds < settings.family_seconds {
        let unused = span::in_words(Duration::from_secs(settings.refresh_token_seconds));
        format!("It stays connected for up to {whole}, and for {unused} without being used.")
    } else {
        format!("It stays connected for up to {whole}.")
    }
}

fn remember_note(sealed: &SealedRequest, question: &Question) -> Option<&'static str> {
    let holds = sealed.request.redirect_uri.kind() == RedirectUriKind::Https
        && matches!(question.proof, ClientProof::Host(_) | ClientProof::Owner);
    if holds {
        Some("You are not asked again until it wants more.")
    } else {
        question
            .approved_before
            .map(|_| "You approved this application before. It asks each time it signs in anew.")
    }
}

/// `POST /servers/{slug}/authorize`: what the person decided on the consent page; or the request of a client that
/// sends it as a form (OpenID Connect Core section 3.1.2.1), which is read like one that comes by GET.
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
    // What stands in the address is not merged with what stands in the body: two readers would differ on it.
    let form = if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        Err(Error::invalid_request(
            "the parameters of a form belong in its body, not in the address",
        ))
    } else {
        Parameters::parse(&body)
    };
    let form = match form {
        Ok(form) => form,
        Err(error) => return respond::error_page(&app, step, &error, TELL_ITS_MAKERS),
    };
    let is_ours = form.get("decision").is_some() || form.get("request").is_some();
    if form.get("client_id").is_some() || !is_ours {
        let step = Step {
            name: "authorize",
            client_id: form.get("client_id"),
            ..step
        };
        return begin(&app, &server, step, &form, None, &parts).await;
    }
    match decide(&app, &server, &form, &parts.headers).await {
        Ok(response) => response,
        Err(refusal) => respond::refusal(&app, step, &refusal, true),
    }
}

async fn decide(
    app: &App,
    server: &ServerContext,
    form: &Parameters<'_>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
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
    let ask_again = || respond::see_other(&address_of(server, &sealed));
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
            let approval = Approval {
                ticked: &ticked,
                // Whoever is asked for that code on the phone gives the whole authority away.
                by_hand: form.get("return") == Some("by-hand") && !server.is_administration(),
            };
            let answer =
                consent::approve(&app.authority, server, &sealed, &signed_in, approval).await?;
            app.emit(Some(server.slug()), headers, || EventKind::ConsentGiven {
                client_id,
                client_name: answer.client_name.clone(),
                user_name,
                scopes: answer.scopes.clone(),
            });
            metric::authorization(server.slug(), "consented");
            Ok(returning(&answer, false, approval.by_hand))
        }
        Some("ask") => {
            let user = &signed_in.user.id;
            client_trust::ask(&app.authority, server, &sealed.request.client, user).await?;
            Ok(ask_again())
        }
        Some("continue") => {
            let answer = consent::go_on(&app.authority, server, &sealed, &signed_in).await?;
            Ok(match answer {
                Some(answer) => {
                    metric::authorization(server.slug(), "continued");
                    returning(&answer, false, false)
                }
                None => ask_again(),
            })
        }
        Some("deny") => {
            let answer = consent::deny(&app.authority, server, &sealed.request, &signed_in).await?;
            app.emit(Some(server.slug()), headers, || EventKind::ConsentRefused {
                client_id,
                client_name: answer.client_name.clone(),
                user_name,
            });
            metric::authorization(server.slug(), "denied");
            Ok(returning(&answer, true, false))
        }
        _ => Err(Refusal::page(
            Error::invalid_request("decision must be approve or deny"),
            "Go back and press one of the two buttons.",
        )),
    }
}

/// Not a redirect: Chromium's `form-action` forbids a form's redirects to leave our origin, so a page goes on from here.
fn returning(answer: &Answer, denied: bool, by_hand: bool) -> Response {
    let html = pages::returning(&ReturningPage {
        client_name: &answer.client_name,
        url: &answer.address,
        kind: answer.kind,
        denied,
        by_hand,
        unknown_host: answer.unknown_host.as_deref(),
    });
    respond::page(StatusCode::OK, PageKind::Plain, html)
}
