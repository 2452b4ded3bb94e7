//! No log, database or screen ever holds a token, code, password or cookie, however much is logged.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, PASSWORD, Up, read};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_any_sink() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0", "--log", "trace"]).await;
    home.add_user().await;
    let ran = home
        .run_signing_in(&["call", "list_todos", "--log", "trace"])
        .await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let kept: serde_json::Value =
        serde_json::from_str(&read(&home.data().join("client-tokens.json"))).unwrap();
    let saved = kept["issuers"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap();
    // A refusal must not quote what it refused.
    let token_url = saved["token_endpoint"].as_str().unwrap();
    let refused = home.run(&["call", "list_todos", "--url", token_url]).await;
    assert_ne!(refused.code, 0);
    let stopped = up.stop().await;
    assert_eq!(stopped.code, 0);

    let code = ran.code_seen.clone().unwrap();
    let master_key = read(&home.data().join("keys/master.key"));
    let secrets = [
        ("password", PASSWORD),
        ("code", code.as_str()),
        ("access token", saved["access_token"].as_str().unwrap()),
        ("refresh token", saved["refresh_token"].as_str().unwrap()),
        // Any login cookie; none is known here, but all begin so.
        ("login cookie", "pcl_"),
        ("master key", master_key.trim()),
    ];
    let mut sinks = vec![
        ("log of up".to_owned(), stopped.stderr.into_bytes()),
        ("log of call".to_owned(), ran.stderr.into_bytes()),
    ];
    for entry in std::fs::read_dir(home.data()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The built-in client's own file is where its tokens belong.
        if path.is_file() && name != "client-tokens.json" {
            sinks.push((name, std::fs::read(&path).unwrap()));
        }
    }
    assert!(sinks.iter().any(|(name, _)| name == "portcullis.db"));
    assert!(
        sinks[0].1.len() > 2_000,
        "{}",
        String::from_utf8_lossy(&sinks[0].1)
    );
    for (sink, bytes) in &sinks {
        for (what, secret) in &secrets {
            assert!(secret.len() >= 4);
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{what} in {sink}");
        }
    }
}
