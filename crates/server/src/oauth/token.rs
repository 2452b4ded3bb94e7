use ::oauth::token::{IssuedKind, token};
use ::oauth::{BasicCredentials, Error, Parameters, ServerContext};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;

use super::basic;
use crate::app::AppState;
use crate::body::read_form;
use crate::event::EventKind;
use crate::in_server::InServer;
use crate::metric;
use crate::respond::{self, Step};

/// `POST /servers/{slug}/token`: decodes the form and the credentials, nothing more.
pub(crate) async fn post(
    State(app): State<AppState>,
    InServer(server): InServer,
    request: Request,
) -> Response {
    let mut grant_type = metric::grant_type(None);
    let answer = answer(&app, &server, request, &mut grant_type).await;
    let answer = answer.unwrap_or_else(|refusal| refusal);
    metric::token_request(server.slug(), grant_type, &answer);
    answer
}

async fn answer(
    app: &AppState,
    server: &ServerContext,
    request: Request,
    grant_type: &mut &'static str,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let step = Step {
        name: "token",
        server: Some(server.slug()),
        client_id: None,
        headers: &parts.headers,
    };
    let body = read_form_alone(app, step, &parts, body).await?;
    let (form, header) =
        decode(&parts, &body).map_err(|error| respond::oauth_error(app, step, &error))?;
    *grant_type = metric::grant_type(form.get("grant_type"));
    let issued = match token(&app.authority, server, &form, header.as_ref()).await {
        Ok(issued) => issued,
        Err(error) => {
            let client_id = form
                .get("client_id")
                .or(header.as_ref().map(|basic| basic.client_id.as_str()));
            return Err(respond::oauth_error(
                app,
                Step { client_id, ..step },
                &error,
            ));
        }
    };
    app.emit(Some(server.slug()), &parts.headers, || {
        let client_id = issued.client.as_str().to_owned();
        let grant_id = issued.grant.as_str().to_owned();
        match issued.kind {
            IssuedKind::CodeRedeemed => EventKind::CodeRedeemed {
                client_id,
                grant_id,
                scopes: issued.scopes.clone(),
            },
            IssuedKind::ActsForItself => EventKind::ActedForItself {
                client_id,
                scopes: issued.scopes.clone(),
            },
            kind @ (IssuedKind::Refreshed | IssuedKind::RefreshRepeated) => EventKind::Refreshed {
                client_id,
                grant_id,
                repeated: kind == IssuedKind::RefreshRepeated,
            },
        }
    });
    Ok(respond::json(StatusCode::OK, &issued.response))
}

/// The body of a request whose parameters must all stand in it, as a form; else what to answer.
pub(crate) async fn read_form_alone(
    app: &AppState,
    step: Step<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Bytes, Response> {
    if let Err(error) = nothing_in_query(parts.uri.query()) {
        return Err(respond::oauth_error(app, step, &error));
    }
    read_form(&parts.headers, body).await.map_err(|refusal| {
        let error = Error::invalid_request(refusal.description());
        respond::oauth_error_with(app, step, &error, refusal.status())
    })
}

/// The form of such a body, and the credentials in the header.
pub(crate) fn decode<'a>(
    parts: &Parts,
    body: &'a [u8],
) -> Result<(Parameters<'a>, Option<BasicCredentials>), Error> {
    Ok((Parameters::parse(body)?, basic::read(&parts.headers)?))
}

/// Addresses end up in logs of proxies; secrets do not belong there (RFC 6749 section 2.3.1).
fn nothing_in_query(query: Option<&str>) -> Result<(), Error> {
    match query {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::invalid_request(
            "parameters belong in the body, not in the address",
        )),
    }
}
