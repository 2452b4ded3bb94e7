//! Tokens that a correct authorization server never issues, signed with its own key; or collected from where they were.

use std::sync::Arc;

use base::Secret;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::bad_tokens::Refuses;
use super::scopes::Narrow;
use super::{claims, forge, found, knock, not_examined};
use crate::flaws::attack as flaw;
use crate::flaws::signed_in::TOKEN_AUD_MISSING;
use crate::{Desk, Exchange, Flaw};

const OF_ISSUER: &str =
    "The authorization server issues such tokens to others, for other servers and times.";

/// Tries them all; a good token of the same kind, where one could be made and is taken.
pub(super) async fn examine(desk: &mut Desk, refuses: Refuses) -> Option<Secret<String>> {
    let materials = desk.plan.attack_materials.clone();
    if let Some(token) = materials.expired_token {
        let exchange = tried(desk, "a token that was good once", token.expose()).await;
        expired(desk, &exchange);
    }
    if let Some(token) = materials.other_audience_token {
        let exchange = tried(desk, "a token for another resource", token.expose()).await;
        let words = "A token for another resource is taken";
        judge(
            desk,
            flaw::ACCEPTS_WRONG_AUDIENCE,
            words,
            "Compare aud with the MCP URL.",
            &exchange,
        );
    }
    let Some(pem) = materials.signing_key_pem else {
        not_examined(
            desk,
            "expired tokens, other audiences and other issuers: no library signs those without the key (--attack-key)",
        );
        return None;
    };
    let Some(mint) = Mint::new(desk, pem.expose()) else {
        not_examined(
            desk,
            "expired tokens, other audiences and other issuers: the key could not be read",
        );
        return None;
    };
    let good = mint.sign(&claims::good(desk))?;
    let exchange = tried(desk, "a token signed with the key that was given", &good).await;
    if !knock::is_let_in(&exchange) {
        not_examined(
            desk,
            format!(
                "expired tokens, other audiences and other issuers: a good token signed with the key that was given is answered {}",
                exchange.outcome()
            ),
        );
        return None;
    }
    if refuses == Refuses::Yes {
        each(desk, &mint).await;
    }
    Some(Secret::new(good))
}

async fn each(desk: &mut Desk, mint: &Mint) {
    let now = desk.plan.clock.now().unix_ms() / 1000;
    let with = |desk: &Desk, change: &dyn Fn(&mut Value)| {
        let mut claims = claims::good(desk);
        change(&mut claims);
        mint.sign(&claims).unwrap_or_default()
    };
    let token = with(desk, &|claims| {
        claims["iat"] = json!(now - 7200);
        claims["exp"] = json!(now - 3600);
    });
    let exchange = tried(desk, "a token that ended an hour ago", &token).await;
    expired(desk, &exchange);
    for (flaw, purpose, title, change, token) in [
        (
            flaw::ACCEPTS_WRONG_AUDIENCE,
            "a token for another resource",
            "A token for another resource is taken",
            "Refuse tokens whose aud is not the MCP URL.",
            with(desk, &|claims| claims["aud"] = json!(claims::NOWHERE)),
        ),
        (
            flaw::ACCEPTS_NO_AUDIENCE,
            "a token without aud",
            "A token that is for nothing in particular is taken",
            "Refuse tokens without aud.",
            with(desk, &|claims| {
                claims.as_object_mut().map(|members| members.remove("aud"));
            }),
        ),
        (
            flaw::ACCEPTS_OTHER_ISSUER,
            "a token of another issuer",
            "A token that names another issuer is taken",
            "Refuse tokens whose iss is not the issuer of the metadata, byte for byte.",
            with(desk, &|claims| {
                claims["iss"] = json!("https://portcullis-doctor.invalid")
            }),
        ),
    ] {
        let exchange = tried(desk, purpose, &token).await;
        judge(desk, flaw, title, change, &exchange);
    }
}

/// The good token with a scope that nobody knows, where this server has scopes at all.
pub(super) fn without_scopes(desk: &Desk, good: &Secret<String>) -> Option<Narrow> {
    let pem = desk.plan.attack_materials.signing_key_pem.as_ref()?;
    let mint = Mint::new(desk, pem.expose())?;
    let mut claims = claims::written(good.expose())?;
    if claims["scope"].as_str().is_none_or(str::is_empty) {
        return None;
    }
    claims["scope"] = json!("portcullis-doctor:nothing");
    let token = Secret::new(mint.sign(&claims)?);
    Some(Narrow {
        token,
        has_none: true,
    })
}

fn expired(desk: &mut Desk, exchange: &Arc<Exchange>) {
    if knock::is_let_in(exchange) {
        judge(
            desk,
            flaw::ACCEPTS_EXPIRED,
            "An expired token is taken",
            "Refuse tokens whose exp is past.",
            exchange,
        );
    } else if exchange.answer.is_ok()
        && exchange.status() != Some(401)
        && !desk.notes.has(flaw::BAD_TOKEN_NOT_401)
    {
        let title = format!("An expired token is answered {}", exchange.outcome());
        let words = [
            title.as_str(),
            "Every session ends with a failure that no client understands; they refresh at 401 only.",
            "Answer 401 with `WWW-Authenticate: Bearer error=\"invalid_token\", ...`.",
        ];
        found(desk, flaw::EXPIRED_NOT_401, words, &[exchange]);
    }
}

fn judge(desk: &mut Desk, broken: Flaw, title: &str, change: &str, exchange: &Arc<Exchange>) {
    // Who issues tokens without aud has to take them: that was said.
    let is_told = broken == flaw::ACCEPTS_NO_AUDIENCE && desk.notes.has(TOKEN_AUD_MISSING);
    if knock::is_let_in(exchange) && !is_told {
        found(desk, broken, [title, OF_ISSUER, change], &[exchange]);
    }
}

async fn tried(desk: &Desk, purpose: &str, token: &str) -> Arc<Exchange> {
    desk.wire.keep_secret(token);
    let exchange = knock::initialize(desk, purpose, Some(token), &[]).await;
    if knock::is_let_in(&exchange) {
        knock::leave(desk, &exchange, token).await;
    }
    exchange
}

/// A key that the server believes.
struct Mint {
    header: Header,
    key: EncodingKey,
}

impl Mint {
    fn new(desk: &Desk, pem: &str) -> Option<Self> {
        let published = forge::signing_key(desk.scene.jwks.as_ref());
        let (algorithm, key) = match forge::algorithm(published.as_ref()) {
            "ES256" => (Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes())),
            "ES384" => (Algorithm::ES384, EncodingKey::from_ec_pem(pem.as_bytes())),
            "EdDSA" => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem.as_bytes())),
            "PS256" => (Algorithm::PS256, EncodingKey::from_rsa_pem(pem.as_bytes())),
            _ => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes())),
        };
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = published.and_then(|key| Some(key.get("kid")?.as_str()?.to_owned()));
        Some(Self {
            header,
            key: key.ok()?,
        })
    }

    fn sign(&self, claims: &Value) -> Option<String> {
        jsonwebtoken::encode(&self.header, claims, &self.key).ok()
    }
}
