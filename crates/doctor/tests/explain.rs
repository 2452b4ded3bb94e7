//! What a token is said to hold.
#![allow(clippy::unwrap_used)]

use base::{Timestamp, base64url};
use serde_json::{Value, json};
use wire::oauth::JwkSet;

use portcullis_doctor::explain::{Against, Explanation, Outcome, explain, length};

/// The most members of a header or of the claims that are shown.
const MEMBERS_SHOWN_MAX: usize = 64;
const NOW: i64 = 1_796_000_000;
const RESOURCE: &str = "https://mcp.example.com/mcp";
const ISSUER: &str = "https://auth.example.com";

/// The key of RFC 8037 appendix A.1, as PKCS #8.
fn signing_key() -> jsonwebtoken::EncodingKey {
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend(base::base64url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap());
    jsonwebtoken::EncodingKey::from_ed_der(&der)
}

fn jwks(kid: &str) -> JwkSet {
    serde_json::from_value(json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid,
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }] }))
    .unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "usr_1", "client_id": "cli_1", "scope": "todo:read todo:write",
        "iat": NOW - 60, "exp": NOW + 3540, "jti": "j",
    })
}

fn signed(claims: &Value) -> String {
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    header.typ = Some("at+jwt".into());
    header.kid = Some("k1".into());
    jsonwebtoken::encode(&header, claims, &signing_key()).unwrap()
}

/// A token whose parts are these texts and whose signature is none.
fn raw(header: &str, claims: &str) -> String {
    format!(
        "{}.{}.{}",
        base64url(header),
        base64url(claims),
        base64url("signature")
    )
}

fn against() -> Against {
    Against {
        resource: Some(RESOURCE.into()),
        issuer: Some(ISSUER.into()),
        jwks: Some(jwks("k1")),
        ..Against::clock(Timestamp::from_unix_seconds(NOW))
    }
}

fn clock() -> Against {
    Against::clock(Timestamp::from_unix_seconds(NOW))
}

