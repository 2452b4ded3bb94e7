//! What the registration endpoint does with what clients send. Only with `--register`, or on this machine.

mod answer;
mod registered;

use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;

use crate::endpoints::add;
use crate::flaws::reach::INTERNAL_HOST_IN_METADATA;
use crate::flaws::registration::{
    REGISTER_ACCEPTS_HTTP, REGISTER_ACCEPTS_JAVASCRIPT, REGISTER_RATE_LIMIT, REGISTER_REFUSED,
    REGISTER_REFUSES_LOOPBACK, REGISTER_REFUSES_MIXED, REGISTER_REFUSES_UNKNOWN_MEMBER,
};
use crate::flaws::server_metadata::{ASM_HTTP_ENDPOINT, ASM_NEEDS_OWN_AUTHORITY};
use crate::{Ask, Desk, Exchange, Section};

/// How every client of the doctor begins its name, so that an operator knows whom to delete.
const NAME: &str = "Portcullis doctor";

const PRIVATE_SCHEME: &str = "cursor://anysphere.cursor-mcp/oauth/callback";
const HTTPS: &str = "https://portcullis-doctor.example/callback";
const LOOPBACK: &str = "http://127.0.0.1:33418/callback";

pub(crate) async fn examine(desk: &mut Desk) {
    let Some(endpoint) = desk.scene.endpoint("registration_endpoint") else {
        return;
    };
    if desk.notes.has_any(&[
        INTERNAL_HOST_IN_METADATA,
        ASM_HTTP_ENDPOINT,
        ASM_NEEDS_OWN_AUTHORITY,
    ]) {
        return;
    }
    if !desk.may_register(&endpoint) {
        desk.notes.not_examined(
            Section::Registration,
            format!("registering at {endpoint}: give --register, and clients named \"{NAME} ...\" are registered there"),
        );
        return;
    }
    let found_before = desk.notes.findings().len();
    if let Some(registered) = accepted(desk, &endpoint).await {
        answer::examine(desk, &registered);
        registered::examine(desk).await;
        if each_alone(desk, &endpoint).await {
            must_be_refused(desk, &endpoint).await;
        }
    }
    if desk.notes.findings().len() == found_before {
        desk.notes.well(
            Section::Registration,
            "what real clients send is registered, what nobody may register is not",
        );
    }
}

/// What Cursor, VS Code and Claude Code send, together: three kinds of return addresses and members that few servers know.
fn full(what: &str) -> Value {
    json!({
        "client_name": format!("{NAME} ({what})"),
        "redirect_uris": [PRIVATE_SCHEME, HTTPS, LOOPBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "software_id": "portcullis-doctor",
        "portcullis_doctor_unknown": "a member that no server knows",
    })
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

fn without(mut body: Value, member: &str) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.remove(member);
    }
    body
}

async fn send(desk: &Desk, endpoint: &Url, purpose: &str, body: &Value) -> Arc<Exchange> {
    let ask = Ask::post_json(endpoint.as_str(), purpose, body);
    desk.send(ask).await
}

/// Sends `body` as clients that do not say what they are, and when that is refused, as those that say that they are native: only what is
/// refused to both is refused.
async fn native_or_not(desk: &Desk, endpoint: &Url, purpose: &str, body: Value) -> Arc<Exchange> {
    let unsaid = send(desk, endpoint, purpose, &body).await;
    if unsaid.is_success() || unsaid.status() == Some(429) {
        return unsaid;
    }
    let native = with(body, "application_type", json!("native"));
    send(desk, endpoint, &format!("{purpose}, as native"), &native).await
}

/// Registers as real clients do; when that is refused, finds out why. The answer to the registration that was taken.
async fn accepted(desk: &mut Desk, endpoint: &Url) -> Option<Arc<Exchange>> {
    let everything = send(
        desk,
        endpoint,
        "a registration as real clients send it",
        &full("all kinds of return addresses"),
    )
    .await;
    if everything.is_success() {
        return Some(everything);
    }
    if is_limited(desk, &everything) {
        return None;
    }
    let plain = without(full("https only"), "portcullis_doctor_unknown");
    let plain = without(plain, "software_id");
    let plain = without(plain, "application_type");
    let https = with(plain.clone(), "redirect_uris", json!([HTTPS]));
    let https = send(
        desk,
        endpoint,
        "a registration with one https return address",
        &https,
    )
    .await;
    if is_limited(desk, &https) {
        return None;
    }
    if !https.is_success() {
        let outcome = https.outcome();
        add(
            desk,
            &https,
            REGISTER_REFUSED,
            "Nobody can register",
            format!(
                "The simplest registration is answered {outcome}: {}",
                words(&https)
            ),
            "Take registrations without authentication, or leave registration_endpoint out and take metadata documents.",
        );
        return None;
    }
    let loopback = with(
        plain.clone(),
        "client_name",
        json!(format!("{NAME} (loopback)")),
    );
    let loopback = with(loopback, "redirect_uris", json!([LOOPBACK]));
    let loopback = native_or_not(
        desk,
        endpoint,
        "a registration with a return address on the person's machine",
        loopback,
    )
    .await;
    if is_limited(desk, &loopback) {
        return None;
    }
    if !loopback.is_success() {
        loopback_refused(desk, &loopback, LOOPBACK);
        return Some(https);
    }
    let mixed = with(plain, "client_name", json!(format!("{NAME} (mixed)")));
    let mixed = with(
        mixed,
        "redirect_uris",
        json!([PRIVATE_SCHEME, HTTPS, LOOPBACK]),
    );
    let mixed = native_or_not(
        desk,
        endpoint,
        "a registration with three kinds of return addresses",
        mixed,
    )
    .await;
    if is_limited(desk, &mixed) {
        return None;
    }
    if mixed.is_success() {
        add(
            desk,
            &everything,
            REGISTER_REFUSES_UNKNOWN_MEMBER,
            "Members that the server does not know are refused",
            format!(
                "A registration with application_type, software_id and an unknown member is answered {}: {} Without them it is taken.",
                everything.outcome(),
                words(&everything)
            ),
            "Ignore members that are not known.",
        );
        return Some(mixed);
    }
    add(
        desk,
        &mixed,
        REGISTER_REFUSES_MIXED,
        "A list with several kinds of return addresses is refused",
        format!(
            "{PRIVATE_SCHEME}, {HTTPS} and {LOOPBACK} together are answered {}: {} Cursor sends such a list and cannot register.",
            mixed.outcome(),
            words(&mixed)
        ),
        "Take private schemes of known clients, and do not refuse the whole request for one of its addresses.",
    );
    Some(loopback)
}

