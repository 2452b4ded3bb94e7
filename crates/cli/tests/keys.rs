//! Keys, rotated from the command line beside a running authority.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Home, Up};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::{Connection, McpClient};

async fn published(up: &Up, path: &str) -> Vec<Value> {
    let url: url::Url = up.url("authority_url").parse().unwrap();
    let mut authority = Connection::open(&format!("localhost:{}", url.port().unwrap()))
        .await
        .unwrap();
    let answer = authority.send(http::Request::get(path), "").await.unwrap();
    let set: Value = serde_json::from_slice(answer.body()).unwrap();
    set["keys"].as_array().unwrap().clone()
}

fn access_token(home: &Home) -> String {
    let kept: Value =
        serde_json::from_str(&common::read(&home.data().join("client-tokens.json"))).unwrap();
    let issuers = kept["issuers"].as_object().unwrap();
    let saved = issuers.values().next().unwrap();
    saved["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_rotation_is_published_at_once_and_nobody_notices() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let ran = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = home.run(&["keys", "rotate", "--algorithm", "eddsa"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    tokio::time::sleep(Duration::from_millis(800)).await;
    let algorithms: Vec<_> = published(&up, "/jwks.json")
        .await
        .iter()
        .map(|key| key["alg"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(algorithms, ["ES256", "EdDSA"]);
    assert_eq!(published(&up, "/identity/jwks.json").await.len(), 2);
    let ran = home.run(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let listed = home.run(&["keys", "list"]).await.stdout;
    assert_eq!(
        listed.matches("signs\n").count() + listed.matches("signs \n").count(),
        2
    );
    assert_eq!(
        listed.matches("published, signs from").count(),
        2,
        "{listed}"
    );
    let again = home.run(&["keys", "rotate", "--algorithm", "rs256"]).await;
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("about to sign"), "{}", again.stderr);
    assert_eq!(home.run(&["keys", "schedule", "30d"]).await.code, 0);
    assert_eq!(home.run(&["keys", "schedule", "soon"]).await.code, 2);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_rotation_refuses_stolen_keys_within_a_second_and_asks_nobody_to_sign_in() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let ran = home
        .run_signing_in(&["call", "add_todo", "title=Stay"])
        .await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let client = McpClient::new(up.url("mcp_url"))
        .with_header("accept", "application/json, text/event-stream")
        .with_bearer(&access_token(&home));
    let status = async || client.call_tool("list_todos", json!({})).await.status;
    assert_eq!(status().await, StatusCode::OK);

    // Load, so that the token is in the cache of verified ones when its key is withdrawn.
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                client.call_tool("list_todos", json!({})).await;
            }
        })
    };
    let ran = home.run(&["keys", "rotate", "--now"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let began = Instant::now();
    while status().await != StatusCode::UNAUTHORIZED {
        assert!(began.elapsed() < Duration::from_secs(1), "still accepted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert_eq!(published(&up, "/jwks.json").await.len(), 1);

    // No browser here: only a refresh can make this work. The bundled server believes the new identity key.
    let ran = home.run(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("Stay"), "{}", ran.stdout);
    let listed = home.run(&["keys", "list"]).await.stdout;
    assert_eq!(listed.matches("withdrawn").count(), 2, "{listed}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_master_key_stops_the_start_in_words_and_changes_nothing() {
    let home = Home::new();
    Up::start(&home, &["--port", "0"]).await.stop().await;
    let file = home.data().join("keys/master.key");
    let key = common::read(&file).trim().to_owned();
    let aside = home.write("kept/master.key", &key);
    let wrong = "A".repeat(43);
    let up = async |key: Option<&str>, arguments: &[&str]| {
        let mut command = home.command(&["up", "--no-open"]);
        command.args(arguments);
        if let Some(key) = key {
            command.env("PORTCULLIS_MASTER_KEY", key);
        }
        let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        let output = output.expect("it does not start").unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!words.contains(&key.unwrap_or("no key")[..6]), "{words}");
        (output.status.code(), words)
    };
    for (key, said) in [
        (wrong.as_str(), "does not open with this master key"),
        ("secret-in-a-wrong-shape", "is not 32 bytes in base64url"),
    ] {
        let (code, words) = up(Some(key), &[]).await;
        assert_eq!(code, Some(1));
        assert!(words.contains(said), "{words}");
    }
    let missing = home.path("nowhere").display().to_string();
    let (code, words) = up(None, &["--master-key-file", &missing]).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("--master-key-file"), "{words}");
    let aside = aside.display().to_string();
    let (code, words) = up(Some(&wrong), &["--master-key-file", &aside]).await;
    assert_eq!(code, Some(2));
    assert!(words.contains("leave one out"), "{words}");
    std::fs::remove_file(&file).unwrap();
    let (code, words) = up(None, &[]).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("is missing"), "{words}");
    assert!(!file.exists(), "no new key was made");

    // The twin: the same authority with the right key, from a file of the owner's own.
    let up = Up::start(&home, &["--master-key-file", &aside]).await;
    assert_eq!(published(&up, "/jwks.json").await.len(), 1);
    up.stop().await;
    assert!(!file.exists());
}
