use std::sync::Arc;
use std::time::Duration;

use ::wire::mcp::{Json, Object};
use ::wire::oauth::JwkSet;
use url::Url;

use super::token_response::Tokens;
use super::{found, resource, say, well};
use crate::explain::{Form, Jwt, Outcome, check_signature, length, read, shown};
use crate::flaws::signed_in as flaw;
use crate::{Desk, Exchange, Flaw};

/// Looks at what a token claims, when that can be read. Says whether it found nothing.
///
/// Spec: RFC 9068 sections 2.2 and 4; RFC 8707 section 2.
pub fn check(desk: &mut Desk, tokens: &Tokens) -> bool {
    let (form, _) = read(tokens.access.expose());
    let jwt = match form {
        Form::Jwt(jwt) => jwt,
        Form::Opaque { characters } => {
            say(
                desk,
                format!(
                    "The access token is opaque ({characters} characters): its claims are known to the servers alone."
                ),
            );
            return true;
        }
        Form::Encrypted(_) => {
            say(
                desk,
                "The access token is encrypted: its claims are known to the servers alone.",
            );
            return true;
        }
        Form::Damaged { why } => {
            let why = format!("the claims of the access token: {why}");
            super::not_examined(desk, why);
            return true;
        }
    };
    let before = desk.notes.findings().len();
    let shown_by = tokens.exchange.iter().cloned().collect::<Vec<_>>();
    check_issuer(desk, &jwt.claims, &shown_by);
    check_audience(desk, &jwt.claims, &shown_by);
    check_life(desk, &jwt.claims, &shown_by);
    check_subject(desk, &jwt.claims, &shown_by);
    check_key(desk, &jwt, &shown_by);
    describe(desk, &jwt);
    let is_well = desk.notes.findings().len() == before;
    if is_well {
        well(
            desk,
            "the access token's issuer, audience, subject, expiry and signature",
        );
    }
    is_well
}

/// The scopes that a JWT names.
pub fn scope_of(token: &str) -> Option<String> {
    match read(token).0 {
        Form::Jwt(jwt) => jwt.claims.str("scope").map(str::to_owned),
        _ => None,
    }
}

/// The audience of a JWT, as JSON.
pub fn audience_of(token: &str) -> Option<String> {
    match read(token).0 {
        Form::Jwt(jwt) => jwt.claims.get("aud").map(Json::to_string),
        _ => None,
    }
}

