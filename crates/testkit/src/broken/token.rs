//! Access tokens: minted as a real authorization server does, and believed as the rules say.

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base::{base64url, base64url_decode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::rules::Rules;

pub(super) const KID: &str = "notes-2026-11";

/// An uncompressed P-256 point follows this in a SubjectPublicKeyInfo.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The key of the authorization server.
pub(super) struct Key(EcdsaKeyPair);

impl Key {
    pub fn new() -> Self {
        Self(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .expect("a P-256 key can always be made"),
        )
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID,
            "x": base64url(&point[1..33]), "y": base64url(&point[33..65]),
        })
    }

    /// The private half, in base64url.
    pub fn private(&self) -> String {
        let key: EcPrivateKeyBin<'_> = self
            .0
            .private_key()
            .as_be_bytes()
            .expect("a key just made can be written down");
        base64url(key.as_ref())
    }

    /// The private half as PEM, as an operator keeps it.
    pub fn pkcs8_pem(&self) -> String {
        let document = self
            .0
            .to_pkcs8v1()
            .expect("a key just made can be written down");
        pem("PRIVATE KEY", document.as_ref())
    }

    /// The public half as PEM.
    pub fn public_pem(&self) -> String {
        let point = self.0.public_key().as_ref();
        pem("PUBLIC KEY", &[&SPKI_HEAD, point].concat())
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": KID});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("a good key signs");
        format!("{signed}.{}", base64url(signature))
    }

    fn verifies(&self, signed: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.0.public_key())
            .verify(signed.as_bytes(), signature)
            .is_ok()
    }
}

fn pem(label: &str, document: &[u8]) -> String {
    let text = STANDARD.encode(document);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Why a token is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disbelief {
    Malformed,
    Signature,
    Expired,
    Audience,
    Issuer,
}

/// What a token is held against.
pub(super) struct Expected<'e> {
    pub key: &'e Key,
    pub issuer: &'e str,
    pub resource: &'e str,
    pub now: i64,
}

/// The claims of `token`, if the rules believe it.
pub(super) fn believe(
    rules: &Rules,
    expected: &Expected<'_>,
    token: &str,
) -> Result<Value, Disbelief> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return if rules.any_text_is_a_token {
            Ok(json!({"scope": "notes:read notes:write", "sub": "usr_anybody"}))
        } else {
            Err(Disbelief::Malformed)
        };
    };
    let claims = decoded(payload)?;
    if rules.any_text_is_a_token {
        return Ok(claims);
    }
    let head = decoded(header)?;
    let signed = &token[..header.len() + 1 + payload.len()];
    let signature = base64url_decode(signature).ok_or(Disbelief::Malformed)?;
    let is_ours = head["kid"] == KID;
    let is_signed = match head["alg"].as_str() {
        Some("none") => rules.none_is_an_algorithm,
        Some("HS256") => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, expected.key.public_pem().as_bytes());
            rules.public_key_is_a_secret
                && hmac::verify(&secret, signed.as_bytes(), &signature).is_ok()
        }
        Some("ES256") if is_ours => {
            !rules.signature_is_checked || expected.key.verifies(signed, &signature)
        }
        Some("ES256") => rules.unknown_kid_passes,
        _ => false,
    };
    if !is_signed {
        return Err(Disbelief::Signature);
    }
    let has_ended = match claims["exp"].as_i64() {
        Some(end) => rules.expiry_is_checked && end <= expected.now,
        None => rules.expiry_is_required,
    };
    if has_ended {
        return Err(Disbelief::Expired);
    }
    let is_ours = |one: &Value| {
        one == expected.resource || rules.other_audience.is_some_and(|other| one == other)
    };
    let is_for_us = match &claims["aud"] {
        Value::Null => !rules.audience_is_required,
        Value::Array(list) => list.iter().any(is_ours),
        one => is_ours(one) || !rules.audience_is_checked,
    };
    if !is_for_us {
        return Err(Disbelief::Audience);
    }
    let is_known = claims["iss"] == expected.issuer
        || rules
            .other_issuer
            .is_some_and(|other| claims["iss"] == other);
    if rules.issuer_is_checked && !is_known {
        return Err(Disbelief::Issuer);
    }
    Ok(claims)
}

fn decoded(part: &str) -> Result<Value, Disbelief> {
    base64url_decode(part)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .filter(Value::is_object)
        .ok_or(Disbelief::Malformed)
}
