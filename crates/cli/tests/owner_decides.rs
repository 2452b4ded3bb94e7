//! What an owner does at the command line is felt by the authority that runs beside it, without a restart.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Home, Ran, Up};
use http::{Request, StatusCode, header};
use serde_json::Value;
use testkit::{Connection, person};
use url::Url;

/// The change row is read four times a second.
const FELT_WITHIN: Duration = Duration::from_millis(1500);

async fn done(home: &Home, arguments: &[&str]) -> Ran {
    let ran = home.run(arguments).await;
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    ran
}

/// Asks until `is_so`, or until it should have been felt.
async fn felt<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> T,
    is_so: impl Fn(&T) -> bool,
) -> T {
    let until = tokio::time::Instant::now() + FELT_WITHIN;
    loop {
        let answer = ask().await;
        if is_so(&answer) {
            return answer;
        }
        assert!(
            tokio::time::Instant::now() < until,
            "never felt: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn connection(up: &Up) -> Connection {
    let url = Url::parse(up.url("authority_url")).unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    Connection::open(&address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_felt_by_the_running_authority_within_a_second() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    let mut http = connection(&up).await;
    let mut register = async || {
        let request = Request::post("/servers/todo/register")
            .header(header::CONTENT_TYPE, "application/json");
        let body = person::registration_body("somebody");
        http.send(request, body).await.unwrap().status()
    };
    assert_eq!(register().await, StatusCode::CREATED);
    let shown = done(&home, &["servers", "show"]).await.stdout;
    assert!(shown.contains("dynamic-registration  open"), "{shown}");
    let set = [
        "servers",
        "set",
        "--dynamic-registration",
        "off",
        "--access-token",
        "30m",
    ];
    let told = done(&home, &set).await.stdout;
    assert!(told.contains("dynamic-registration  open → off"), "{told}");
    assert!(told.contains("access-token  1h → 30m"), "{told}");
    felt(&mut register, |status| *status == StatusCode::BAD_REQUEST).await;
    done(
        &home,
        &["servers", "set", "todo", "--dynamic-registration", "open"],
    )
    .await;
    felt(&mut register, |status| *status == StatusCode::CREATED).await;
    let again = done(&home, &["servers", "set", "--dynamic-registration", "open"]).await;
    assert!(again.stdout.contains("nothing changed"), "{}", again.stdout);

    for (wrong, named) in [
        (&["servers", "set"][..], "--dynamic-registration"),
        (&["servers", "set", "--family", "1h"], "--family 1h"),
        (
            &["servers", "set", "--access-token", "10"],
            "--access-token",
        ),
        (
            &["servers", "set", "--client-metadata", "claude"],
            "--client-metadata",
        ),
        (
            &["servers", "set", "nowhere", "--family", "400d"],
            "nowhere",
        ),
    ] {
        let ran = home.run(wrong).await;
        assert_eq!(ran.code, 2, "{wrong:?}");
        assert!(ran.stderr.contains(named), "{wrong:?}: {}", ran.stderr);
    }
    assert_eq!(up.stop().await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_client_is_turned_away_at_the_gateway_with_the_token_it_has() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let tools = home.run_signing_in(&["tools"]).await;
    assert_eq!(tools.code, 0, "{}", tools.stderr);
    let kept: Value =
        serde_json::from_str(&common::read(&home.data().join("client-tokens.json"))).unwrap();
    let saved = kept["issuers"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap();
    let client = saved["client_id"].as_str().unwrap();
    let token = saved["access_token"].as_str().unwrap();

    let mut http = connection(&up).await;
    let mut list = async || {
        let request = Request::post("/mcp/todo")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        http.send(request, body).await.unwrap().status()
    };
    assert_ne!(list().await, StatusCode::UNAUTHORIZED);
    let shown = done(&home, &["clients", "show", client]).await.stdout;
    assert!(shown.contains("1 sign-in of 1 person"), "{shown}");
    let told = done(&home, &["clients", "block", client]).await.stdout;
    assert!(
        told.contains("is blocked") && told.contains("1 sign-in ended"),
        "{told}"
    );
    felt(&mut list, |status| *status == StatusCode::UNAUTHORIZED).await;
    let listed = done(&home, &["clients", "list"]).await.stdout;
    assert!(listed.contains("blocked"), "{listed}");

    done(&home, &["clients", "unblock", client]).await;
    tokio::time::sleep(FELT_WITHIN).await;
    assert_eq!(
        list().await,
        StatusCode::UNAUTHORIZED,
        "what it held stays ended"
    );
    let told = done(&home, &["clients", "forget", client]).await.stdout;
    assert!(told.contains("is forgotten"), "{told}");
    let unknown = home.run(&["clients", "show", client]).await;
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("clients list"),
        "{}",
        unknown.stderr
    );
    assert_eq!(up.stop().await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_is_told_of_on_the_terminal_and_approved_from_another() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    done(
        &home,
        &["servers", "set", "--dynamic-registration", "approved"],
    )
    .await;
    tokio::time::sleep(FELT_WITHIN).await;
    let mut http = connection(&up).await;
    let client = person::register(&mut http, "/servers/todo", "Newcomer")
        .await
        .unwrap();
    let id = client["client_id"].as_str().unwrap();
    let listed = done(&home, &["clients", "list"]).await.stdout;
    assert!(listed.contains("waits"), "{listed}");
    let told = done(&home, &["clients", "approve", id]).await.stdout;
    assert!(told.contains("is approved"), "{told}");
    let told = done(&home, &["clients", "approve", id]).await.stdout;
    assert!(told.contains("nothing changed"), "{told}");
    let ran = up.stop().await;
    assert!(
        ran.stderr
            .contains(&format!("portcullis clients approve {id}")),
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_adds_every_address_of_a_known_client_and_tells_what_it_left_out() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    let added = done(
        &home,
        &["clients", "add", "--preset", "chatgpt", "--secret"],
    )
    .await;
    let mut lines = added.stdout.lines();
    let id = lines.next().unwrap();
    assert!(id.starts_with("cli_"), "{}", added.stdout);
    assert!(lines.next().unwrap().len() > 40, "a secret");
    assert_eq!(lines.next(), None);
    assert!(
        added.stderr.contains("Not added") && added.stderr.contains("<callback_id>"),
        "{}",
        added.stderr
    );
    let shown = done(&home, &["clients", "show", id]).await.stdout;
    for part in [
        "connector_platform_oauth_redirect",
        "with a secret",
        "ChatGPT by OpenAI",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let rotated = done(&home, &["clients", "rotate-secret", id]).await;
    assert_eq!(rotated.stdout.lines().count(), 1);
    let presets = done(&home, &["clients", "presets"]).await.stdout;
    assert!(
        presets.lines().any(|line| line.starts_with("claude-code ")),
        "{presets}"
    );
    for (wrong, named) in [
        (
            &["clients", "add", "--preset", "nobody"][..],
            "there is no such known client",
        ),
        (
            &["clients", "add", "--preset", "librechat"],
            "differs by installation",
        ),
        (&["clients", "add"], "--name"),
    ] {
        let ran = home.run(wrong).await;
        assert_eq!(ran.code, 2, "{wrong:?}");
        assert!(ran.stderr.contains(named), "{wrong:?}: {}", ran.stderr);
    }
    assert_eq!(up.stop().await.code, 0);
}