/// One return address of each kind: a server may take a list for one of its members. Also a small burst, as of a few people
/// behind one address. Whether the server still answers.
async fn each_alone(desk: &mut Desk, endpoint: &Url) -> bool {
    for uri in [
        LOOPBACK,
        "http://localhost:49152/callback",
        HTTPS,
        PRIVATE_SCHEME,
        HTTPS,
    ] {
        let body = json!({
            "client_name": format!("{NAME} (one address)"),
            "redirect_uris": [uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let purpose = format!("a registration with {uri} alone");
        let exchange = native_or_not(desk, endpoint, &purpose, body).await;
        if is_limited(desk, &exchange) {
            return false;
        }
        if !exchange.is_success()
            && uri.starts_with("http:")
            && !desk.notes.has(REGISTER_REFUSES_LOOPBACK)
        {
            loopback_refused(desk, &exchange, uri);
        }
    }
    true
}

fn loopback_refused(desk: &mut Desk, exchange: &Exchange, uri: &str) {
    add(
        desk,
        exchange,
        REGISTER_REFUSES_LOOPBACK,
        "Return addresses on the person's machine are refused",
        format!(
            "{uri} is answered {}: {} Claude Code, VS Code, Codex and every other client on a machine needs one.",
            exchange.outcome(),
            words(exchange)
        ),
        "Take http:// with 127.0.0.1, [::1] and localhost, whatever the port.",
    );
}

/// Whether the server says that it was asked too often; that is a finding after so few requests.
fn is_limited(desk: &mut Desk, exchange: &Exchange) -> bool {
    if exchange.status() != Some(429) {
        return exchange.answer.is_err();
    }
    add(
        desk,
        exchange,
        REGISTER_RATE_LIMIT,
        "Registrations are limited so that real clients are refused",
        format!(
            "After at most ten registrations the answer is 429 (Retry-After: {}). Hosted clients of many people come from few addresses.",
            exchange.header("retry-after").unwrap_or("none")
        ),
        "Allow bursts of dozens per address, and take metadata documents, which need no registration.",
    );
    desk.notes.not_examined(
        Section::Registration,
        "the rest of registration: the server asked to wait",
    );
    true
}

async fn must_be_refused(desk: &mut Desk, endpoint: &Url) {
    for (uri, flaw, what, change) in [
        (
            "javascript:alert(document.domain)//portcullis-doctor",
            REGISTER_ACCEPTS_JAVASCRIPT,
            "A javascript: return address is registered",
            "Refuse javascript:, data:, vbscript:, file: and blob: wherever a return address can be given.",
        ),
        (
            "http://portcullis-doctor.example/callback",
            REGISTER_ACCEPTS_HTTP,
            "An http return address of another machine is registered",
            "Refuse http unless the host is 127.0.0.1, [::1] or localhost.",
        ),
    ] {
        let body = json!({
            "client_name": format!("{NAME} (must be refused)"),
            "redirect_uris": [uri],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let exchange = send(desk, endpoint, &format!("a registration with {uri}"), &body).await;
        if is_limited(desk, &exchange) {
            return;
        }
        // Taken only when the address stands in the answer: a server may drop it and say so.
        if exchange.is_success() && exchange.text().contains(uri) {
            add(
                desk,
                &exchange,
                flaw,
                what,
                format!(
                    "{uri} is answered {}. Whoever gets a person to consent gets the code at that address.",
                    exchange.outcome()
                ),
                change,
            );
        }
    }
}

/// What the server said, in short.
fn words(exchange: &Exchange) -> String {
    let said = exchange.json().and_then(|json| {
        json.get("error_description")
            .or_else(|| json.get("error"))
            .or_else(|| json.get("message"))
            .and_then(Value::as_str)
            .map(str::to_owned)
    });
    match said {
        Some(said) => format!("{:?}.", said.chars().take(200).collect::<String>()),
        None => "without words.".to_owned(),
    }
}