fn check_issuer(desk: &mut Desk, claims: &Object, shown_by: &[Arc<Exchange>]) {
    let named = desk.scene.server_metadata.as_ref();
    let named = named.and_then(|metadata| metadata.get("issuer")?.as_str());
    let issuers: Vec<&str> = [named, desk.scene.issuer.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let Some(expected) = issuers.first().map(|issuer| shown(issuer, 200)) else {
        return;
    };
    let iss = claims.get("iss").and_then(Json::as_str);
    if iss.is_some_and(|iss| issuers.contains(&iss)) {
        return;
    }
    let is = iss.map_or("missing".to_owned(), |iss| shown(iss, 200));
    add(
        desk,
        shown_by,
        flaw::TOKEN_ISS_OTHER,
        format!("The access token's iss is {is}"),
        format!(
            "The metadata says {expected}. A verifier that compares the two, as it must, refuses every token."
        ),
        format!("Issue tokens with \"iss\": {expected:?}."),
    );
}

fn check_audience(desk: &mut Desk, claims: &Object, shown_by: &[Arc<Exchange>]) {
    let wanted = resource(desk);
    let audiences: Vec<String> = match claims.get("aud") {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(several)) => several
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    let named = shown(&wanted, 200);
    let change = format!(
        "Let the authorization server put the resource parameter of the request (RFC 8707) into aud: {named:?}; and let the MCP server refuse tokens without it."
    );
    if audiences.is_empty() {
        return add(
            desk,
            shown_by,
            flaw::TOKEN_AUD_MISSING,
            "The access token is for no audience".to_owned(),
            "It is as good at any other server that trusts this issuer: one of them can use the tokens it is sent here.".to_owned(),
            change,
        );
    }
    let is_for_it = |audience: &String| {
        is_same_resource(audience, &wanted) || is_same_resource(audience, &desk.scene.typed)
    };
    if audiences.iter().any(is_for_it) {
        return;
    }
    let listed: Vec<String> = audiences
        .iter()
        .take(4)
        .map(|one| shown(one, 200))
        .collect();
    let client = claims.str("client_id").or(claims.str("azp"));
    let why = match client {
        Some(client) if audiences.iter().any(|one| one == client) => {
            "That is the client's own id: the authorization server ignores resource."
        }
        _ => {
            "A server that checks the audience, as it must, refuses it; one that does not takes the tokens of its neighbours."
        }
    };
    add(
        desk,
        shown_by,
        flaw::TOKEN_AUD_OTHER,
        format!("The access token's aud is {}", listed.join(", ")),
        format!("It was asked for with resource={named}. {why}"),
        change,
    );
}

/// The same text; of an origin, URL libraries also write the form with a slash.
fn is_same_resource(one: &str, other: &str) -> bool {
    let is_origin =
        |text: &str| Url::parse(text).is_ok_and(|url| url.path() == "/" && url.query().is_none());
    one == other || (is_origin(one) && one.trim_end_matches('/') == other.trim_end_matches('/'))
}

fn check_life(desk: &mut Desk, claims: &Object, shown_by: &[Arc<Exchange>]) {
    let exp = claims.get("exp");
    // In seconds until the year 5138; what is above that is in milliseconds.
    let is_seconds = |exp: &Json| match exp {
        Json::Number(number) => number
            .as_str()
            .parse::<f64>()
            .is_ok_and(|seconds| (1e6..1e11).contains(&seconds)),
        _ => false,
    };
    if exp.is_some_and(is_seconds) {
        return;
    }
    let is = exp.map_or("missing".to_owned(), |exp| shown(&exp.to_string(), 60));
    add(
        desk,
        shown_by,
        flaw::TOKEN_EXP_MISSING,
        format!("The access token's exp is {is}"),
        "Without an end in seconds a verifier must refuse it, and one that does not takes it for ever.".to_owned(),
        "Issue tokens with exp as a number of seconds since 1970.".to_owned(),
    );
}

fn check_subject(desk: &mut Desk, claims: &Object, shown_by: &[Arc<Exchange>]) {
    if claims.str("sub").is_some_and(|sub| !sub.is_empty()) {
        return;
    }
    add(
        desk,
        shown_by,
        flaw::TOKEN_SUB_MISSING,
        "The access token does not say whose it is".to_owned(),
        "An MCP server cannot tell its callers apart, so that sessions and data of several people mix or every call is refused.".to_owned(),
        "Issue tokens with sub: an id of the person, or of the client when it acts for itself.".to_owned(),
    );
}

fn check_key(desk: &mut Desk, jwt: &Jwt, shown_by: &[Arc<Exchange>]) {
    let jwks = desk
        .scene
        .jwks
        .clone()
        .and_then(|jwks| serde_json::from_value::<JwkSet>(jwks).ok());
    let has_key_flaw = desk
        .notes
        .findings()
        .iter()
        .any(|finding| finding.flaw.section == crate::Section::Keys);
    let Some(jwks) = jwks.filter(|_| !has_key_flaw) else {
        return;
    };
    let signature = check_signature(jwt, Some(&jwks));
    if signature.outcome != Outcome::Bad {
        return;
    }
    add(
        desk,
        shown_by,
        flaw::TOKEN_NOT_VERIFIABLE,
        "The access token does not verify with the published keys".to_owned(),
        format!("Its signature: {}.", signature.says),
        "Sign access tokens with a key of the set at jwks_uri, and name it in kid.".to_owned(),
    );
}

fn describe(desk: &mut Desk, jwt: &Jwt) {
    let seconds = |name: &str| jwt.claims.get(name).and_then(Json::as_i64);
    let life = seconds("exp")
        .zip(seconds("iat"))
        .and_then(|(exp, iat)| u64::try_from(exp.checked_sub(iat)?).ok())
        .map_or(String::new(), |life| {
            format!(", good for {}", length(Duration::from_secs(life)))
        });
    let alg = jwt
        .header
        .str("alg")
        .map_or("no alg".to_owned(), |alg| shown(alg, 20));
    let scope = jwt.claims.str("scope").map_or(String::new(), |scope| {
        format!(", scopes {}", shown(scope, 200))
    });
    say(
        desk,
        format!("The access token is a JWT signed with {alg}{life}{scope}."),
    );
}

fn add(
    desk: &mut Desk,
    shown_by: &[Arc<Exchange>],
    flaw: Flaw,
    title: String,
    detail: String,
    change: String,
) {
    found(
        desk,
        flaw,
        [title, detail, change],
        shown_by.iter().cloned(),
    );
}
