#![allow(clippy::unwrap_used)]

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base::base64url;
use wire::oauth::{Jwk, JwkSet};

use super::*;

const ISSUER: &str = "https://auth.example/servers/todo";
const AUDIENCE: &str = "https://mcp.example/mcp/todo";
const NOW: i64 = 1_800_000_000;

/// One key of each kind, and what verifies them.
pub(crate) struct Keys {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    rsa: RsaKeyPair,
    pub(crate) jwks: JwkSet,
}

fn jwk(kid: &str, kty: &str, crv: Option<&str>, alg: &str) -> Jwk {
    Jwk {
        kty: kty.into(),
        kid: Some(kid.into()),
        key_use: Some("sig".into()),
        alg: Some(alg.into()),
        crv: crv.map(Into::into),
        x: None,
        y: None,
        n: None,
        e: None,
    }
}

impl Keys {
    pub(crate) fn generate() -> Self {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let point = ec.public_key().as_ref();
        let rsa_public = rsa.public_key();
        let jwks = JwkSet {
            keys: vec![
                Jwk {
                    x: Some(base64url(&point[1..33])),
                    y: Some(base64url(&point[33..])),
                    ..jwk("ec", "EC", Some("P-256"), "ES256")
                },
                Jwk {
                    x: Some(base64url(ed.public_key().as_ref())),
                    ..jwk("ed", "OKP", Some("Ed25519"), "EdDSA")
                },
                Jwk {
                    n: Some(base64url(
                        rsa_public.modulus().big_endian_without_leading_zero(),
                    )),
                    e: Some(base64url(
                        rsa_public.exponent().big_endian_without_leading_zero(),
                    )),
                    ..jwk("rsa", "RSA", None, "RS256")
                },
            ],
        };
        Self { ec, ed, rsa, jwks }
    }

