#![allow(clippy::unwrap_used)]

use std::time::Duration;

use base::Timestamp;
use serde_json::{Value, json};
use wire::mcp::{Limits, parse_strict};

use super::super::tests::Keys;
use super::*;
use crate::{RoleScopes, VerifyingKeys, verify_access_token};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://mcp.example/mcp/todo";
const NOW: i64 = 1_800_000_000;

struct Rig {
    keys: Keys,
    verifying: VerifyingKeys,
    roles: Vec<Role>,
}

impl Rig {
    fn new() -> Self {
        let keys = Keys::generate();
        let role = |id: &str, name: &str| Role {
            id: id.to_owned(),
            name: name.to_owned(),
            title: String::new(),
            scopes: RoleScopes::All,
        };
        Self {
            verifying: VerifyingKeys::from_jwks(&keys.jwks),
            keys,
            roles: vec![role("rol_r", "reader"), role("rol_a", "admin")],
        }
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            issuer: ISSUER,
            audience: AUDIENCE,
            keys: &self.verifying,
            now: Timestamp::from_unix_seconds(NOW),
            leeway: Duration::from_secs(5),
        }
    }

    fn signed(&self, claims: &Value) -> String {
        let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"ec"}"#;
        self.keys.token("ec", header, &claims.to_string())
    }

    fn jwt(&self, claims: &Value, form: &TokenForm) -> Result<VerifiedToken, TokenRefusal> {
        let token = self.signed(claims);
        verify_token_of_other_issuer(&token, &self.expected(), form, &self.roles)
    }

    fn asked(&self, answer: &Value, form: &TokenForm) -> Result<VerifiedToken, TokenRefusal> {
        let answer = object(answer);
        verify_introspection(&answer, "opaque", &self.expected(), form, &self.roles)
    }

    fn both(&self, claims: &Value, answer: &Value) -> Result<VerifiedToken, TokenRefusal> {
        let (token, answer) = (self.signed(claims), object(answer));
        let form = TokenForm::default();
        verify_both(&token, &answer, &self.expected(), &form, &self.roles)
    }
}

fn object(value: &Value) -> Object {
    match parse_strict(value.to_string().as_bytes(), &Limits::default()).unwrap() {
        Json::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW, "jti": "j",
        "client_id": "app", "scope": "todo:read todo:write openid",
    })
}

fn answer() -> Value {
    with(
        claims(),
        &[("active", json!(true)), ("token_type", json!("Bearer"))],
    )
}

/// With these members; one that is null is left out.
fn with(mut claims: Value, members: &[(&str, Value)]) -> Value {
    for (name, value) in members {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(*name);
        }
    }
    claims
}

fn form(change: impl FnOnce(&mut TokenForm)) -> TokenForm {
    let mut form = TokenForm::default();
    change(&mut form);
    form
}

#[test]
fn a_token_of_another_issuer_says_who_calls_and_nothing_that_only_ours_may_say() {
    let rig = Rig::new();
    let token = rig.jwt(&claims(), &TokenForm::default()).unwrap();
    assert_eq!((&*token.sub, &*token.client_id), ("alice", "app"));
    assert_eq!(token.scope.to_string(), "openid todo:read todo:write");
    assert!(token.grant_id.starts_with("ext_"), "{}", token.grant_id);
    assert_eq!(token.key_id(), Some("ec"));
    let claimed = with(
        claims(),
        &[
            ("roles", json!(["rol_a"])),
            ("groups", json!(["grp_1"])),
            ("client_vouched", json!(true)),
            ("client_proven", json!(true)),
            ("grant_id", json!("gra_1")),
            ("standing", json!(9)),
            ("client_id", json!("https://claude.ai/client")),
        ],
    );
    let token = rig.jwt(&claimed, &TokenForm::default()).unwrap();
    let caller = token.caller();
    assert!(caller.roles.is_empty() && caller.groups.is_empty() && !caller.client_vouched);
    assert!(!caller.client_proven);
    assert!(token.grant_id.starts_with("ext_") && token.standing == 0);
    assert!(
        !caller.facts().is_vouched_for(),
        "its address proves nothing here"
    );
    // The very token is none of ours.
    let ours = verify_access_token(&rig.signed(&claims()), &rig.expected());
    assert_eq!(ours.unwrap_err(), TokenRefusal::Claim("grant_id"));
}

