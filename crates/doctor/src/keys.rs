//! The keys that tokens are verified with, as anybody can fetch them.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::flaws::keys::{
    JWKS_EMPTY, JWKS_MISSING, JWKS_NO_KID, JWKS_NOT_JSON, JWKS_PRIVATE_KEY, JWKS_SYMMETRIC,
    JWKS_UNREACHABLE, JWKS_WEAK_RSA,
};
use crate::flaws::reach::INTERNAL_HOST_IN_METADATA;
use crate::flaws::server_metadata::{
    ASM_HTTP_ENDPOINT, ASM_NEEDS_OWN_AUTHORITY, ASM_NULL_MEMBERS, ASM_OIDC_INCOMPLETE,
    ASM_RELATIVE_ENDPOINT,
};
use crate::look::Look;
use crate::{Ask, Desk, Exchange, Finding, Flaw, Section};

/// Members of a JWK that only its owner may know (RFC 7518 sections 6.2.2 and 6.3.2).
const PRIVATE_MEMBERS: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];

const RSA_BITS_MIN: usize = 2048;

pub(crate) async fn examine(desk: &mut Desk) {
    let Some(metadata) = &desk.scene.server_metadata else {
        return;
    };
    if desk.notes.has(ASM_NEEDS_OWN_AUTHORITY) {
        return;
    }
    let Some(url) = desk.scene.endpoint("jwks_uri") else {
        let is_null = metadata.contains_key("jwks_uri");
        let is_told =
            desk.notes
                .has_any(&[ASM_OIDC_INCOMPLETE, ASM_RELATIVE_ENDPOINT, ASM_NULL_MEMBERS])
                || is_null;
        if !is_told {
            let mut finding = Finding::new(
                JWKS_MISSING,
                "There is no jwks_uri",
                "If access tokens are JWTs, nobody else can verify them. For opaque tokens this is in order; it cannot be told from outside.",
                "If access tokens are JWTs, publish their keys and name them in jwks_uri.",
            );
            if let Some(document) = desk.scene.server_documents.first() {
                finding = finding.shown_by(desk.wire.evidence(&document.exchange));
            }
            desk.notes.add(finding);
        }
        desk.notes
            .not_examined(Section::Keys, "the keys: no jwks_uri is named");
        return;
    };
    if desk
        .notes
        .has_any(&[INTERNAL_HOST_IN_METADATA, ASM_HTTP_ENDPOINT])
    {
        desk.notes.not_examined(
            Section::Keys,
            "the keys: their address is not one for clients",
        );
        return;
    }
    let exchange = desk.send(Ask::get(url.as_str(), "the key set")).await;
    let (flaw, title) = match Look::of(&exchange) {
        Look::Document => {
            set(desk, &exchange);
            return;
        }
        Look::Page | Look::NotJson => (JWKS_NOT_JSON, "The key set is no JSON object".to_owned()),
        _ => (
            JWKS_UNREACHABLE,
            format!("The key set is answered {}", exchange.outcome()),
        ),
    };
    add(
        desk,
        &exchange,
        flaw,
        title,
        format!(
            "{url}: {}. Servers that verify tokens by it refuse all of them.",
            exchange.outcome()
        ),
        "Serve the key set as JSON, without a token, at the address in jwks_uri.",
    );
}

fn add(
    desk: &mut Desk,
    exchange: &Exchange,
    flaw: Flaw,
    title: impl Into<String>,
    detail: impl Into<String>,
    change: &str,
) {
    let evidence = desk.wire.evidence(exchange);
    desk.notes
        .add(Finding::new(flaw, title, detail, change).shown_by(evidence));
}

fn set(desk: &mut Desk, exchange: &Exchange) {
    let Some(document) = exchange.json() else {
        return;
    };
    let Some(keys) = document.get("keys").and_then(Value::as_array).cloned() else {
        add(
            desk,
            exchange,
            JWKS_NOT_JSON,
            "The key set has no list of keys",
            "It is a JSON object without keys.",
            "Serve {\"keys\": [...]}.",
        );
        return;
    };
    let text =
        |key: &Value, member: &str| key.get(member).and_then(Value::as_str).map(str::to_owned);
    let found_before = desk.notes.findings().len();
    if keys.is_empty() {
        add(
            desk,
            exchange,
            JWKS_EMPTY,
            "The key set is empty",
            "No token of this server can be verified.",
            "Publish the keys that sign tokens now, and the earlier ones as long as their tokens live.",
        );
    }
    if keys
        .iter()
        .any(|key| text(key, "kty").as_deref() == Some("oct"))
    {
        add(
            desk,
            exchange,
            JWKS_SYMMETRIC,
            "The key set has a symmetric key",
            "Whoever reads it can sign tokens, and everybody can read it.",
            "Take it out, sign with a key pair, and treat every token signed with it as forged.",
        );
    } else if keys.iter().any(|key| {
        PRIVATE_MEMBERS
            .iter()
            .any(|member| key.get(member).is_some())
    }) {
        add(
            desk,
            exchange,
            JWKS_PRIVATE_KEY,
            "The key set has a private key",
            "Whoever reads it can sign tokens, and everybody can read it.",
            "Replace the key at once, publish only public members (kty, kid, n, e or crv, x, y), and treat every token signed with it as \
             forged.",
        );
    }
    let kids: Vec<String> = keys.iter().filter_map(|key| text(key, "kid")).collect();
    let distinct: HashSet<&String> = kids.iter().collect();
    if !keys.is_empty() && (kids.len() < keys.len() || distinct.len() < kids.len()) {
        add(
            desk,
            exchange,
            JWKS_NO_KID,
            "Keys have no kid of their own",
            format!(
                "{} keys, {} different kids. After a rotation verifiers do not know which key a token needs.",
                keys.len(),
                distinct.len()
            ),
            "Give each key a kid and put it in the header of the tokens it signs.",
        );
    }
    let weakest = keys.iter().filter_map(rsa_bits).min();
    if let Some(bits) = weakest.filter(|bits| *bits < RSA_BITS_MIN) {
        add(
            desk,
            exchange,
            JWKS_WEAK_RSA,
            format!("An RSA key has {bits} bits"),
            "Keys below 2048 bits can be broken, and libraries refuse them.",
            "Sign with ES256 or EdDSA, or RSA with 2048 bits or more.",
        );
    }
    if desk.notes.findings().len() == found_before {
        let count = keys.len();
        desk.notes.well(
            Section::Keys,
            match count {
                1 => "one public key, with its kid".to_owned(),
                _ => format!("{count} public keys, each with its kid"),
            },
        );
    }
    desk.scene.jwks = Some(document);
}

fn rsa_bits(key: &Value) -> Option<usize> {
    let modulus = BASE64_URL_SAFE_NO_PAD
        .decode(key.get("n")?.as_str()?.trim_end_matches('='))
        .ok()?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let bytes = &modulus[first..];
    Some(bytes.len() * 8 - usize::try_from(bytes[0].leading_zeros()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_a_modulus_are_counted_without_leading_zeros() {
        let key = |bytes: &[u8]| serde_json::json!({"n": BASE64_URL_SAFE_NO_PAD.encode(bytes)});
        assert_eq!(rsa_bits(&key(&[0x80; 128])), Some(1024));
        assert_eq!(rsa_bits(&key(&[0, 0x7f, 0xff])), Some(15));
        assert_eq!(rsa_bits(&serde_json::json!({"kty": "EC"})), None);
    }
}