    fn sign(&self, kid: &str, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match kid {
            "ed" => self.ed.sign(text.as_bytes()).as_ref().to_vec(),
            "rsa" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            _ => self
                .ec
                .sign(&random, text.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
        }
    }

    pub(crate) fn token(&self, kid: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.sign(kid, &signed);
        format!("{signed}.{}", base64url(signature))
    }
}

const EC_HEADER: &str = r#"{"typ":"at+jwt","alg":"ES256","kid":"ec"}"#;

/// Good claims, with members replaced or (value empty) left out, and others added.
fn claims(changes: &[(&str, &str)]) -> String {
    let good = [
        ("iss", format!("\"{ISSUER}\"")),
        ("sub", "\"usr_alice\"".into()),
        ("aud", format!("\"{AUDIENCE}\"")),
        ("exp", (NOW + 3600).to_string()),
        ("iat", NOW.to_string()),
        ("jti", "\"j1\"".into()),
        ("client_id", "\"cli_1\"".into()),
        ("scope", "\"todo:read todo:write\"".into()),
        ("grant_id", "\"gra_1\"".into()),
    ];
    let mut members: Vec<(String, String)> = good
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (name, value) in changes {
        members.retain(|(known, _)| known != name);
        if !value.is_empty() {
            members.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn verify(keys: &Keys, token: &str) -> Result<VerifiedToken, TokenRefusal> {
    let keys = VerifyingKeys::from_jwks(&keys.jwks);
    verify_access_token(
        token,
        &Expected {
            issuer: ISSUER,
            audience: AUDIENCE,
            keys: &keys,
            now: Timestamp::from_unix_seconds(NOW),
            leeway: Duration::from_secs(10),
        },
    )
}

#[test]
fn a_good_token_of_each_algorithm_is_accepted() {
    let keys = Keys::generate();
    for (kid, alg) in [("ec", "ES256"), ("ed", "EdDSA"), ("rsa", "RS256")] {
        for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
            let header = format!(r#"{{"typ":"{typ}","alg":"{alg}","kid":"{kid}","x":1}}"#);
            let token = verify(&keys, &keys.token(kid, &header, &claims(&[]))).unwrap();
            assert_eq!(token.sub, "usr_alice");
            assert_eq!(token.caller().scopes.to_string(), "todo:read todo:write");
            assert!(!token.caller().steps_up);
        }
    }
}

#[test]
fn each_wrong_header_is_refused() {
    use TokenRefusal as R;
    let keys = Keys::generate();
    let good = claims(&[]);
    for (kid, header, refusal) in [
        ("ec", r#"{"alg":"ES256","kid":"ec"}"#, R::WrongType),
        (
            "ec",
            r#"{"typ":"JWT","alg":"ES256","kid":"ec"}"#,
            R::WrongType,
        ),
        (
            "ec",
            r#"{"typ":"portcullis-identity+jwt","alg":"ES256","kid":"ec"}"#,
            R::WrongType,
        ),
        (
            "ec",
            r#"{"typ":["at+jwt"],"alg":"ES256","kid":"ec"}"#,
            R::WrongType,
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","crit":[]}"#,
            R::HeaderParameter("crit"),
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","crit":["exp"],"exp":1}"#,
            R::HeaderParameter("crit"),
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","b64":false}"#,
            R::HeaderParameter("b64"),
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","jwk":{}}"#,
            R::HeaderParameter("jwk"),
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","jku":"https://x"}"#,
            R::HeaderParameter("jku"),
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"none","kid":"ec"}"#,
            R::WrongAlgorithm,
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"nOnE","kid":"ec"}"#,
            R::WrongAlgorithm,
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"","kid":"ec"}"#,
            R::WrongAlgorithm,
        ),
        ("ec", r#"{"typ":"at+jwt","kid":"ec"}"#, R::WrongAlgorithm),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES384","kid":"ec"}"#,
            R::WrongAlgorithm,
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"es256","kid":"ec"}"#,
            R::WrongAlgorithm,
        ),
        (
            "rsa",
            r#"{"typ":"at+jwt","alg":"PS256","kid":"rsa"}"#,
            R::WrongAlgorithm,
        ),
        // The key decides the algorithm: another family's name finds no key.
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"RS256","kid":"ec"}"#,
            R::UnknownKey,
        ),
        (
            "rsa",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"rsa"}"#,
            R::UnknownKey,
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"other"}"#,
            R::UnknownKey,
        ),
        ("ec", r#"{"typ":"at+jwt","alg":"ES256"}"#, R::UnknownKey),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"../ec"}"#,
            R::UnknownKey,
        ),
        (
            "ec",
            r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","alg":"ES256"}"#,
            R::NotJson("header"),
        ),
        ("ec", "[]", R::NotJson("header")),
    ] {
        assert_eq!(
            verify(&keys, &keys.token(kid, header, &good)).unwrap_err(),
            refusal,
            "{header}"
        );
    }
    // Signed by another key under a known id.
    let others = Keys::generate();
    for (kid, alg) in [("ec", "ES256"), ("ed", "EdDSA"), ("rsa", "RS256")] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{kid}"}}"#);
        let forged = others.token(kid, &header, &good);
        assert_eq!(verify(&keys, &forged).unwrap_err(), R::BadSignature);
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let keys = Keys::generate();
    let spellings = [
        keys.ec.public_key().as_ref().to_vec(),
        keys.jwks.keys[0].x.clone().unwrap().into_bytes(),
        serde_json::to_vec(&keys.jwks.keys[0]).unwrap(),
        keys.rsa.public_key().as_ref().to_vec(),
    ];
    for secret in spellings {
        for (alg, kid) in [
            ("HS256", "ec"),
            ("HS256", "rsa"),
            ("ES256", "ec"),
            ("RS256", "rsa"),
        ] {
            let header = format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{kid}"}}"#);
            let signed = format!("{}.{}", base64url(header), base64url(claims(&[])));
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, &secret),
                signed.as_bytes(),
            );
            let forged = format!("{signed}.{}", base64url(tag));
            let refusal = verify(&keys, &forged).unwrap_err();
            let expected = if alg == "HS256" {
                TokenRefusal::WrongAlgorithm
            } else {
                TokenRefusal::BadSignature
            };
            assert_eq!(refusal, expected);
        }
    }
}