fn outcome(explanation: &Explanation, name: &str) -> (Outcome, String) {
    let check = explanation
        .checks
        .iter()
        .find(|check| check.name == name)
        .unwrap();
    (check.outcome, check.says.clone())
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_token_that_is_good_here_is_said_to_be_so_in_words_and_times() {
    let explanation = explain(&signed(&claims()), &against());
    assert_eq!(explanation.kind, "jwt");
    assert_eq!(
        explanation.verdict.outcome,
        Outcome::Good,
        "{explanation:?}"
    );
    assert_eq!(explanation.notes, Vec::<String>::new());
    let exp = explanation
        .claims
        .iter()
        .find(|claim| claim.name == "exp")
        .unwrap();
    assert_eq!(
        exp.words.as_deref(),
        Some("ends Mon 30 Nov 2026 01:52:20 UTC, in 59 minutes")
    );
}

#[test]
fn nothing_is_called_good_that_was_not_compared() {
    let explanation = explain(&signed(&claims()), &clock());
    assert_eq!(explanation.verdict.outcome, Outcome::Unknown);
    assert!(
        explanation
            .verdict
            .says
            .contains("--resource URL, --issuer URL, --jwks FILE"),
        "{}",
        explanation.verdict.says
    );
    let without_keys = Against {
        jwks: None,
        ..against()
    };
    let verdict = explain(&signed(&claims()), &without_keys).verdict;
    assert_eq!(verdict.outcome, Outcome::Unknown);
    assert!(
        verdict.says.contains("give --jwks FILE"),
        "{}",
        verdict.says
    );
}

#[test]
fn each_claim_that_servers_refuse_for_is_named_with_its_reason() {
    let table = [
        ("iss", without("iss"), "missing"),
        (
            "iss",
            with("iss", json!(format!("{ISSUER}/"))),
            "slash at the end",
        ),
        (
            "iss",
            with("iss", json!("https://other.example.com")),
            "and not https://auth",
        ),
        ("aud", without("aud"), "RFC 8707"),
        (
            "aud",
            with("aud", json!(format!("{RESOURCE}/"))),
            "slash at the end",
        ),
        ("aud", with("aud", json!("cli_1")), "client's own id"),
        ("aud", with("aud", json!([])), "empty list"),
        (
            "aud",
            with("aud", json!("https://MCP.example.com/mcp")),
            "case of letters",
        ),
        (
            "aud",
            with("aud", json!(["https://a.test", "https://b.test"])),
            "none of its 2 audiences",
        ),
        ("exp", without("exp"), "for ever"),
        ("exp", with("exp", json!("1796003540")), "without quotes"),
        ("exp", with("exp", json!((NOW + 60) * 1000)), "milliseconds"),
        ("exp", with("exp", json!(NOW - 720)), "12 minutes ago"),
        (
            "exp",
            with("nbf", json!(NOW + 120)),
            "nbf lies in the future",
        ),
        ("sub", without("sub"), "whose it is"),
        ("scope", with("scope", json!(["todo:read"])), "one text"),
    ];
    for (name, claims, reason) in table {
        let explanation = explain(&signed(&claims), &against());
        let (is, says) = outcome(&explanation, name);
        assert_eq!(is, Outcome::Bad, "{name}: {says}");
        assert!(says.contains(reason), "{name}: {says}");
        assert_eq!(explanation.verdict.outcome, Outcome::Bad);
        assert!(
            explanation.verdict.says.starts_with(name),
            "{}",
            explanation.verdict.says
        );
    }
    // What looks like these and is good.
    for claims in [
        with("aud", json!([RESOURCE])),
        with("aud", json!(["https://other.example.com", RESOURCE])),
        with("exp", json!(NOW as f64 + 60.5)),
        without("scope"),
        with("nbf", json!(NOW - 5)),
    ] {
        let explanation = explain(&signed(&claims), &against());
        assert_eq!(
            explanation.verdict.outcome,
            Outcome::Good,
            "{claims}: {:?}",
            explanation.verdict
        );
    }
}

#[test]
fn a_signature_is_good_only_with_the_key_that_made_it() {
    let token = signed(&claims());
    let (is, says) = outcome(
        &explain(
            &token,
            &Against {
                jwks: Some(jwks("k2")),
                ..against()
            },
        ),
        "signature",
    );
    assert_eq!(is, Outcome::Bad);
    assert!(says.contains("kid k1") && says.contains("k2"), "{says}");
    let changed = {
        let (_, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = token.split_once('.').unwrap();
        format!(
            "{header}.{}.{signature}",
            base64url(with("scope", json!("admin")).to_string())
        )
    };
    let (is, says) = outcome(&explain(&changed, &against()), "signature");
    assert_eq!(is, Outcome::Bad);
    assert!(says.contains("was changed"), "{says}");
    assert_eq!(
        outcome(&explain(&token, &against()), "signature").0,
        Outcome::Good
    );
}

#[test]
fn a_token_that_anybody_can_have_written_is_bad_with_or_without_keys() {
    for (alg, reason) in [("none", "anybody"), ("NoNe", "anybody"), ("HS256", "forge")] {
        let token = raw(&json!({ "alg": alg }).to_string(), &claims().to_string());
        for against in [clock(), against()] {
            let (is, says) = outcome(&explain(&token, &against), "signature");
            assert_eq!(is, Outcome::Bad, "{alg}");
            assert!(says.contains(reason), "{says}");
        }
    }
    let (is, _) = outcome(
        &explain(
            &raw(r#"{"alg":"PS512"}"#, &claims().to_string()),
            &against(),
        ),
        "signature",
    );
    assert_eq!(is, Outcome::Unknown);
}

#[test]
fn what_is_no_jwt_is_said_to_be_opaque_encrypted_or_cut() {
    let jwe = format!(
        "{}.a.b.c.d",
        base64url(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)
    );
    let token = signed(&claims());
    let cut = token.rsplit_once('.').unwrap().0.to_owned();
    for (text, kind) in [
        ("pct_0123456789abcdef", "opaque"),
        ("a.b.c", "opaque"),
        (jwe.as_str(), "encrypted"),
        (cut.as_str(), "damaged"),
        ("", "damaged"),
        ("{\"token\":1}", "damaged"),
        (token.as_str(), "jwt"),
    ] {
        let explanation = explain(text, &against());
        assert_eq!(explanation.kind, kind, "{text}: {explanation:?}");
    }
}

#[test]
fn a_token_is_found_in_what_people_paste() {
    let token = signed(&claims());
    let (first, second) = token.split_at(40);
    for text in [
        format!("Authorization: Bearer {token}\n"),
        format!("bearer   {token}"),
        format!("\"{token}\""),
        json!({ "access_token": token, "token_type": "Bearer" }).to_string(),
        format!("{first}\n{second}"),
    ] {
        assert_eq!(
            explain(&text, &against()).verdict.outcome,
            Outcome::Good,
            "{text}"
        );
    }
}

#[test]
fn a_hostile_token_costs_little_says_why_and_moves_no_cursor() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let header = r#"{"alg":"ES256"}"#;
    let many = {
        let members: Vec<String> = (0..3_000).map(|n| format!("\"c{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    for (claims, reason) in [
        (format!("{{\"a\":{deep}}}"), "nested too deeply"),
        (r#"{"aud":"a","aud":"b"}"#.to_owned(), "stands twice"),
        ("[1]".to_owned(), "no object"),
        ("{\"a\":\"\u{1b}[2J\"}".to_owned(), "control character"),
    ] {
        let explanation = explain(&raw(header, &claims), &against());
        assert_eq!(explanation.kind, "damaged");
        assert!(
            explanation.verdict.says.contains(reason),
            "{}",
            explanation.verdict.says
        );
    }
    let huge = explain(
        &raw(header, &format!("{{\"a\":\"{}\"}}", "x".repeat(100_000))),
        &against(),
    );
    assert!(huge.verdict.says.contains("bytes"), "{}", huge.verdict.says);
    let wide = explain(&raw(header, &many), &clock());
    assert_eq!(wide.claims.len(), MEMBERS_SHOWN_MAX + 1);
    assert_eq!(
        wide.claims.last().unwrap().value,
        format!("and {} more", 3_000 - MEMBERS_SHOWN_MAX)
    );
    // Escaped controls are valid JSON and still never reach the terminal.
    let sly = explain(
        &raw(
            r#"{"alg":"\u001b[31m","kid":"\u202e\u0007"}"#,
            r#"{"iss":"a\u001b]0;x\u0007\nb","a\u009bb":[ "\u001b[2J" ],"aud":["\u0000"],"sub":"\u200b","scope":"\u001b"}"#,
        ),
        &against(),
    );
    let text = format!("{}{sly:?}", serde_json::to_string(&sly).unwrap());
    let said = |text: &str| text.replace(['\n', '\t'], "");
    for check in &sly.checks {
        assert!(!check.says.contains(char::is_control), "{}", check.says);
    }
    for member in sly.claims.iter().chain(&sly.header) {
        assert!(
            !member.name.contains(char::is_control) && !member.value.contains(char::is_control),
            "{member:?}"
        );
    }
    assert!(!sly.sentence.contains(char::is_control), "{}", sly.sentence);
    assert!(!said(&text).contains('\u{1b}'));
}

#[test]
fn neither_the_signature_nor_the_whole_token_is_repeated() {
    let token = signed(&claims());
    let signature = token.rsplit('.').next().unwrap();
    for text in [
        token.clone(),
        token.replace("eyJ", "eyI"),
        token[..token.len() - 3].to_owned(),
    ] {
        let explanation = explain(&text, &against());
        let said = format!(
            "{explanation:?}{}",
            serde_json::to_string(&explanation).unwrap()
        );
        assert!(!said.contains(&signature[..20]), "{said}");
        assert!(!said.contains(&token[..40]), "{said}");
    }
}

#[test]
fn what_is_odd_without_being_wrong_is_a_note() {
    let table = [
        (signed(&with("nonce", json!("n"))), "ID token"),
        (signed(&with("token_use", json!("id"))), "ID token"),
        (
            signed(&with("cnf", json!({ "jkt": "x" }))),
            "bound to a key",
        ),
        (
            signed(&with("exp", json!(NOW + 60))),
            "refresh before every request",
        ),
        (
            signed(&with("exp", json!(NOW + 90 * 24 * 3600))),
            "whoever steals it",
        ),
        (
            raw(r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#, "{}"),
            "typ is not at+jwt",
        ),
        (
            raw(r#"{"alg":"ES256","typ":"at+jwt"}"#, "{}"),
            "names no key",
        ),
        (
            raw(r#"{"alg":"ES256","jku":"https://evil.example"}"#, "{}"),
            "strict verifiers refuse",
        ),
    ];
    for (token, note) in table {
        let notes = explain(&token, &clock()).notes;
        assert!(
            notes.iter().any(|said| said.contains(note)),
            "{note}: {notes:?}"
        );
    }
}

#[test]
fn lengths_are_told_in_their_two_largest_units() {
    for (seconds, words) in [
        (0, "0 seconds"),
        (1, "1 second"),
        (65, "1 minute 5 seconds"),
        (3600, "1 hour"),
        (3605, "1 hour"),
        (90_000, "1 day 1 hour"),
        (400 * 24 * 3600, "1 year 35 days"),
    ] {
        assert_eq!(length(std::time::Duration::from_secs(seconds)), words);
    }
}

#[test]
fn a_second_thing_that_is_wrong_is_named_as_well() {
    let mut claims = without("aud");
    claims["exp"] = json!(NOW - 60);
    let says = explain(&signed(&claims), &against()).verdict.says;
    assert!(
        says.starts_with("aud: ") && says.ends_with(". Also wrong: exp"),
        "{says}"
    );
}

proptest::proptest! {
    #[test]
    fn whatever_is_pasted_is_explained_without_a_control_character(
        header in r#"\{"alg":"(ES256|none|EdDSA)"(,"[a-z]{1,3}":("\PC{0,4}"|\[|[0-9]{1,30}|null)){0,3}\}"#,
        claims in r#"\{("(iss|aud|exp|sub|scope|scp|iat|nbf|cnf)":("\PC{0,6}"|\["\PC{0,4}"\]|-?[0-9]{1,25}|1e9|null|\{\}),?){0,6}\}?"#,
        text in proptest::prelude::any::<String>(),
    ) {
        for text in [raw(&header, &claims), format!("{}.{text}", base64url(&header)), text.clone(), format!("Bearer {text}")] {
            for against in [against(), clock()] {
                let explanation = explain(&text, &against);
                let said = [explanation.sentence.clone(), explanation.verdict.says.clone()];
                let checks = explanation.checks.iter().map(|check| check.says.clone());
                let members = explanation.claims.iter().chain(&explanation.header);
                let members = members.map(|member| format!("{}{}{:?}", member.name, member.value, member.words));
                for said in said.into_iter().chain(checks).chain(members).chain(explanation.notes.clone()) {
                    proptest::prop_assert!(!said.contains(char::is_control), "{said:?}");
                }
                proptest::prop_assert!(explanation.verdict.outcome != Outcome::Good);
            }
        }
    }
}
