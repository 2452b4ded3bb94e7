//! What the OAuth endpoints do with somebody whom they do not know. Nothing is changed by it.

use base::random_token;
use url::Url;

use crate::flaws::cors::PREFLIGHT_REFUSED;
use crate::flaws::endpoints::{
    AUTHORIZE_MISSING, AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS, TOKEN_CACHEABLE, TOKEN_ERROR_HTML,
    TOKEN_ERROR_NOT_OAUTH, TOKEN_MISSING, TOKEN_REDIRECTS, TOKEN_UNKNOWN_CLIENT_500,
    TOKEN_UNKNOWN_CLIENT_OTHER, TOKEN_WANTS_JSON,
};
use crate::flaws::reach::INTERNAL_HOST_IN_METADATA;
use crate::flaws::server_metadata::{ASM_HTTP_ENDPOINT, ASM_NEEDS_OWN_AUTHORITY};
use crate::look::Look;
use crate::{Ask, Desk, Exchange, Finding, Flaw, Section};

const UNKNOWN_CLIENT: &str = "portcullis-doctor-unknown-client";
/// A name that is set aside for names that do not exist (RFC 6761 section 6.4).
const NOWHERE: &str = "https://portcullis-doctor.invalid/callback";

pub(crate) async fn examine(desk: &mut Desk) {
    if desk.notes.has_any(&[
        INTERNAL_HOST_IN_METADATA,
        ASM_HTTP_ENDPOINT,
        ASM_NEEDS_OWN_AUTHORITY,
    ]) {
        desk.notes.not_examined(
            Section::Endpoints,
            "the OAuth endpoints: their addresses are not ones for clients",
        );
        return;
    }
    let found_before = desk.notes.findings().len();
    let authorize = desk.scene.endpoint("authorization_endpoint");
    let token = desk.scene.endpoint("token_endpoint");
    if authorize.is_none() && token.is_none() {
        desk.notes
            .not_examined(Section::Endpoints, "the OAuth endpoints: none is named");
        return;
    }
    if let Some(url) = authorize {
        unknown_client_at_authorize(desk, url).await;
    }
    if let Some(url) = token {
        unknown_client_at_token(desk, &url).await;
    }
    if desk.notes.findings().len() == found_before {
        desk.notes.well(
            Section::Endpoints,
            "an unknown client is refused in the right words and sent nowhere",
        );
    }
}

/// The query of an authorization request.
pub(crate) fn authorization_request(
    desk: &Desk,
    endpoint: &Url,
    client_id: &str,
    redirect_uri: &str,
    with_pkce: bool,
) -> Url {
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", "portcullis-doctor-state")
        .append_pair("resource", desk.scene.url.as_str());
    if with_pkce {
        // The challenge of RFC 7636 appendix B: its verifier is public, and no code is ever asked for with it.
        query
            .append_pair(
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            )
            .append_pair("code_challenge_method", "S256");
    }
    drop(query);
    url
}

async fn unknown_client_at_authorize(desk: &mut Desk, endpoint: Url) {
    let url = authorization_request(desk, &endpoint, UNKNOWN_CLIENT, NOWHERE, true);
    let ask = Ask::new(
        http::Method::GET,
        url.as_str(),
        "an authorization request of a client that nobody knows",
    )
    .header("accept", "text/html");
    let exchange = desk.send(ask).await;
    match Look::of(&exchange) {
        Look::Redirect(place) if place.starts_with("https://portcullis-doctor.invalid") => add(
            desk,
            &exchange,
            AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS,
            "The authorization endpoint sends people anywhere",
            "A request with an invented client_id is answered with a redirect to the address in the request. Anybody can make links on this \
             host that lead to a page of theirs, and codes may go with them.",
            "Look up client_id first; when it is unknown, or redirect_uri is not one of its own, show an error page and redirect nowhere.",
        ),
        Look::Nothing if matches!(exchange.status(), Some(404 | 405)) => add(
            desk,
            &exchange,
            AUTHORIZE_MISSING,
            "Nothing is at the authorization endpoint",
            format!("{endpoint} answers {}.", exchange.outcome()),
            "Name the address where people sign in as authorization_endpoint.",
        ),
        Look::ServerError | Look::NoAnswer(_) => add(
            desk,
            &exchange,
            AUTHORIZE_MISSING,
            "The authorization endpoint fails",
            format!("{endpoint}: {}.", exchange.outcome()),
            "Answer a request of an unknown client with an error page, status 400.",
        ),
        _ => {}
    }
}