#[test]
fn each_wrong_claim_is_refused_and_the_edge_beside_it_accepted() {
    use TokenRefusal as R;
    let keys = Keys::generate();
    let verify = |changes: &[(&str, &str)]| {
        verify(&keys, &keys.token("ec", EC_HEADER, &claims(changes))).map(drop)
    };
    let seconds = |offset: i64| (NOW + offset).to_string();
    let list = format!("[\"{AUDIENCE}\"]");
    let roles = |count: usize| format!("[{}]", vec!["\"r\""; count].join(","));
    for (changes, refusal) in [
        (vec![("iss", "")], R::Claim("iss")),
        (vec![("iss", "5")], R::Claim("iss")),
        (
            vec![("iss", "\"https://auth.example/servers/other\"")],
            R::WrongIssuer,
        ),
        (
            vec![("iss", "\"https://auth.example/servers/todo/\"")],
            R::WrongIssuer,
        ),
        (vec![("aud", "")], R::Claim("aud")),
        (vec![("aud", list.as_str())], R::Claim("aud")),
        (vec![("aud", "{}")], R::Claim("aud")),
        (
            vec![("aud", "\"https://mcp.example/mcp/other\"")],
            R::WrongAudience,
        ),
        (
            vec![("aud", "\"https://MCP.example/mcp/todo\"")],
            R::WrongAudience,
        ),
        (vec![("sub", "")], R::Claim("sub")),
        (vec![("sub", "\"\"")], R::Claim("sub")),
        (vec![("jti", "")], R::Claim("jti")),
        (vec![("client_id", "")], R::Claim("client_id")),
        (vec![("grant_id", "")], R::Claim("grant_id")),
        (vec![("scope", "[\"todo:read\"]")], R::Claim("scope")),
        (vec![("scope", "\"a\\\"b\"")], R::Claim("scope")),
        (vec![("roles", "\"admin\"")], R::Claim("roles")),
        (vec![("roles", "[5]")], R::Claim("roles")),
        (vec![("roles", &roles(65))], R::Claim("roles")),
        (vec![("exp", "")], R::Claim("exp")),
        (vec![("exp", "\"1900000000\"")], R::Claim("exp")),
        (vec![("exp", "1900000000.5")], R::Claim("exp")),
        (vec![("exp", "1e12")], R::Claim("exp")),
        (vec![("exp", "-1")], R::Claim("exp")),
        (vec![("exp", "9007199254740993")], R::Claim("exp")),
        (vec![("exp", &seconds(-10))], R::Expired),
        (vec![("iat", "")], R::Claim("iat")),
        (vec![("iat", &seconds(11))], R::NotYetValid("iat")),
        (vec![("nbf", &seconds(11))], R::NotYetValid("nbf")),
        (vec![("nbf", "\"1\"")], R::Claim("nbf")),
        (vec![("auth_time", "true")], R::Claim("auth_time")),
        (vec![("client_proven", "1")], R::Claim("client_proven")),
        (
            vec![("client_proven", "\"true\"")],
            R::Claim("client_proven"),
        ),
        (vec![("cnf", "{\"jkt\":\"x\"}")], R::SenderConstrained),
        (vec![("cnf", "null")], R::SenderConstrained),
    ] {
        assert_eq!(verify(&changes), Err(refusal), "{changes:?}");
    }
    for changes in [
        vec![("exp", seconds(-9))],
        vec![("iat", seconds(10))],
        vec![("nbf", seconds(10))],
        vec![("scope", String::new())],
        vec![("scope", "\"\"".into())],
        vec![("roles", roles(64))],
        vec![("auth_time", seconds(-100))],
        vec![("client_proven", "true".into())],
        vec![("unheard_of", "[1]".into())],
    ] {
        let changes: Vec<_> = changes
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(verify(&changes), Ok(()), "{changes:?}");
    }
    let twice = format!("{{\"sub\":\"usr_bob\",{}", &claims(&[])[1..]);
    let token = keys.token("ec", EC_HEADER, &twice);
    assert_eq!(
        super::tests::verify(&keys, &token).unwrap_err(),
        R::NotJson("payload")
    );
}

#[test]
fn a_client_is_proven_when_the_token_says_so_and_not_by_a_token_of_before() {
    let keys = Keys::generate();
    for (said, expected) in [("true", true), ("false", false), ("", false)] {
        let claims = claims(&[("client_proven", said)]);
        let token = verify(&keys, &keys.token("ec", EC_HEADER, &claims)).unwrap();
        assert_eq!(token.caller().client_proven, expected, "{said}");
    }
}

#[test]
fn a_leeway_above_thirty_seconds_counts_as_thirty() {
    let keys = Keys::generate();
    let verifying = VerifyingKeys::from_jwks(&keys.jwks);
    let token = keys.token("ec", EC_HEADER, &claims(&[("exp", &NOW.to_string())]));
    let at = |seconds| {
        verify_access_token(
            &token,
            &Expected {
                issuer: ISSUER,
                audience: AUDIENCE,
                keys: &verifying,
                now: Timestamp::from_unix_seconds(NOW + seconds),
                leeway: Duration::from_secs(3600),
            },
        )
    };
    let kept = at(29).unwrap();
    assert_eq!(at(30).unwrap_err(), TokenRefusal::Expired);
    let moment = |seconds| Timestamp::from_unix_seconds(NOW + seconds);
    assert!(kept.is_live(moment(29), Duration::from_secs(3600)));
    assert!(!kept.is_live(moment(30), Duration::from_secs(3600)));
    assert!(!kept.is_live(moment(0), Duration::ZERO));
}

