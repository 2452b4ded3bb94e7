#![allow(clippy::unwrap_used)]

use super::*;
use crate::verify::tests::Keys;

const CLIENT: &str = "cli_1";
const ISSUER: &str = "https://auth.example/servers/todo";
const TOKEN_ENDPOINT: &str = "https://auth.example/servers/todo/token";
const NOW: i64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"ES256","typ":"JWT","kid":"ec"}"#;

/// Good claims, with members replaced or (value empty) left out, and others added.
fn claims(changes: &[(&str, &str)]) -> String {
    let good = [
        ("iss", format!("\"{CLIENT}\"")),
        ("sub", format!("\"{CLIENT}\"")),
        ("aud", format!("\"{ISSUER}\"")),
        ("exp", (NOW + 60).to_string()),
        ("iat", NOW.to_string()),
        ("jti", "\"j1\"".into()),
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

fn check(keys: &VerifyingKeys, assertion: &str) -> Result<VerifiedAssertion, AssertionRefusal> {
    verify_client_assertion(
        assertion,
        &ExpectedAssertion {
            client_id: CLIENT,
            audiences: &[ISSUER, TOKEN_ENDPOINT],
            keys,
            now: Timestamp::from_unix_seconds(NOW),
        },
    )
}

#[test]
fn an_assertion_of_each_algorithm_is_accepted_and_remembered_until_it_has_expired() {
    let keys = Keys::generate();
    let verifying = VerifyingKeys::from_client_jwks(&keys.jwks);
    for (kid, alg) in [("ec", "ES256"), ("ed", "EdDSA"), ("rsa", "RS256")] {
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
        let assertion = keys.token(kid, &header, &claims(&[]));
        let verified = check(&verifying, &assertion).unwrap();
        assert_eq!(verified.token_id, "j1");
        let until = Timestamp::from_unix_seconds(NOW + 60).after(ASSERTION_LEEWAY);
        assert_eq!(verified.until, until);
    }
}

#[test]
fn the_claimed_client_and_key_are_read_before_anything_is_proven() {
    let keys = Keys::generate();
    let read = read_assertion(&keys.token("ec", HEADER, &claims(&[]))).unwrap();
    assert_eq!(read.client_id, CLIENT);
    assert_eq!(read.key_id.as_deref(), Some("ec"));
    let no_subject = keys.token("ec", HEADER, &claims(&[("sub", "")]));
    assert_eq!(
        read_assertion(&no_subject),
        Err(AssertionRefusal::Claim("sub"))
    );
}

/// RFC 7523 section 3: CA-02 and CA-03 of the attack list.
#[test]
fn each_claim_that_is_wrong_refuses_alone() {
    use AssertionRefusal as No;
    let keys = Keys::generate();
    let verifying = VerifyingKeys::from_client_jwks(&keys.jwks);
    let twice = format!("[\"{ISSUER}\",\"{TOKEN_ENDPOINT}\"]");
    let alone = format!("[\"{ISSUER}\"]");
    let slash = format!("\"{ISSUER}/\"");
    let long = format!("\"{}\"", "j".repeat(513));
    let at = |seconds: i64| (NOW + seconds).to_string();
    let cases: &[(&str, &str, AssertionRefusal)] = &[
        ("iss", "", No::Claim("iss")),
        ("iss", "\"cli_2\"", No::NotTheClient("iss")),
        ("sub", "", No::Claim("sub")),
        ("sub", "\"cli_2\"", No::NotTheClient("sub")),
        ("sub", "7", No::Claim("sub")),
        ("aud", "", No::WrongAudience),
        ("aud", &twice, No::WrongAudience),
        ("aud", &alone, No::WrongAudience),
        ("aud", &slash, No::WrongAudience),
        ("aud", "\"https://auth.example\"", No::WrongAudience),
        (
            "aud",
            "\"https://auth.example/servers/other\"",
            No::WrongAudience,
        ),
        (
            "aud",
            "\"https://auth.example/servers/todo/authorize\"",
            No::WrongAudience,
        ),
        ("exp", "", No::Claim("exp")),
        ("exp", "\"1800000060\"", No::Claim("exp")),
        ("exp", "-1", No::Claim("exp")),
        ("exp", "1e12", No::Claim("exp")),
        ("exp", &at(-30), No::Expired),
        ("exp", &at(3631), No::TooLong),
        ("iat", &at(31), No::NotYetValid("iat")),
        ("nbf", &at(31), No::NotYetValid("nbf")),
        ("nbf", "null", No::Claim("nbf")),
        ("jti", "", No::Claim("jti")),
        ("jti", "\"\"", No::Claim("jti")),
        ("jti", "7", No::Claim("jti")),
        ("jti", &long, No::Claim("jti")),
    ];
    for (name, value, refusal) in cases {
        let assertion = keys.token("ec", HEADER, &claims(&[(name, value)]));
        assert_eq!(
            check(&verifying, &assertion),
            Err(refusal.clone()),
            "{name} {value}"
        );
    }
    let endpoint = format!("\"{TOKEN_ENDPOINT}\"");
    let longest = format!("\"{}\"", "j".repeat(512));
    let twins: &[(&str, &str)] = &[
        ("aud", &endpoint),
        ("exp", &at(-29)),
        ("exp", &at(3630)),
        ("exp", "1800000060.25"),
        ("iat", &at(30)),
        ("iat", ""),
        ("nbf", &at(30)),
        ("jti", &longest),
        ("custom", "[1]"),
    ];
    for (name, value) in twins {
        let assertion = keys.token("ec", HEADER, &claims(&[(name, value)]));
        assert!(check(&verifying, &assertion).is_ok(), "{name} {value}");
    }
}

#[test]
fn each_header_that_is_wrong_refuses_alone() {
    use AssertionRefusal as No;
    let keys = Keys::generate();
    let verifying = VerifyingKeys::from_client_jwks(&keys.jwks);
    let cases = [
        (
            r#"{"alg":"none","typ":"JWT","kid":"ec"}"#,
            No::WrongAlgorithm,
        ),
        (
            r#"{"alg":"HS256","typ":"JWT","kid":"ec"}"#,
            No::WrongAlgorithm,
        ),
        (r#"{"typ":"JWT","kid":"ec"}"#, No::WrongAlgorithm),
        (r#"{"alg":"RS256","typ":"JWT","kid":"ec"}"#, No::UnknownKey),
        (r#"{"alg":"ES256","typ":"JWT","kid":"ed"}"#, No::UnknownKey),
        (
            r#"{"alg":"ES256","typ":"JWT","kid":"stranger"}"#,
            No::UnknownKey,
        ),
        (r#"{"alg":"ES256","typ":"JWT","kid":""}"#, No::UnknownKey),
        (r#"{"alg":"ES256","typ":"JWT","kid":7}"#, No::UnknownKey),
        (
            r#"{"alg":"ES256","typ":"at+jwt","kid":"ec"}"#,
            No::WrongType,
        ),
        (
            r#"{"alg":"ES256","kid":"ec","crit":["exp"]}"#,
            No::HeaderParameter("crit"),
        ),
        (
            r#"{"alg":"ES256","kid":"ec","jwk":{}}"#,
            No::HeaderParameter("jwk"),
        ),
        (
            r#"{"alg":"ES256","kid":"ec","jku":"https://evil.example"}"#,
            No::HeaderParameter("jku"),
        ),
        (
            r#"{"alg":"ES256","kid":"ec","alg":"ES256"}"#,
            No::NotJson("header"),
        ),
    ];
    for (header, refusal) in cases {
        let assertion = keys.token("ec", header, &claims(&[]));
        assert_eq!(check(&verifying, &assertion), Err(refusal), "{header}");
    }
    for header in [
        r#"{"alg":"ES256","kid":"ec"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"ES256","typ":"client-authentication+jwt","kid":"ec"}"#,
    ] {
        let assertion = keys.token("ec", header, &claims(&[]));
        assert!(check(&verifying, &assertion).is_ok(), "{header}");
    }
}

#[test]
fn a_signature_of_another_key_and_any_changed_byte_refuse() {
    let keys = Keys::generate();
    let stranger = Keys::generate();
    let verifying = VerifyingKeys::from_client_jwks(&keys.jwks);
    let good = keys.token("ec", HEADER, &claims(&[]));
    assert!(check(&verifying, &good).is_ok());
    assert_eq!(
        check(&verifying, &stranger.token("ec", HEADER, &claims(&[]))),
        Err(AssertionRefusal::BadSignature)
    );
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(check(&verifying, &changed).is_err(), "byte {at}");
    }
    for length in 0..good.len() {
        assert!(check(&verifying, &good[..length]).is_err());
    }
    let endless = format!("{good}{}", "A".repeat(8 * 1024));
    assert_eq!(
        check(&verifying, &endless),
        Err(AssertionRefusal::NotCompact)
    );
}

#[test]
fn a_key_without_an_id_verifies_an_assertion_that_names_none_and_no_access_token() {
    let mut keys = Keys::generate();
    keys.jwks.keys[0].kid = None;
    let verifying = VerifyingKeys::from_client_jwks(&keys.jwks);
    let unnamed = keys.token("ec", r#"{"alg":"ES256"}"#, &claims(&[]));
    assert!(check(&verifying, &unnamed).is_ok());
    let named = keys.token("ec", HEADER, &claims(&[]));
    assert_eq!(check(&verifying, &named), Err(AssertionRefusal::UnknownKey));
    assert_eq!(VerifyingKeys::from_jwks(&keys.jwks).len(), 2);
}

#[test]
fn an_empty_key_id_is_no_key_id() {
    let keys = Keys::generate();
    let mut jwks = keys.jwks.clone();
    for key in &mut jwks.keys {
        key.kid = None;
    }
    let nameless = VerifyingKeys::from_client_jwks(&jwks);
    let without = keys.token("ec", r#"{"alg":"ES256"}"#, &claims(&[]));
    assert!(check(&nameless, &without).is_ok());
    for kid in ["\"\"", "null", "7"] {
        let header = format!(r#"{{"alg":"ES256","kid":{kid}}}"#);
        let assertion = keys.token("ec", &header, &claims(&[]));
        assert_eq!(
            check(&nameless, &assertion).unwrap_err(),
            AssertionRefusal::UnknownKey,
            "{kid}"
        );
    }
}

#[test]
fn an_assertion_of_8_kib_is_read_and_one_byte_more_is_not() {
    let keys = Keys::generate();
    let verifying = VerifyingKeys::from_client_jwks(&keys.jwks);
    // Three bytes are four characters, so that header and claims together reach every length.
    let with = |in_header: usize, in_claims: usize| {
        let header = format!(
            r#"{{"alg":"ES256","kid":"ec","x":"{}"}}"#,
            "x".repeat(in_header)
        );
        let padding = format!("\"{}\"", "x".repeat(in_claims));
        keys.token("ec", &header, &claims(&[("padding", &padding)]))
    };
    let most = (8 * 1024 - with(0, 0).len()) / 4 * 3;
    for (bytes, is_read) in [(8192, true), (8193, false)] {
        let assertion = (0..3)
            .flat_map(|in_header| (most - 6..most + 6).map(move |in_claims| (in_header, in_claims)))
            .map(|(in_header, in_claims)| with(in_header, in_claims))
            .find(|assertion| assertion.len() == bytes)
            .unwrap();
        assert_eq!(check(&verifying, &assertion).is_ok(), is_read, "{bytes}");
    }
}