#[test]
fn each_wrong_claim_refuses_alone_in_a_token_and_in_an_answer_alike() {
    let rig = Rig::new();
    let plain = TokenForm::default();
    let long = "s".repeat(NAME_BYTES_MAX);
    let longer = format!("{long}s");
    let audiences = vec![AUDIENCE; AUDIENCES_MAX + 1];
    let many: Vec<String> = (0..=VALUES_MAX).map(|one| format!("s{one}")).collect();
    for (name, wrong, refusal, good) in [
        (
            "iss",
            json!("https://login.example.com/"),
            TokenRefusal::WrongIssuer,
            json!(ISSUER),
        ),
        (
            "aud",
            json!("https://other.example"),
            TokenRefusal::WrongAudience,
            json!([AUDIENCE]),
        ),
        (
            "aud",
            Value::Null,
            TokenRefusal::WrongAudience,
            json!(AUDIENCE),
        ),
        (
            "aud",
            json!([AUDIENCE, "https://other.example"]),
            TokenRefusal::WrongAudience,
            json!([AUDIENCE]),
        ),
        (
            "aud",
            json!(audiences),
            TokenRefusal::WrongAudience,
            json!([AUDIENCE]),
        ),
        ("exp", json!(NOW - 5), TokenRefusal::Expired, json!(NOW - 4)),
        (
            "exp",
            Value::Null,
            TokenRefusal::Claim("exp"),
            json!(NOW + 1),
        ),
        (
            "nbf",
            json!(NOW + 6),
            TokenRefusal::NotYetValid("nbf"),
            json!(NOW + 5),
        ),
        (
            "iat",
            json!(NOW + 6),
            TokenRefusal::NotYetValid("iat"),
            json!(NOW + 5),
        ),
        ("sub", Value::Null, TokenRefusal::Claim("sub"), json!("bob")),
        (
            "sub",
            json!(longer),
            TokenRefusal::Claim("sub"),
            json!(long),
        ),
        (
            "sub",
            json!("a\u{0}"),
            TokenRefusal::Claim("sub"),
            json!("ä b"),
        ),
        (
            "client_id",
            Value::Null,
            TokenRefusal::Claim("client_id"),
            json!("other"),
        ),
        (
            "scope",
            json!(7),
            TokenRefusal::Claim("scope"),
            json!(["todo:read"]),
        ),
        (
            "scope",
            json!(many),
            TokenRefusal::Claim("scope"),
            json!(many[1..]),
        ),
        (
            "cnf",
            json!({"jkt": "x"}),
            TokenRefusal::SenderConstrained,
            Value::Null,
        ),
    ] {
        let (bad, good) = ([(name, wrong)], [(name, good)]);
        assert_eq!(
            rig.jwt(&with(claims(), &bad), &plain).unwrap_err(),
            refusal,
            "{bad:?}"
        );
        assert_eq!(
            rig.asked(&with(answer(), &bad), &plain).unwrap_err(),
            refusal,
            "{bad:?}"
        );
        rig.jwt(&with(claims(), &good), &plain).unwrap();
        rig.asked(&with(answer(), &good), &plain).unwrap();
    }
}

