use std::sync::LazyLock;
use std::time::Duration;

use authz::{Expected, VerifyingKeys, verify_access_token};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base::{Timestamp, base64url};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use wire::oauth::{Jwk, JwkSet};

use crate::Target;
use crate::rules::has_a_double_member;

/// Either a whole token, or `ec` or `ed` with a header and claims on a line each, which are then signed: random changes
/// of a signed token never get past its signature.
pub const TARGET: Target = Target {
    name: "access_token",
    run,
    words: &[
        "{\"typ\":\"at+jwt\",\"alg\":\"ES256\",\"kid\":\"ec\"}",
        "\"alg\":\"none\"",
        "\"alg\":\"HS256\"",
        "\"crit\":[]",
        "\"kid\":\"ed\"",
        "\"jwk\":{}",
        "\"exp\":",
        "\"nbf\":",
        "\"iat\":",
        "\"aud\":[",
        "\"cnf\":{}",
        "1800003600",
        "1799999990",
        "1e9",
        "-1",
        "9007199254740993",
        "\"iss\":",
        "\"sub\":",
        "\\u0061",
        ".",
        "=",
        "ec\n",
        "ed\n",
    ],
    short_run: 15_000,
};

const ISSUER: &str = "https://auth.example/servers/todo";
const AUDIENCE: &str = "https://mcp.example/mcp/todo";
const NOW: i64 = 1_800_000_000;
const LEEWAY: i64 = 10;

struct Keys {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    verifying: VerifyingKeys,
    second_ec: DecodingKey,
    second_ed: DecodingKey,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let point = ec.public_key().as_ref();
    let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
    let ed_x = base64url(ed.public_key().as_ref());
    let jwk = |kid: &str, kty: &str, crv: &str, x: &str| Jwk {
        kty: kty.into(),
        kid: Some(kid.into()),
        key_use: None,
        alg: None,
        crv: Some(crv.into()),
        x: Some(x.into()),
        y: None,
        n: None,
        e: None,
    };
    let keys = vec![
        Jwk {
            y: Some(y.clone()),
            ..jwk("ec", "EC", "P-256", &x)
        },
        jwk("ed", "OKP", "Ed25519", &ed_x),
    ];
    Keys {
        second_ec: DecodingKey::from_ec_components(&x, &y).unwrap(),
        second_ed: DecodingKey::from_ed_components(&ed_x).unwrap(),
        verifying: VerifyingKeys::from_jwks(&JwkSet { keys }),
        ec,
        ed,
    }
});

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.splitn(3, '\n');
    let token = match (lines.next(), lines.next(), lines.next()) {
        (Some(key @ ("ec" | "ed")), Some(header), Some(claims)) => sign(key, header, claims),
        _ => text.to_owned(),
    };
    let accepted = verify_access_token(
        &token,
        &Expected {
            issuer: ISSUER,
            audience: AUDIENCE,
            keys: &KEYS.verifying,
            now: Timestamp::from_unix_seconds(NOW),
            leeway: Duration::from_secs(10),
        },
    );
    match accepted {
        Ok(_) => second_opinion(&token),
        Err(refusal) => assert!(!refusal.description().is_empty()),
    }
}

fn sign(key: &str, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let signature = if key == "ec" {
        let random = SystemRandom::new();
        KEYS.ec
            .sign(&random, signed.as_bytes())
            .unwrap()
            .as_ref()
            .to_vec()
    } else {
        KEYS.ed.sign(signed.as_bytes()).as_ref().to_vec()
    };
    format!("{signed}.{}", base64url(signature))
}

/// Panics unless another library verifies the signature as well, and the claims are what RFC 9068 section 4 asks.
fn second_opinion(token: &str) {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _] = parts.as_slice() else {
        panic!("three parts");
    };
    let read = |part: &str| {
        let bytes = base::base64url_decode(part).expect("base64url");
        assert_eq!(base64url(&bytes), part, "one text for one token");
        let text = String::from_utf8(bytes).expect("text");
        assert!(!has_a_double_member(&text), "a member stands there twice");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let (header, claims) = (read(header), read(claims));
    let typ = header["typ"].as_str().expect("typ").to_ascii_lowercase();
    assert!(typ == "at+jwt" || typ == "application/at+jwt");
    for name in ["crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64"] {
        assert!(header.get(name).is_none(), "{name}");
    }
    let (algorithm, key) = match (header["alg"].as_str(), header["kid"].as_str()) {
        (Some("ES256"), Some("ec")) => (Algorithm::ES256, &KEYS.second_ec),
        (Some("EdDSA"), Some("ed")) => (Algorithm::EdDSA, &KEYS.second_ed),
        other => panic!("no such key: {other:?}"),
    };
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, key, &validation).expect("the signature verifies");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], AUDIENCE);
    let seconds = |name: &str| claims[name].as_f64();
    #[allow(clippy::cast_precision_loss, reason = "these are exact")]
    let (now, leeway) = (NOW as f64, LEEWAY as f64);
    assert!(seconds("exp").expect("exp") + leeway > now, "expired");
    assert!(
        seconds("iat").expect("iat") <= now + leeway,
        "not yet issued"
    );
    assert!(
        seconds("nbf").is_none_or(|nbf| nbf <= now + leeway),
        "not yet valid"
    );
    for name in ["sub", "jti", "client_id", "grant_id"] {
        assert!(!claims[name].as_str().expect(name).is_empty(), "{name}");
    }
    assert!(claims.get("cnf").is_none(), "bound to a key");
}
