use std::collections::BTreeMap;

use serde_json::Value;

use crate::Target;
use crate::rules::{has_a_double_member, is_description};

/// The body of a registration.
pub const TARGET: Target = Target {
    name: "registration",
    run,
    words: &[
        "\"redirect_uris\":",
        "\"client_name\":",
        "\"grant_types\":",
        "\"response_types\":",
        "\"scope\":",
        "\"token_endpoint_auth_method\":",
        "\"client_id\":\"cli_1\",",
        "\"client_secret\":\"s\",",
        "\"logo_uri\":",
        "\"jwks_uri\":",
        "\"jwks\":{\"keys\":[]}",
        "[",
        "]",
        "{",
        "}",
        "null",
        "\"\"",
        "\\u0000",
        "\\ud800",
        "1e999",
        "\u{202e}",
        "\"http://localhost/cb\"",
        "\"javascript:alert(1)\"",
        "\"authorization_code\"",
        "\"none\"",
    ],
    short_run: 20_000,
};

/// These are ours to say.
const OURS: [&str; 4] = [
    "client_secret",
    "registration_access_token",
    "registration_client_uri",
    "trusted",
];

fn run(bytes: &[u8]) {
    let answer = match oauth::doors::read_registration(bytes) {
        Ok(answer) => answer,
        Err(error) => return assert!(is_description(error.description()), "{error}"),
    };
    let text = std::str::from_utf8(bytes).expect("only text is JSON");
    let asked: BTreeMap<String, Value> =
        serde_json::from_str(text).expect("another reader reads an object too");
    assert!(!has_a_double_member(text), "a member stands there twice");
    assert!(bytes.len() <= 16 * 1024);
    let Value::Object(echoed) = &answer else {
        panic!("the answer is an object");
    };
    assert_eq!(echoed["client_id"], "cli_fuzz", "ids are ours to give");
    for name in &OURS[..3] {
        assert!(!echoed.contains_key(*name), "{name}");
    }
    has_nothing_empty(&answer);
    // Nothing is made up: what is echoed was asked, or is a default.
    let defaults = [
        "client_id",
        "client_id_issued_at",
        "client_secret_expires_at",
        "token_endpoint_auth_method",
        "grant_types",
        "response_types",
    ];
    for (name, value) in echoed {
        if defaults.contains(&name.as_str()) {
            continue;
        }
        let Some(asked) = asked.get(name) else {
            panic!("{name} was not asked for");
        };
        match value {
            Value::Array(kept) => {
                let Value::Array(asked) = asked else {
                    panic!("{name} was no array");
                };
                assert!(kept.len() <= asked.len());
            }
            Value::String(_) => assert_eq!(value, asked, "{name}"),
            _ => {}
        }
    }
    for name in [
        "client_uri",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "jwks_uri",
    ] {
        if let Some(address) = echoed.get(name) {
            let address = address.as_str().expect("an address is text");
            let lower = address.trim().to_ascii_lowercase();
            assert!(lower.starts_with("http"), "{address}");
        }
    }
    let grants = echoed["grant_types"].as_array().unwrap();
    assert!(grants.iter().all(|grant| {
        ["authorization_code", "refresh_token"].contains(&grant.as_str().unwrap())
    }));
    // What is echoed registers again, as the same client.
    let again = serde_json::to_vec(&answer).unwrap();
    if again.len() <= 16 * 1024 {
        let again = oauth::doors::read_registration(&again).expect("our own answer is readable");
        assert_eq!(again, answer);
    }
}

fn has_nothing_empty(value: &Value) {
    match value {
        Value::Null => panic!("null"),
        Value::String(text) => assert!(!text.is_empty() && !text.contains('\0')),
        Value::Array(items) => items.iter().for_each(has_nothing_empty),
        Value::Object(members) => members.values().for_each(has_nothing_empty),
        _ => {}
    }
}