#[test]
fn an_answer_must_say_that_it_is_of_an_active_access_token_for_us() {
    let rig = Rig::new();
    let plain = TokenForm::default();
    for (name, wrong, refusal) in [
        ("active", json!(false), TokenRefusal::Inactive),
        ("active", json!("true"), TokenRefusal::Claim("active")),
        ("active", Value::Null, TokenRefusal::Claim("active")),
        // As node-oidc-provider answers of a refresh token, and as Hydra does.
        ("token_type", Value::Null, TokenRefusal::WrongType),
        ("token_type", json!("N_A"), TokenRefusal::WrongType),
        ("token_type", json!("DPoP"), TokenRefusal::SenderConstrained),
        ("token_use", json!("refresh_token"), TokenRefusal::WrongType),
    ] {
        let bad = with(answer(), &[(name, wrong)]);
        assert_eq!(rig.asked(&bad, &plain).unwrap_err(), refusal, "{bad}");
    }
    let token = rig.asked(&answer(), &plain).unwrap();
    assert_eq!(token.key_id(), None);
    // What an issuer may leave out when somebody vouches that it does so for a reason.
    let no_audience = with(answer(), &[("aud", Value::Null), ("iss", Value::Null)]);
    rig.asked(&no_audience, &plain).unwrap_err();
    rig.asked(&no_audience, &form(|form| form.audience_left_out = true))
        .unwrap();
    let machine = with(answer(), &[("sub", Value::Null)]);
    rig.asked(&machine, &plain).unwrap_err();
    let token = rig
        .asked(&machine, &form(|form| form.subject_left_out = true))
        .unwrap();
    assert_eq!(token.sub, "app");
    // Never in a token, which nobody was asked about.
    let left_out = form(|form| (form.audience_left_out, form.subject_left_out) = (true, true));
    for name in ["aud", "sub", "iss", "iat"] {
        rig.jwt(&with(claims(), &[(name, Value::Null)]), &left_out)
            .unwrap_err();
    }
}

#[test]
fn claims_are_found_by_the_names_that_the_issuer_has_for_them() {
    let rig = Rig::new();
    let renamed = json!({
        "iss": ISSUER, "uid": "alice", "aud": [AUDIENCE, "account"], "exp": NOW + 600, "iat": NOW, "azp": "app",
        "scp": ["todo:read", "profile email"], "realm_access": {"roles": ["mcp-admins", "other"]},
    });
    let mut named = form(|form| {
        form.subject = "uid".into();
        form.client = "azp".into();
        form.scope = "scp".into();
        form.roles = Some("/realm_access/roles".into());
        form.role_names = vec![("mcp-admins".into(), "admin".into())];
        form.audience_lists = true;
    });
    let token = rig.jwt(&renamed, &named).unwrap();
    assert_eq!(token.scope.to_string(), "email profile todo:read");
    assert_eq!(token.caller().roles, ["rol_a"]);
    // Whoever is called like their client would be a machine, which has no roles; where nobody chooses the name they may be.
    let like_client = with(renamed.clone(), &[("uid", json!("app"))]);
    assert_eq!(
        rig.jwt(&like_client, &named).unwrap_err(),
        TokenRefusal::Claim("sub")
    );
    // A value is no role by its own name when there are others for it.
    let own_name = with(
        renamed.clone(),
        &[("realm_access", json!({"roles": ["admin"]}))],
    );
    assert!(rig.jwt(&own_name, &named).unwrap().roles.is_empty());
    named.role_names.clear();
    assert_eq!(rig.jwt(&own_name, &named).unwrap().roles, ["rol_a"]);
    assert!(rig.jwt(&renamed, &named).unwrap().roles.is_empty());
    let no_roles = with(renamed, &[("realm_access", json!({"roles": [1]}))]);
    assert_eq!(
        rig.jwt(&no_roles, &named).unwrap_err(),
        TokenRefusal::Claim("roles")
    );
}

