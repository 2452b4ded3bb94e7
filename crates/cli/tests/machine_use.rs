//! What scripts rely on.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use base::{Clock as _, SystemClock};
use common::{EMAIL, Home, Up};
use domain::{AuditEvent, AuditEventKind, UserId};
use serde_json::Value;
use store::{DatabaseUrl, Store, StoreOptions};
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
    assert!(!users.stdout.contains("bob@"), "{}", users.stdout);

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

async fn until_all_is_sealed(home: &Home) {
    let sealed = Instant::now() + Duration::from_secs(60);
    loop {
        let ran = home.run(&["audit", "verify"]).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        if !ran.stdout.contains("under no seal yet") {
            return;
        }
        assert!(Instant::now() < sealed, "{}", ran.stdout);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// With what a person who was deleted left of it, under the right master key and with the head that is the newest.
async fn the_audit_log_fits(home: &Home) {
    let head = home.run(&["audit", "head"]).await;
    assert_eq!(head.code, 0, "{}", head.stderr);
    let head = head.stdout.trim();
    let fits = home.run(&["audit", "verify", "--head", head]).await;
    assert_eq!(fits.code, 0, "{}{}", fits.stdout, fits.stderr);
    assert!(
        fits.stdout.contains("as they were when they were sealed"),
        "{}",
        fits.stdout
    );
    assert!(fits.stdout.contains("a deleted person"), "{}", fits.stdout);
    let (_, of_it) = head.split_once(':').unwrap();
    for (number, words) in [("999999", "cut off"), ("1", "another head")] {
        let kept = format!("{number}:{of_it}");
        let other = home.run(&["audit", "verify", "--head", &kept]).await;
        assert_eq!(other.code, 1, "{}", other.stderr);
        assert!(other.stdout.contains(words), "{}", other.stdout);
    }
    let key = home.path("other.key");
    std::fs::write(&key, base::base64url([9; 32])).unwrap();
    let key = key.to_str().unwrap();
    let other = ["audit", "verify", "--master-key-file", key];
    let other = home.run(&other).await;
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(
        other.stderr.contains("does not open with this master key"),
        "{}",
        other.stderr
    );
    assert!(!other.stdout.contains("event"), "{}", other.stdout);
}

/// More than a page of events about a person.
async fn many_events(home: &Home, user: &UserId) {
    let url = DatabaseUrl::Sqlite(home.data().join("portcullis.db"));
    let store = Store::open(StoreOptions::new(url), &SystemClock)
        .await
        .unwrap();
    let event = AuditEvent {
        at: SystemClock.now(),
        kind: AuditEventKind::SignInRefused,
        server: None,
        user: Some(user.clone()),
        client: None,
        grant: None,
        detail: "wrong password".into(),
    };
    for _ in 0..2 {
        // The queue of writes holds 1,024.
        let writes = (0..600).map(|_| store.insert_audit_event(event.clone()));
        for written in futures_util::future::join_all(writes).await {
            written.unwrap();
        }
    }
    store.close().await;
}

/// Whether a call is answered. Without a token that is good it asks for a browser and waits.
async fn was_called(home: &Home) -> bool {
    let call = home.run(&["call", "list_todos", "--no-open"]);
    let call = tokio::time::timeout(Duration::from_secs(3), call).await;
    call.is_ok_and(|ran| ran.code == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_about_a_person_is_exported_whole_without_a_secret_and_then_deleted() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let called = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(called.code, 0, "{}", called.stderr);

    let nobody = home.run(&["people", "export", "bob@example.com"]).await;
    assert_eq!(nobody.code, 2, "{}", nobody.stderr);
    assert!(
        nobody.stderr.contains("no such person"),
        "{}",
        nobody.stderr
    );
    let exported = home.run(&["people", "export", "ALICE@example.com"]).await;
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    let document: Value = serde_json::from_str(&exported.stdout).unwrap();
    assert_eq!(document["format"], 1);
    assert_eq!(document["authority"], up.url("authority_url"));
    let person = &document["person"];
    assert_eq!(
        (&person["email"], &person["has_password"]),
        (&EMAIL.into(), &true.into())
    );
    let id = person["id"].as_str().unwrap();
    for list in ["sign_ins", "consents", "grants", "clients", "audit_events"] {
        let list = document[list].as_array().unwrap();
        assert!(!list.is_empty(), "{}", exported.stdout);
    }
    assert_eq!(
        document["consents"][0]["client"],
        document["clients"][0]["id"]
    );
    assert_eq!(document["grants"][0]["server"], "todo");
    for secret in ["argon2", "digest", "pcl_", "pcr_", "pct_", "eyJ"] {
        // That of the arguments of a call is part of its record.
        let said = exported.stdout.replace("arguments_digest", "");
        assert!(!said.contains(secret), "{secret}");
    }
    many_events(&home, &UserId::from_text(id)).await;
    let file = home.path("alice.json");
    let output = ["people", "export", id, "--output", file.to_str().unwrap()];
    let written = home.run(&output).await;
    assert_eq!(
        (written.code, written.stdout.as_str()),
        (0, ""),
        "{}",
        written.stderr
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let document: Value = serde_json::from_str(&common::read(&file)).unwrap();
    let events = document["audit_events"].as_array().unwrap();
    let refused = events
        .iter()
        .filter(|event| event["kind"] == "sign_in_refused");
    assert_eq!(refused.count(), 1200, "each once, over several pages");
    assert!(!document["calls"].as_array().unwrap().is_empty());
    let over = home.run(&output).await;
    assert!(
        over.code != 0 && over.stderr.contains("new file"),
        "{}",
        over.stderr
    );

    let only = home.run(&["people", "delete", EMAIL, "--yes"]).await;
    assert!(
        only.code == 1 && only.stderr.contains("no other owner"),
        "{}",
        only.stderr
    );
    let add = [
        "people",
        "add",
        "carol@example.com",
        "--password-stdin",
        "--owner",
    ];
    assert_eq!(home.run_with(&add, "a long enough password").await.code, 0);
    let unasked = home.run(&["people", "delete", EMAIL]).await;
    assert!(
        unasked.code == 2 && unasked.stderr.contains("--yes"),
        "{}",
        unasked.stderr
    );
    assert_eq!(
        home.run(&["call", "list_todos"]).await.code,
        0,
        "still there"
    );
    until_all_is_sealed(&home).await;
    let deleted = home.run(&["people", "delete", EMAIL, "--yes"]).await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert!(deleted.stdout.contains(id), "{}", deleted.stdout);
    let again = home.run(&["users", "delete", id]).await;
    assert!(
        again.code == 0 && again.stdout.contains("deleted before"),
        "{}",
        again.stdout
    );
    let unknown = home.run(&["people", "delete", EMAIL, "--yes"]).await;
    assert!(
        unknown.code == 2 && unknown.stderr.contains("usr_"),
        "{}",
        unknown.stderr
    );
    // Another process deleted; the gateway hears of it at its next look at the store.
    let heard = Instant::now() + Duration::from_secs(2);
    while was_called(&home).await {
        assert!(
            Instant::now() < heard,
            "a token of somebody who is gone was taken"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let people = home.run(&["people", "list"]).await.stdout;
    assert!(
        people.contains("carol@example.com") && !people.contains("alice"),
        "{people}"
    );
    assert_eq!(up.stop().await.code, 0);
    the_audit_log_fits(&home).await;
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
