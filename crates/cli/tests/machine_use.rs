//! What scripts rely on.
#![allow(clippy::unwrap_used)]

mod common;

use common::{EMAIL, Home, Up};
use testkit::echo::{Echo, EchoSettings};

#[tokio::test(flavor = "multi_thread")]
async fn ready_json_is_one_line_on_stdout_and_the_screen_goes_to_stderr() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    let members: Vec<&String> = up.ready.as_object().unwrap().keys().collect();
    let mut expected = [
        "mcp_url",
        "issuer",
        "authority_url",
        "admin_url",
        "setup_url",
    ];
    expected.sort_unstable();
    let mut found: Vec<&str> = members.iter().map(|name| name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(up.url("setup_url").starts_with(up.url("authority_url")));
    let ran = up.stop().await;
    assert_eq!(ran.code, 0);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("0 findings"), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("5 tools were callable by anyone; now 0 without a token"),
        "{}",
        ran.stderr
    );
    assert!(
        !ran.stderr.contains('\u{1b}'),
        "colour where nobody looks: {}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_clients_are_added_beside_a_running_authority() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let again = home
        .run_with(
            &["users", "add", EMAIL, "--password-stdin"],
            "another long password",
        )
        .await;
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let empty = home
        .run(&["users", "add", "bob@example.com", "--password-stdin"])
        .await;
    assert_eq!(empty.code, 2, "{}", empty.stderr);
    let users = home.run(&["users", "list"]).await;
    assert!(
        users.stdout.contains(EMAIL) && users.stdout.contains("owner"),
        "{}",
        users.stdout
    );
    assert!(!users.stdout.contains("bob"), "{}", users.stdout);

    let add = [
        "clients",
        "add",
        "--name",
        "CI",
        "--redirect-uri",
        "http://127.0.0.1/callback",
    ];
    let added = home.run(&add).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    let id = added.stdout.trim();
    assert!(
        id.starts_with("cli_") && !id.contains(char::is_whitespace),
        "{id}"
    );
    let clients = home.run(&["clients", "list"]).await;
    assert!(clients.stdout.contains(id), "{}", clients.stdout);
    let nowhere = home
        .run(&[&add[..], &["--server", "nowhere"]].concat())
        .await;
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.contains("--server nowhere") && nowhere.stderr.contains("todo"),
        "{}",
        nowhere.stderr
    );
    assert_eq!(up.stop().await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_upstream_is_added_beside_the_todo_server_and_both_are_served() {
    let home = Home::new();
    assert_eq!(
        Up::start(&home, &["--port", "0"]).await.stop().await.code,
        0
    );
    let echo = Echo::start(EchoSettings::default()).await;
    let up = Up::start(
        &home,
        &[
            &echo.url(),
            "--slug",
            "echo",
            "--tool-scope",
            "echo=echo:say",
        ],
    )
    .await;
    assert!(up.url("mcp_url").ends_with("/mcp/echo"));
    home.add_user().await;
    let unnamed = home.run(&["tools"]).await;
    assert_eq!(unnamed.code, 2);
    assert!(unnamed.stderr.contains("--url"), "{}", unnamed.stderr);
    let tools = home
        .run_signing_in(&["tools", "--url", up.url("mcp_url")])
        .await;
    assert_eq!(tools.code, 0, "{}", tools.stderr);
    assert!(tools.stdout.contains("echo"), "{}", tools.stdout);
    let ran = up.stop().await;
    assert_eq!(ran.code, 0);
    for part in [
        "0 findings",
        "echo:say",
        "itself still answers any program on this computer",
        "/mcp/todo",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    // One line for the handshake, with its steps in order.
    let line = ran
        .stderr
        .lines()
        .find(|line| line.contains("Portcullis CLI"))
        .unwrap_or_default();
    for step in [
        "401",
        "metadata",
        "registered",
        "alice approved",
        "tools/list",
    ] {
        assert!(line.contains(step), "{step}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_does_not_keep_up_from_starting() {
    let home = Home::new();
    let port = testkit::unused_port().await;
    let target = format!("http://127.0.0.1:{port}/mcp");
    let up = Up::start(&home, &["--port", "0", &target]).await;
    let ran = up.stop().await;
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr.contains("cannot be used now") && ran.stderr.contains("0 findings"),
        "{}",
        ran.stderr
    );
}
