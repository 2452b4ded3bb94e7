//! Tokens that no authorization server issued.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{base64url, base64url_decode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// The first key of a key set that could have signed a token.
pub(super) fn signing_key(jwks: Option<&Value>) -> Option<Value> {
    let keys = jwks?.get("keys")?.as_array()?;
    let signs =
        |key: &&Value| key.get("use").is_none_or(|purpose| purpose == "sig") && key["kty"] != "oct";
    keys.iter().find(signs).cloned()
}

/// What a key's tokens say in `alg`.
pub(super) fn algorithm(key: Option<&Value>) -> &str {
    let of_type = |key: &Value| match key["kty"].as_str() {
        Some("RSA") => "RS256",
        Some("OKP") => "EdDSA",
        _ => "ES256",
    };
    match key {
        Some(key) => key
            .get("alg")
            .and_then(Value::as_str)
            .unwrap_or_else(|| of_type(key)),
        None => "RS256",
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    )
}

/// With the head of a real token and a signature of nobody.
pub(super) fn badly_signed(key: Option<&Value>, claims: &Value, noise: &[u8]) -> String {
    let mut header = json!({"alg": algorithm(key), "typ": "at+jwt"});
    if let Some(kid) = key.and_then(|key| key.get("kid")) {
        header["kid"] = kid.clone();
    }
    let length = if header["alg"]
        .as_str()
        .is_some_and(|alg| alg.starts_with(['R', 'P']))
    {
        256
    } else {
        64
    };
    let signature: Vec<u8> = noise.iter().copied().cycle().take(length).collect();
    format!("{}.{}", unsigned(&header, claims), base64url(signature))
}

/// Without a signature; readers differ in how they compare the word.
pub(super) fn without_signature(alg: &str, claims: &Value) -> String {
    format!(
        "{}.",
        unsigned(&json!({"alg": alg, "typ": "at+jwt"}), claims)
    )
}

/// Signed with a key that its own header brings along.
pub(super) fn with_own_key(claims: &Value, kid: &str) -> Option<String> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": kid, "x": base64url(&point[1..33]), "y": base64url(&point[33..65]),
    });
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jwk": jwk});
    let signed = unsigned(&header, claims);
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", base64url(signature)))
}

/// Signed with HMAC, the public key being the secret: in each form in which servers keep public keys.
pub(super) fn with_public_key(key: &Value, claims: &Value) -> Vec<String> {
    let Some(document) = spki(key) else {
        return Vec::new();
    };
    let text = BASE64_STANDARD.encode(&document);
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
        lines.join("\n")
    );
    let secrets = [format!("{pem}\n").into_bytes(), pem.into_bytes(), document];
    let mut header = json!({"alg": "HS256", "typ": "at+jwt"});
    if let Some(kid) = key.get("kid") {
        header["kid"] = kid.clone();
    }
    let signed = unsigned(&header, claims);
    secrets
        .iter()
        .map(|secret| {
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, secret),
                signed.as_bytes(),
            );
            format!("{signed}.{}", base64url(tag))
        })
        .collect()
}

/// A public JWK as SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
fn spki(key: &Value) -> Option<Vec<u8>> {
    let member = |name: &str| base64url_decode(key.get(name)?.as_str()?);
    let (algorithm, bits): (&[u8], Vec<u8>) = match (key["kty"].as_str()?, key["crv"].as_str()) {
        ("EC", Some("P-256")) => (
            // id-ecPublicKey with prime256v1.
            &[
                0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                0xce, 0x3d, 0x03, 0x01, 0x07,
            ],
            [vec![4], member("x")?, member("y")?].concat(),
        ),
        // id-Ed25519.
        ("OKP", Some("Ed25519")) => (&[0x06, 0x03, 0x2b, 0x65, 0x70], member("x")?),
        ("RSA", _) => (
            // rsaEncryption with NULL.
            &[
                0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
            ],
            der(
                0x30,
                &[integer(member("n")?), integer(member("e")?)].concat(),
            ),
        ),
        _ => return None,
    };
    let bits = der(0x03, &[vec![0], bits].concat());
    Some(der(0x30, &[der(0x30, algorithm), bits].concat()))
}

/// An unsigned INTEGER.
fn integer(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.first().is_none_or(|first| *first >= 0x80) {
        bytes.insert(0, 0);
    }
    der(0x02, &bytes)
}

/// Tag, length, value (X.690); lengths of up to 65,535.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = match (high, low) {
        (0, low) if low < 0x80 => vec![tag, low],
        (0, low) => vec![tag, 0x81, low],
        (high, low) => vec![tag, 0x82, high, low],
    };
    [&head, value].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_written_as_every_library_writes_it() {
        // RFC 8410 section 10.1.
        let x = base64url_decode("GbkRP41zNtGdMGhRQ0T4Xyjr8dkwS0Z9yd3uFnM8bMI");
        assert!(x.is_some());
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "GbkRP41zNtGdMGhRQ0T4Xyjr8dkwS0Z9yd3uFnM8bMI"});
        let document = spki(&ed).unwrap();
        assert_eq!(document.len(), 44);
        assert_eq!(
            document[..12],
            [
                0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00
            ]
        );
        let rsa = json!({"kty": "RSA", "n": base64url([0xc5; 256]), "e": "AQAB"});
        let document = spki(&rsa).unwrap();
        assert_eq!(document.len(), 294, "as openssl writes one of 2048 bits");
        assert_eq!(document[..4], [0x30, 0x82, 0x01, 0x22]);
        assert_eq!(with_public_key(&rsa, &json!({})).len(), 3);
        assert!(with_public_key(&json!({"kty": "oct", "k": "AA"}), &json!({})).is_empty());
    }

    #[test]
    fn a_forged_token_has_the_head_of_a_real_one() {
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "a"});
        let token = badly_signed(Some(&key), &json!({"sub": "x"}), b"noise");
        let parts: Vec<&str> = token.split('.').collect();
        let head: Value = serde_json::from_slice(&base64url_decode(parts[0]).unwrap()).unwrap();
        assert_eq!(head, json!({"alg": "ES256", "typ": "at+jwt", "kid": "a"}));
        assert_eq!(base64url_decode(parts[2]).unwrap().len(), 64);
        assert!(without_signature("none", &json!({})).ends_with('.'));
    }
}
