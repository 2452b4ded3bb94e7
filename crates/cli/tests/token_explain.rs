//! `portcullis token explain`, as a person runs it: offline, and with a token that a real authority issued.
#![allow(clippy::unwrap_used)]

mod common;

use common::Home;
use testkit::Connection;

/// The client's own token file has a token that was really issued.
fn kept_token(home: &Home) -> String {
    let text = common::read(&home.data().join("client-tokens.json"));
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let issuers = kept["issuers"].as_object().unwrap();
    let saved = issuers.values().next().unwrap();
    saved["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_token_is_good_for_its_server_and_bad_for_another() {
    let home = Home::new();
    let stack = home.stack().await;
    home.add_user().await;
    assert_eq!(home.run_signing_in(&["tools"]).await.code, 0);
    let token = kept_token(&home);
    let mut web = Connection::open(&format!("localhost:{}", stack.port))
        .await
        .unwrap();
    let keys = web
        .send(http::Request::get("/jwks.json"), "")
        .await
        .unwrap();
    let jwks = home.write("jwks.json", &testkit::person::text(&keys));
    let jwks = jwks.to_str().unwrap();
    let (resource, issuer) = (stack.mcp_url.clone(), stack.issuer.clone());
    // Nothing is asked of anybody.
    stack.shutdown().await;

    let explain = ["token", "explain", "--jwks", jwks, "--issuer", &issuer];
    let good = [&explain[..], &["--resource", &resource, "-"]].concat();
    let ran = home.run_with(&good, &token).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("Good: "), "{}", ran.stdout);
    for line in ["✓ iss", "✓ aud", "✓ exp", "✓ sub", "✓ scope", "✓ signature"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("in 59 minutes"), "{}", ran.stdout);
    let signature = token.rsplit('.').next().unwrap();
    assert!(!ran.stdout.contains(&signature[..16]), "{}", ran.stdout);

    let other = [&explain[..], &["--resource", "https://other.test/mcp", "-"]].concat();
    let ran = home.run_with(&other, &token).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("Bad: aud: "), "{}", ran.stdout);
}

#[tokio::test]
async fn a_token_comes_from_an_argument_a_file_or_standard_input_and_json_is_for_programs() {
    let home = Home::new();
    let file = home.write("response.json", r#"{"access_token":"opaque-token-1"}"#);
    let file = file.to_str().unwrap();
    for (arguments, input) in [
        (vec!["token", "explain", "opaque-token-1"], ""),
        (vec!["token", "explain", "--file", file], ""),
        (vec!["token", "explain", "-"], "opaque-token-1\n"),
        (vec!["token", "explain"], "Bearer opaque-token-1"),
    ] {
        let ran = home.run_with(&arguments, input).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stdout.contains("An opaque token of 14 characters"),
            "{}",
            ran.stdout
        );
        assert!(!ran.stdout.contains("opaque-token-1"), "{}", ran.stdout);
    }
    let ran = home
        .run(&["token", "explain", "--json", "eyJhbGciOiJub25lIn0.e30."])
        .await;
    assert_eq!(ran.code, 1);
    let explained: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(explained["kind"], "jwt");
    assert_eq!(explained["verdict"]["outcome"], "bad");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_its_flag() {
    let home = Home::new();
    let text = home.write("text", "no key set");
    for (arguments, named) in [
        (["--file", "nowhere"], "--file nowhere cannot be read"),
        (["--jwks", text.to_str().unwrap()], "not a key set"),
    ] {
        let ran = home
            .run_with(&[&["token", "explain"], &arguments[..]].concat(), "x")
            .await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
    }
    // Nothing was kept anywhere for it.
    assert!(!home.data().exists());
}