async fn unknown_client_at_token(desk: &mut Desk, endpoint: &Url) {
    let verifier = random_token(&*desk.plan.random, "");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", "portcullis-doctor-no-code"),
        ("client_id", UNKNOWN_CLIENT),
        ("redirect_uri", NOWHERE),
        ("code_verifier", verifier.as_str()),
        ("resource", desk.scene.url.as_str()),
    ];
    let ask = Ask::post_form(
        endpoint.as_str(),
        "a token request of a client that nobody knows",
        &fields,
    );
    let exchange = desk.send(ask).await;
    let status = exchange.status().unwrap_or_default();
    let code = exchange
        .json()
        .and_then(|json| json.get("error")?.as_str().map(str::to_owned));
    let outcome = exchange.outcome();
    if exchange.answer.is_err() {
        add(
            desk,
            &exchange,
            TOKEN_MISSING,
            "The token endpoint does not answer",
            format!("{endpoint}: {outcome}."),
            "Serve the token endpoint at the address in the metadata.",
        );
        return;
    }
    if exchange.redirects_to().is_some() {
        add(
            desk,
            &exchange,
            TOKEN_REDIRECTS,
            "The token endpoint redirects",
            format!(
                "{endpoint} is answered {outcome}. Clients do not follow with the code in hand."
            ),
            "Name the final address as token_endpoint.",
        );
        return;
    }
    if status == 404 || status == 405 {
        // What a page is told there has the same cause.
        desk.notes.forget(PREFLIGHT_REFUSED, endpoint.as_str());
        add(
            desk,
            &exchange,
            TOKEN_MISSING,
            "Nothing is at the token endpoint",
            format!("POST {endpoint} is answered {outcome}."),
            "Name the address that takes POST as token_endpoint.",
        );
        return;
    }
    // Frameworks answer 415 with an `error` that is no code of OAuth.
    let is_odd = code.is_none() || status == 415;
    if is_odd && wants_json(desk, endpoint, &fields, status).await {
        add(
            desk,
            &exchange,
            TOKEN_WANTS_JSON,
            "The token endpoint takes JSON instead of a form",
            format!(
                "A form is answered {outcome}, the same request as JSON is understood. Every client sends a form."
            ),
            "Read application/x-www-form-urlencoded.",
        );
        return;
    }
    error_answer(desk, &exchange, code.filter(|code| is_error_code(code)));
}

async fn wants_json(
    desk: &Desk,
    endpoint: &Url,
    fields: &[(&str, &str)],
    form_status: u16,
) -> bool {
    if form_status == 415 {
        return true;
    }
    let body: serde_json::Map<String, serde_json::Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let ask = Ask::post_json(
        endpoint.as_str(),
        "the same token request as JSON",
        &body.into(),
    );
    let exchange = desk.send(ask).await;
    exchange
        .json()
        .and_then(|json| json.get("error")?.as_str().map(is_error_code))
        .unwrap_or(false)
}

/// Whether `code` looks like one of RFC 6749 section 5.2, and not like a sentence.
fn is_error_code(code: &str) -> bool {
    !code.is_empty()
        && code
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn error_answer(desk: &mut Desk, exchange: &Exchange, code: Option<String>) {
    let status = exchange.status().unwrap_or_default();
    let outcome = exchange.outcome();
    let as_it_should =
        "Answer {\"error\": \"invalid_client\"} with status 401 (or 400) as application/json.";
    if exchange.is_html() && status < 500 {
        add(
            desk,
            exchange,
            TOKEN_ERROR_HTML,
            "The token endpoint answers with a page",
            format!(
                "An unknown client is answered {outcome}. Clients read JSON and cannot tell why they were refused."
            ),
            as_it_should,
        );
    } else if status >= 500 {
        add(
            desk,
            exchange,
            TOKEN_UNKNOWN_CLIENT_500,
            "An unknown client makes the token endpoint fail",
            format!(
                "It is answered {outcome}. Clients take it for an outage and keep trying with the client_id that is not known any more."
            ),
            as_it_should,
        );
    } else if code.is_none() || !matches!(status, 400 | 401) {
        add(
            desk,
            exchange,
            TOKEN_ERROR_NOT_OAUTH,
            "Errors of the token endpoint are not OAuth's",
            format!("An unknown client is answered {outcome}; error is {code:?}."),
            as_it_should,
        );
    } else if let Some(code) = code
        && code != "invalid_client"
    {
        add(
            desk,
            exchange,
            TOKEN_UNKNOWN_CLIENT_OTHER,
            format!("An unknown client is answered {code}"),
            "Clients register again when they hear invalid_client, and only then. With another answer they are stuck with a client_id that \
             you have forgotten.",
            as_it_should,
        );
    }
    let is_kept = !exchange
        .header("cache-control")
        .is_some_and(|value| value.to_ascii_lowercase().contains("no-store"));
    if is_kept
        && !desk
            .notes
            .has_any(&[TOKEN_ERROR_HTML, TOKEN_UNKNOWN_CLIENT_500])
    {
        add(
            desk,
            exchange,
            TOKEN_CACHEABLE,
            "An error of the token endpoint has no Cache-Control: no-store",
            format!(
                "Cache-Control is {} with it. An answer with tokens was not seen here.",
                exchange.header("cache-control").unwrap_or("missing")
            ),
            "Send Cache-Control: no-store with every answer of the token endpoint.",
        );
    }
}

pub(crate) fn add(
    desk: &mut Desk,
    exchange: &Exchange,
    flaw: Flaw,
    title: impl Into<String>,
    detail: impl Into<String>,
    change: &str,
) {
    let finding = Finding::new(flaw, title, detail, change).shown_by(desk.wire.evidence(exchange));
    desk.notes.add(finding);
}