#[test]
fn only_three_canonical_parts_are_a_token() {
    let keys = Keys::generate();
    let good = keys.token("ec", EC_HEADER, &claims(&[]));
    assert!(verify(&keys, &good).is_ok());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let json = format!(r#"{{"payload":"{signed}"}}"#);
    for token in [
        "",
        "a",
        "a.b",
        signed,
        &format!("{good}.x"),
        &format!("{good}="),
        &format!("{good} "),
        &format!("{signed}.{signature}A"),
        &format!(".{good}"),
        &json,
        &format!("{signed}.{}", "A".repeat(20_000)),
    ] {
        assert!(
            matches!(
                verify(&keys, token),
                Err(TokenRefusal::NotCompact
                    | TokenRefusal::NotJson(_)
                    | TokenRefusal::BadSignature)
            ),
            "{token}"
        );
    }
    assert_eq!(
        verify(&keys, &format!("{signed}.")).unwrap_err(),
        TokenRefusal::BadSignature
    );
    // The last character of 64 bytes in base64url carries four unused bits: only zeros there are canonical.
    let flipped: String = format!("{signed}.{}", flip_last(signature));
    assert_eq!(
        verify(&keys, &flipped).unwrap_err(),
        TokenRefusal::NotCompact
    );
}

fn flip_last(signature: &str) -> String {
    let last = signature.chars().last().unwrap();
    let other = match last {
        'A' => 'B',
        'Q' => 'R',
        'g' => 'h',
        _ => 'x',
    };
    format!("{}{other}", &signature[..signature.len() - 1])
}

#[test]
fn keys_that_cannot_verify_are_left_out() {
    let mut jwks = Keys::generate().jwks;
    assert_eq!(VerifyingKeys::from_jwks(&jwks).len(), 3);
    jwks.keys[0].y = jwks.keys[0].x.clone();
    jwks.keys[1].alg = Some("RS256".into());
    jwks.keys[2].e = Some("Aw".into());
    assert!(VerifyingKeys::from_jwks(&jwks).is_empty());
    let mut jwks = Keys::generate().jwks;
    jwks.keys[0].kid = None;
    jwks.keys[1].key_use = Some("enc".into());
    jwks.keys[2].kid = Some(String::new());
    assert!(VerifyingKeys::from_jwks(&jwks).is_empty());
    let mut jwks = Keys::generate().jwks;
    jwks.keys[1].kid = Some("ec".into());
    assert_eq!(
        VerifyingKeys::from_jwks(&jwks).len(),
        2,
        "an id that is taken"
    );
    assert!(VerifyingKeys::from_jwks(&JwkSet::default()).is_empty());
}

#[test]
fn a_revoked_grant_and_what_is_older_than_a_cut_off_are_revoked() {
    use crate::{Revocations, revoked};
    let keys = Keys::generate();
    let token = verify(&keys, &keys.token("ec", EC_HEADER, &claims(&[]))).unwrap();
    let moment = |offset_ms| Timestamp::from_unix_ms(NOW * 1000 + offset_ms);
    let none = Revocations::default();
    assert!(!revoked(&none, &token));
    let grant = |id: &str| Revocations {
        grants: [(id.to_owned(), moment(0))].into_iter().collect(),
        ..Revocations::default()
    };
    assert!(revoked(&grant("gra_1"), &token));
    assert!(!revoked(&grant("gra_2"), &token));
    let subject = |id: &str, offset_ms| Revocations {
        subjects: [(id.to_owned(), moment(offset_ms))].into(),
        ..Revocations::default()
    };
    assert!(revoked(&subject("usr_alice", 1), &token));
    assert!(!revoked(&subject("usr_alice", 0), &token));
    assert!(!revoked(&subject("usr_bob", 1000), &token));
    let standing = |id: &str, standing| Revocations {
        standings: [(id.to_owned(), standing)].into(),
        ..Revocations::default()
    };
    assert!(revoked(&standing("usr_alice", 1), &token));
    assert!(!revoked(&standing("usr_bob", 1), &token));
    let seventh = claims(&[("standing", "7")]);
    let seventh = verify(&keys, &keys.token("ec", EC_HEADER, &seventh)).unwrap();
    assert!(revoked(&standing("usr_alice", 8), &seventh));
    assert!(!revoked(&standing("usr_alice", 7), &seventh));
    let client = |id: &str, offset_ms| Revocations {
        clients: [(id.to_owned(), moment(offset_ms))].into(),
        ..Revocations::default()
    };
    assert!(revoked(&client("cli_1", 1), &token));
    assert!(!revoked(&client("cli_1", 0), &token));
    assert!(!revoked(&client("usr_alice", 1000), &token));
    let everybody = |offset_ms| Revocations {
        everybody: Some(moment(offset_ms)),
        ..Revocations::default()
    };
    assert!(revoked(&everybody(1), &token));
    assert!(!revoked(&everybody(0), &token));
}

#[test]
fn a_key_that_comes_with_the_token_is_refused_however_good_its_signature() {
    let keys = Keys::generate();
    let own = Keys::generate();
    let jwk = serde_json::to_string(&own.jwks.keys[0]).unwrap();
    for (name, value) in [
        ("jwk", jwk.as_str()),
        ("jku", "\"https://evil.example/jwks.json\""),
        ("x5u", "\"https://evil.example/cert\""),
        ("x5c", "[\"MIIB\"]"),
        ("zip", "\"DEF\""),
        ("enc", "\"A256GCM\""),
        ("crit", "[\"b64\"]"),
        ("crit", "7"),
        ("b64", "false"),
    ] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"ec","{name}":{value}}}"#);
        for signer in [&keys, &own] {
            let refusal = verify(&keys, &signer.token("ec", &header, &claims(&[]))).unwrap_err();
            assert_eq!(refusal, TokenRefusal::HeaderParameter(name));
            assert!(!refusal.description().is_empty() && refusal.description() != "xyzzy");
        }
    }
    // A member that asks for nothing is let through.
    let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"ec","x5t":"abc"}"#;
    assert!(verify(&keys, &keys.token("ec", header, &claims(&[]))).is_ok());
}