#[test]
fn another_type_of_jwt_is_taken_only_when_told_and_a_type_of_something_else_never() {
    let rig = Rig::new();
    let taken = |typ: &str, form: &TokenForm| {
        let header = format!(r#"{{{typ}"alg":"ES256","kid":"ec"}}"#);
        let token = rig.keys.token("ec", &header, &claims().to_string());
        verify_token_of_other_issuer(&token, &rig.expected(), form, &rig.roles).is_ok()
    };
    let plain = form(|form| form.plain_jwt = true);
    for (typ, by_default, when_told) in [
        (r#""typ":"at+jwt","#, true, true),
        (r#""typ":"JWT","#, false, true),
        ("", false, true),
        (r#""typ":"logout+jwt","#, false, false),
        (r#""typ":"portcullis-identity+jwt","#, false, false),
        (r#""typ":7,"#, false, false),
    ] {
        assert_eq!(taken(typ, &TokenForm::default()), by_default, "{typ}");
        assert_eq!(taken(typ, &plain), when_told, "{typ}");
    }
}

#[test]
fn only_algorithms_that_are_named_verify() {
    let rig = Rig::new();
    let is_taken = |algorithms: &[&str]| {
        let names: Vec<String> = algorithms.iter().map(|&name| name.to_owned()).collect();
        let keys = rig.verifying.only(&names);
        let expected = Expected {
            keys: &keys,
            ..rig.expected()
        };
        let (token, form) = (rig.signed(&claims()), TokenForm::default());
        verify_token_of_other_issuer(&token, &expected, &form, &[]).is_ok()
    };
    assert!(is_taken(&["RS256", "ES256"]));
    assert!(!is_taken(&["RS256", "EdDSA"]));
    assert!(!is_taken(&["none"]));
    assert!(!is_taken(&[]));
}

#[test]
fn of_both_the_signature_must_verify_and_the_issuer_agree_and_the_narrower_scope_counts() {
    let rig = Rig::new();
    let narrowed = with(answer(), &[("scope", json!("todo:read todo:admin"))]);
    let token = rig.both(&claims(), &narrowed).unwrap();
    assert_eq!(token.scope.to_string(), "todo:read");
    assert_eq!(token.key_id(), Some("ec"));
    let least = json!({"active": true});
    let token = rig.both(&claims(), &least).unwrap();
    assert_eq!(token.scope.to_string(), "openid todo:read todo:write");
    let sooner = with(least.clone(), &[("exp", json!(NOW + 60))]);
    assert_eq!(rig.both(&claims(), &sooner).unwrap().exp, NOW + 60);
    let later = with(least.clone(), &[("exp", json!(NOW + 6000))]);
    assert_eq!(rig.both(&claims(), &later).unwrap().exp, NOW + 600);
    for (name, wrong, refusal) in [
        ("active", json!(false), TokenRefusal::Inactive),
        ("sub", json!("bob"), TokenRefusal::Contradicted("sub")),
        (
            "client_id",
            json!("other"),
            TokenRefusal::Contradicted("client_id"),
        ),
        (
            "aud",
            json!("https://other.example"),
            TokenRefusal::WrongAudience,
        ),
        (
            "iss",
            json!("https://other.example"),
            TokenRefusal::WrongIssuer,
        ),
        ("exp", json!(NOW - 60), TokenRefusal::Expired),
        ("token_use", json!("refresh_token"), TokenRefusal::WrongType),
        ("cnf", json!({}), TokenRefusal::SenderConstrained),
    ] {
        let bad = with(least.clone(), &[(name, wrong)]);
        assert_eq!(rig.both(&claims(), &bad).unwrap_err(), refusal, "{bad}");
    }
    // An issuer that says yes makes no signature good, and no token ours.
    let mut spoiled = rig.signed(&claims());
    let tail = if spoiled.ends_with("AA") { "BA" } else { "AA" };
    spoiled.replace_range(spoiled.len() - 4..spoiled.len() - 2, tail);
    let form = TokenForm::default();
    let refused = verify_both(&spoiled, &object(&answer()), &rig.expected(), &form, &[]);
    assert_eq!(refused.unwrap_err(), TokenRefusal::BadSignature);
    let foreign = with(claims(), &[("aud", json!("https://other.example"))]);
    let refused = rig.both(&foreign, &answer()).unwrap_err();
    assert_eq!(refused, TokenRefusal::WrongAudience);
}
