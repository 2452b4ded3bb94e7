//! Prints what judging one call costs, step by step, in microseconds:
//! `cargo run --release -p portcullis-authz --example judge_us`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement reads the clock and prints"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Timestamp, base64url};
use http::{HeaderMap, HeaderValue};
use portcullis_authz::{
    Caller, Expected, Inventory, ListKind, ListStepUp, Policy, Role, RoleScopes, RuleClient,
    RuleEffect, RuleWhat, RuleWho, SubjectRule, VerifyingKeys, Viewer, decide, first_policy,
    read_call, verify_access_token, visible,
};
use wire::mcp::{
    Limits, check_headers_against_body, classify, headers, parse_strict, read_message,
};
use wire::oauth::{Jwk, JwkSet, ScopeSet};

fn main() {
    let body = br#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"add_todo","arguments":{"text":"Buy milk and \"bread\"","due":"2026-12-01","priority":3,"tags":["home","shop"]},"_meta":{"progressToken":7}}}"#;
    let limits = Limits::default();
    println!("tools/call of {} bytes", body.len());
    report("parse_strict", || parse_strict(black_box(body), &limits));
    report("serde_json::Value, for comparison", || {
        serde_json::from_slice::<serde_json::Value>(black_box(body))
    });
    report("read_message", || read_message(black_box(body), &limits));
    let message = read_message(body, &limits).unwrap();
    report("to_bytes", || black_box(&message).to_bytes());

    let headers = HeaderMap::from_iter([(
        headers::MCP_PROTOCOL_VERSION,
        HeaderValue::from_static("2025-11-25"),
    )]);
    report("era and headers", || {
        let version = headers::protocol_version(&headers).unwrap();
        let era = classify(black_box(&message), version).unwrap();
        check_headers_against_body(&headers, &message, era)
    });

    let inventory = inventory();
    let policy = first_policy("todo", &inventory, &[]);
    let caller = Caller {
        subject: "usr_alice".into(),
        client: "cli_1".into(),
        grant: "gra_1".into(),
        scopes: ScopeSet::parse_lenient("todo:read todo:write"),
        ..Caller::default()
    };
    report("read_call and decide, 100 tools", || {
        decide(&policy, black_box(&caller), &read_call(&message))
    });
    report("all of it: read, era, headers, decide, write", || {
        let message = read_message(black_box(body), &limits).unwrap();
        let version = headers::protocol_version(&headers).unwrap();
        let era = classify(&message, version).unwrap();
        check_headers_against_body(&headers, &message, era).unwrap();
        let decision = decide(&policy, &caller, &read_call(&message));
        (decision, message.to_bytes())
    });
    report("visible, for 100 tools", || {
        inventory
            .tools
            .iter()
            .filter(|tool| {
                let name = tool.identity();
                visible(&policy, &caller, ListKind::Tools, name, ListStepUp::Auto)
            })
            .count()
    });
    let ruled = with_rules(&policy);
    report("decide, with 3 roles and 50 rules", || {
        decide(&ruled, black_box(&caller), &read_call(&message))
    });
    report("a list of 200 tools, with 3 roles and 50 rules", || {
        let viewer = Viewer::new(&ruled, black_box(&caller), ListStepUp::Auto);
        let names = inventory.tools.iter().chain(&inventory.tools);
        names
            .filter(|tool| viewer.sees(ListKind::Tools, tool.identity()))
            .count()
    });
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
        "0123456789abcdef ".repeat(60_000)
    );
    report("read a result of 1 MB of text", || {
        parse_strict(black_box(large.as_bytes()), &limits)
    });

    verification();
}

/// Each tenth rule speaks of the caller, the others of somebody else.
fn with_rules(policy: &Policy) -> Policy {
    let role = |name: &str, scopes| Role {
        id: format!("rol_{name}"),
        name: name.to_owned(),
        title: String::new(),
        scopes,
    };
    let rules = (0..50).map(|index| SubjectRule {
        id: format!("rul_{index}"),
        effect: RuleEffect::Deny,
        who: match index % 10 {
            0 => RuleWho::Anyone,
            _ => RuleWho::Person(format!("usr_{index}")),
        },
        client: RuleClient::Any,
        what: RuleWhat::Tools([format!("delete_{index}")].into()),
        note: String::new(),
    });
    Policy {
        roles: vec![
            role(
                "reader",
                RoleScopes::Only(ScopeSet::parse_lenient("todo:read")),
            ),
            role(
                "writer",
                RoleScopes::Only(ScopeSet::parse_lenient("todo:read todo:write")),
            ),
            role("owner", RoleScopes::All),
        ],
        default_role: Some("rol_writer".to_owned()),
        subject_rules: rules.collect(),
        ..policy.clone()
    }
}

fn inventory() -> Inventory {
    let verbs = ["get", "add", "delete", "frobnicate"];
    let tools: Vec<_> = (0..100)
        .map(|index| {
            let name = match index {
                0 => "add_todo".to_owned(),
                _ => format!("{}_{index}", verbs[index % 4]),
            };
            format!(r#"{{"name":"{name}","description":"Does {name}."}}"#)
        })
        .collect();
    let page = format!(r#"{{"tools":[{}]}}"#, tools.join(","));
    let page = parse_strict(page.as_bytes(), &Limits::default()).unwrap();
    let mut inventory = Inventory::default();
    inventory
        .add_page(ListKind::Tools, page.as_object().unwrap())
        .unwrap();
    inventory
}

fn verification() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let keys = VerifyingKeys::from_jwks(&JwkSet {
        keys: vec![Jwk {
            kty: "EC".into(),
            kid: Some("k1".into()),
            key_use: Some("sig".into()),
            alg: Some("ES256".into()),
            crv: Some("P-256".into()),
            x: Some(base64url(&point[1..33])),
            y: Some(base64url(&point[33..])),
            n: None,
            e: None,
        }],
    });
    let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"k1"}"#;
    let claims = r#"{"iss":"http://localhost:4180/servers/todo","sub":"usr_0123456789abcdef","aud":"http://localhost:4180/mcp/todo","exp":2000000000,"iat":1800000000,"jti":"0123456789abcdef","client_id":"cli_0123456789abcdef","scope":"todo:read todo:write","grant_id":"gra_0123456789abcdef"}"#;
    let signed = format!("{}.{}", base64url(header), base64url(claims));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", base64url(signature.as_ref()));
    let expected = Expected {
        issuer: "http://localhost:4180/servers/todo",
        audience: "http://localhost:4180/mcp/todo",
        keys: &keys,
        now: Timestamp::from_unix_seconds(1_800_000_000),
        leeway: Duration::ZERO,
    };
    println!("access token of {} bytes", token.len());
    report("verify_access_token, ES256", || {
        verify_access_token(black_box(&token), &expected).unwrap()
    });
}

/// The fastest of five rounds of about a fifth of a second each: the one that was disturbed least.
fn report<T>(name: &str, work: impl Fn() -> T) {
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < Duration::from_millis(100) {
        black_box(work());
        count += 1;
    }
    let best = (0..5)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..count * 2 {
                black_box(work());
            }
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(count * 2)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{best:>10.3} us  {name}");
}
