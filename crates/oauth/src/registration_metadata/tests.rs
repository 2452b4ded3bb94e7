#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;

fn answer(body: &Value) -> Result<Value, Error> {
    let metadata = read(body.to_string().as_bytes())?;
    let uris: Vec<_> = metadata
        .redirect_uris
        .iter()
        .map(|text| RedirectUri::parse(text).unwrap())
        .collect();
    let id = ClientId::from_text("cli_1");
    let response = metadata.into_response(&id, &uris, Timestamp::from_unix_seconds(7));
    Ok(serde_json::to_value(response).unwrap())
}

#[test]
fn a_request_with_nothing_but_addresses_gets_every_default_spelled_out() {
    let body = json!({"redirect_uris": ["http://localhost/callback"]});
    assert_eq!(
        answer(&body).unwrap(),
        json!({
            "client_id": "cli_1",
            "client_id_issued_at": 7,
            "client_secret_expires_at": 0,
            "redirect_uris": ["http://localhost/callback"],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        })
    );
}

#[test]
fn what_is_empty_or_reserved_is_left_out_and_what_is_unknown_is_echoed() {
    let body = json!({
        "redirect_uris": ["http://localhost/callback"],
        "client_id": "mine", "client_secret": "mine", "registration_access_token": "mine",
        "client_uri": "", "logo_uri": null, "tos_uri": "javascript:alert(1)", "policy_uri": "https://a.example/p",
        "contacts": ["a@example.com", null], "x": {"y": null, "z": 1.5},
        "token_endpoint_auth_method": "client_secret_post",
    });
    let answer = answer(&body).unwrap();
    assert_eq!(answer["client_id"], "cli_1");
    assert_eq!(answer["token_endpoint_auth_method"], "none");
    assert_eq!(answer["contacts"], json!(["a@example.com"]));
    assert_eq!(answer["x"], json!({"z": 1.5}));
    assert_eq!(answer["policy_uri"], "https://a.example/p");
    for absent in [
        "client_secret",
        "registration_access_token",
        "client_uri",
        "logo_uri",
        "tos_uri",
    ] {
        assert!(answer.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn a_wrong_member_is_named_and_changes_nothing() {
    let with = |name: &str, value: Value| {
        let mut body = json!({"redirect_uris": ["http://localhost/callback"]});
        body[name] = value;
        answer(&body).map_err(|error| error.description().to_owned())
    };
    for (name, value) in [
        ("client_name", json!(7)),
        ("client_name", json!("x".repeat(201))),
        ("client_name", json!("a\u{0}b")),
        ("scope", json!(["a"])),
        ("grant_types", json!("authorization_code")),
        ("grant_types", json!(["client_credentials"])),
        ("response_types", json!(["token"])),
        ("redirect_uris", json!("http://localhost/callback")),
        ("redirect_uris", json!([7])),
        ("redirect_uris", json!(vec!["http://localhost/a"; 33])),
        ("software_id", json!("x".repeat(2049))),
    ] {
        let description = with(name, value).unwrap_err();
        assert!(description.contains(name), "{name}: {description}");
    }
    assert!(with("client_name", json!("x".repeat(200))).is_ok());
    let addresses: Vec<_> = (0..32).map(|at| format!("http://localhost/{at}")).collect();
    assert!(with("redirect_uris", json!(addresses)).is_ok());
    assert!(with("software_id", json!("x".repeat(2048))).is_ok());
    assert!(with("scope", json!("x ".repeat(4096))).is_ok());
    assert!(with("scope", json!("x".repeat(8193))).is_err());
    assert!(with("scope", json!("")).is_ok());
    assert!(read(b"[]").is_err());
    assert!(read(b"{").is_err());
    assert!(
        read(br#"{"redirect_uris":["http://localhost/a"],"redirect_uris":["http://localhost/b"]}"#)
            .is_err()
    );
    assert!(
        read(b"{}")
            .unwrap_err()
            .description()
            .contains("redirect_uris")
    );
}

#[test]
fn the_name_that_is_shown_has_no_characters_that_hide() {
    let shown = |name: &str| {
        let body = json!({"redirect_uris": ["cursor://x/y"], "client_name": name});
        let metadata = read(body.to_string().as_bytes()).unwrap();
        let uris = [RedirectUri::parse("cursor://x/y").unwrap()];
        metadata.display_name(&uris)
    };
    assert_eq!(
        shown(" Claude\u{202e} \n Code\u{200b} (x) "),
        "Claude Code (x)"
    );
    assert_eq!(shown("Visual Studio Code"), "Visual Studio Code");
    assert_eq!(shown("\u{200b}"), "cursor:");
}

fn fingerprint_of(body: &Value) -> Digest {
    let metadata = read(body.to_string().as_bytes()).unwrap();
    let uris: Vec<_> = metadata
        .redirect_uris
        .iter()
        .map(|text| RedirectUri::parse(text).unwrap())
        .collect();
    metadata.fingerprint(&uris)
}

#[test]
fn the_same_software_is_recognised_whatever_else_it_says_and_another_is_not() {
    let named = json!({
        "client_name": "A client", "redirect_uris": ["http://localhost/a", "https://a.example/cb"],
        "software_version": "1", "scope": "todo:read",
    });
    let mut with_id = named.clone();
    with_id["software_id"] = json!("4NRB1-0XZABZI9E6-5SM3R");
    for base in [&named, &with_id] {
        let with = |name: &str, value: Value| {
            let mut body = base.clone();
            body[name] = value;
            fingerprint_of(&body)
        };
        let first = fingerprint_of(base);
        for (name, value) in [
            ("software_version", json!("2")),
            ("scope", json!("todo:read todo:write")),
            ("contacts", json!(["a@example.com"])),
            ("logo_uri", json!("https://a.example/logo.png")),
            ("grant_types", json!(["authorization_code"])),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("application_type", json!("native")),
            ("x", json!(1)),
            ("client_name", json!(" A\u{200b}  client ")),
            (
                "redirect_uris",
                json!(["https://a.example/cb", "http://localhost:7/a"]),
            ),
        ] {
            assert_eq!(first, with(name, value), "{name}");
        }
        for (name, value) in [
            ("redirect_uris", json!(["http://localhost/a"])),
            (
                "redirect_uris",
                json!(["http://localhost/a", "https://b.example/cb"]),
            ),
            ("software_id", json!("another")),
        ] {
            assert_ne!(first, with(name, value), "{name}");
        }
        // The id goes before the name.
        let renamed = with("client_name", json!("Another client"));
        assert_eq!(first == renamed, base.get("software_id").is_some());
    }
    assert_ne!(fingerprint_of(&named), fingerprint_of(&with_id));
    let mut imitates = named.clone();
    imitates["software_id"] = json!("A client");
    assert_ne!(fingerprint_of(&named), fingerprint_of(&imitates));
}

#[test]
fn a_registration_without_a_name_is_the_same_only_as_a_whole_in_any_member_order() {
    let fingerprint = |body: &str| {
        let metadata = read(body.as_bytes()).unwrap();
        let uris = [RedirectUri::parse("http://localhost/a").unwrap()];
        metadata.fingerprint(&uris)
    };
    let first = fingerprint(r#"{"redirect_uris":["http://localhost/a"],"x":1,"y":2}"#);
    assert_eq!(
        first,
        fingerprint(r#"{"y":2,"x":1,"redirect_uris":["http://localhost/a"]}"#)
    );
    assert_ne!(
        first,
        fingerprint(r#"{"y":2,"x":2,"redirect_uris":["http://localhost/a"]}"#)
    );
}

#[test]
fn another_port_of_this_machine_is_the_same_registration_and_another_path_or_host_is_not() {
    let metadata = read(br#"{"redirect_uris":["http://localhost/a"],"client_name":"x"}"#).unwrap();
    let fingerprint = |uris: &[&str]| {
        let uris: Vec<_> = uris
            .iter()
            .map(|text| RedirectUri::parse(text).unwrap())
            .collect();
        metadata.fingerprint(&uris)
    };
    let first = fingerprint(&["http://127.0.0.1:41000/cb", "cursor://x/cb"]);
    assert_eq!(
        first,
        fingerprint(&["cursor://x/cb", "http://127.0.0.1:9/cb"])
    );
    assert_eq!(
        first,
        fingerprint(&[
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:2/cb",
            "cursor://x/cb"
        ])
    );
    assert_ne!(
        first,
        fingerprint(&["http://127.0.0.1:41000/other", "cursor://x/cb"])
    );
    assert_ne!(
        first,
        fingerprint(&["http://localhost:41000/cb", "cursor://x/cb"])
    );
    assert_ne!(
        first,
        fingerprint(&["https://127.0.0.1:41000/cb", "cursor://x/cb"])
    );
    assert_ne!(first, fingerprint(&["http://127.0.0.1:41000/cb"]));
}

#[test]
fn a_link_that_is_no_https_address_is_not_kept_and_an_https_one_is() {
    for name in [
        "client_uri",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "jwks_uri",
        "client_uri#de",
    ] {
        let with = |value: &str| {
            let mut body = json!({"redirect_uris": ["http://localhost/callback"]});
            body[name] = json!(value);
            answer(&body).unwrap().get(name).cloned()
        };
        for bad in [
            "javascript:alert(1)",
            "http://a.example/x",
            "data:text/html,x",
            "https:",
            "//a.example/x",
            "",
        ] {
            assert_eq!(with(bad), None, "{name} {bad}");
        }
        assert_eq!(
            with("https://a.example/x"),
            Some(json!("https://a.example/x")),
            "{name}"
        );
    }
}

#[test]
fn what_is_ours_to_say_is_never_taken_from_the_client_and_other_words_are_only_echoed() {
    let body = json!({
        "redirect_uris": ["http://localhost/callback"], "client_id": "cli_chosen", "client_secret": "x",
        "client_secret_expires_at": 5, "registration_access_token": "x", "registration_client_uri": "https://a.example",
        "trusted": true, "tenant": "other", "roles": ["owner"], "token_endpoint_auth_method": "client_secret_basic",
    });
    let answer = answer(&body).unwrap();
    assert_eq!(answer["client_id"], "cli_1");
    assert_eq!(answer["client_secret_expires_at"], 0);
    assert_eq!(answer["token_endpoint_auth_method"], "none");
    assert_eq!(answer["trusted"], true);
    for absent in [
        "client_secret",
        "registration_access_token",
        "registration_client_uri",
    ] {
        assert!(answer.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn a_deep_a_long_and_a_crowded_body_are_refused_and_a_roomy_one_is_read() {
    let body = |extra: &str| format!(r#"{{"redirect_uris":["http://localhost/a"],"x":{extra}}}"#);
    let nested = |depth: usize| body(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(read(nested(7).as_bytes()).is_ok());
    assert!(read(nested(8).as_bytes()).is_err());
    assert!(read(nested(100_000).as_bytes()).is_err());
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|index| format!("\"m{index}\":1")).collect();
        format!(
            r#"{{"redirect_uris":["http://localhost/a"],{}}}"#,
            members.join(",")
        )
    };
    assert!(read(members(63).as_bytes()).is_ok());
    assert!(read(members(64).as_bytes()).is_err());
    assert!(read(body(&format!("\"{}\"", "y".repeat(15_000))).as_bytes()).is_ok());
    assert!(read(body(&format!("\"{}\"", "y".repeat(17_000))).as_bytes()).is_err());
}
