use ::oauth::authorize::Refusal;
use ::oauth::csrf::{self, Form};
use ::oauth::{Error, Parameters, SealedRequest, session};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use crate::app::{App, AppState};
use crate::body::read_form;
use crate::pages::{self, SignedOutPage};
use crate::respond::{self, PageKind, Step};
use crate::same_origin::{self, Origin};

/// `POST /sign-out`: ends the session on the server. With a sealed request it is "use another account", and the
/// person signs in again for the same request.
pub(crate) async fn post(State(app): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "sign-out",
        server: None,
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
                "Go back and try again.",
                refusal.status(),
                heading,
            );
        }
    };
    match sign_out(&app, &body, &parts.headers).await {
        Ok(response) => response,
        Err(refusal) => respond::refusal(&app, step, &refusal, true),
    }
}

async fn sign_out(app: &App, body: &[u8], headers: &HeaderMap) -> Result<Response, Refusal> {
    let form = Parameters::parse(body)?;
    form.refuse_repeats(&[])?;
    let sealed = match form.get("request") {
        Some(text) => Some(SealedRequest::open(&app.authority, text)?),
        None => None,
    };
    let refused = || {
        Refusal::page(
            Error::invalid_request("this form was not sent from a page of ours"),
            "You are still signed in. Open the dashboard and sign out there.",
        )
    };
    // Another site's form brings no cookie along, but the answer to it could still clear ours.
    if same_origin::of_request(app, headers) == Origin::Foreign {
        return Err(refused());
    }
    if let Some(signed_in) = app.signed_in(headers).await? {
        let session_id = signed_in.session.id.as_str();
        let presented = form.get("csrf").unwrap_or_default();
        // On the consent page the same token serves both of its forms.
        let about = sealed.as_ref().map_or("", |sealed| &sealed.text);
        let genuine = match &sealed {
            Some(_) => csrf::is_valid(&app.authority, Form::Consent, session_id, about, presented),
            None => csrf::is_valid(&app.authority, Form::SignOut, session_id, about, presented),
        };
        if !genuine {
            return Err(refused());
        }
        session::end(&app.authority, &signed_in).await?;
    }
    let response = match &sealed {
        Some(sealed) => respond::see_other(&format!(
            "/servers/{}/authorize?request={}",
            sealed.request.server, sealed.text
        )),
        None => {
            let html = pages::signed_out(&SignedOutPage {
                sign_in_path: "/sign-in",
            });
            respond::page(StatusCode::OK, PageKind::Plain, html)
        }
    };
    Ok(respond::with_cookie(response, app.cookies.clear_login()))
}