#[test]
fn five_parts_and_encrypted_tokens_are_not_opened() {
    let keys = Keys::generate();
    let good = keys.token("ec", EC_HEADER, &claims(&[]));
    let encrypted = r#"{"typ":"at+jwt","alg":"PBES2-HS256+A128KW","p2c":1000000000,"enc":"A128GCM","kid":"ec"}"#;
    let begun = std::time::Instant::now();
    for token in [
        format!("{}.AAAA.AAAA.AAAA.AAAA", base64url(encrypted)),
        format!("{}.AAAA.AAAA", base64url(encrypted)),
        format!("{good}.AAAA.AAAA"),
    ] {
        assert!(verify(&keys, &token).is_err(), "{token}");
    }
    assert!(begun.elapsed().as_millis() < 1000, "nothing was derived");
    assert!(verify(&keys, &good).is_ok());
}

#[test]
fn a_token_of_16_kib_is_read_and_one_byte_more_is_not() {
    let keys = Keys::generate();
    // Three bytes are four characters, so that header and claims together reach every length.
    let with = |in_header: usize, in_claims: usize| {
        let header = format!(
            r#"{{"typ":"at+jwt","alg":"ES256","kid":"ec","x":"{}"}}"#,
            "x".repeat(in_header)
        );
        let padding = format!("\"{}\"", "x".repeat(in_claims));
        keys.token("ec", &header, &claims(&[("padding", &padding)]))
    };
    let least = with(0, 0).len();
    let most = (TOKEN_BYTES_MAX - least) / 4 * 3;
    for (bytes, is_read) in [(16_384, true), (16_385, false)] {
        let token = (0..3)
            .flat_map(|in_header| (most - 6..most + 6).map(move |in_claims| (in_header, in_claims)))
            .map(|(in_header, in_claims)| with(in_header, in_claims))
            .find(|token| token.len() == bytes)
            .unwrap();
        assert_eq!(verify(&keys, &token).is_ok(), is_read, "{bytes}");
    }
}

#[test]
fn a_verified_token_says_which_key_signed_it_and_prints_its_claims() {
    let keys = Keys::generate();
    let token = verify(&keys, &keys.token("ec", EC_HEADER, &claims(&[]))).unwrap();
    assert_eq!(token.key_id(), Some("ec"));
    assert!(format!("{token:?}").contains("usr_alice"));
}

/// The kinds of signed texts that exist around here: only one of them opens this door.
#[test]
fn a_token_of_another_kind_is_no_access_token() {
    let keys = Keys::generate();
    for typ in [
        "JWT",
        "jwt",
        "portcullis-identity+jwt",
        "token-introspection+jwt",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "application/jwt",
        "at+jwt ",
        "at-jwt",
        "",
    ] {
        let header = format!(r#"{{"typ":"{typ}","alg":"ES256","kid":"ec"}}"#);
        assert_eq!(
            verify(&keys, &keys.token("ec", &header, &claims(&[]))).unwrap_err(),
            TokenRefusal::WrongType,
            "{typ}"
        );
    }
    assert!(verify(&keys, &keys.token("ec", EC_HEADER, &claims(&[]))).is_ok());
}
