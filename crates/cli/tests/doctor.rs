//! `portcullis doctor` as a person and a program run it.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::Home;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_wrong_with_what_up_runs_and_it_takes_less_than_five_seconds() {
    let home = Home::new();
    let stack = home.stack().await;
    let url = stack.screen().servers[0].mcp_url.clone();
    let began = Instant::now();
    let ran = home.run(&["doctor", &url, "--as", "all", "--json"]).await;
    let took = began.elapsed();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["findings"], serde_json::json!([]), "{}", ran.stdout);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        report["well"].as_array().unwrap().len() >= 8,
        "{}",
        report["well"]
    );
    assert!(report["requests"].as_u64().unwrap() > 60);
    assert!(took < Duration::from_secs(5), "{took:?}");
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_protection_is_told_so_on_the_page_in_junit_and_by_the_exit_code() {
    let home = Home::new();
    let echo = testkit::echo::Echo::start(Default::default()).await;
    let junit = home.path("report.xml");
    let bundle = home.path("bundle.json");
    let ran = home
        .run(&[
            "doctor",
            &echo.url(),
            "--junit",
            junit.to_str().unwrap(),
            "--bundle",
            bundle.to_str().unwrap(),
        ])
        .await;
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("Fix this first"), "{}", ran.stdout);
    assert!(ran.stdout.contains("open-server"), "{}", ran.stdout);
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("name=\"open-server\""), "{junit}");
    let bundle: Value = serde_json::from_str(&std::fs::read_to_string(bundle).unwrap()).unwrap();
    assert!(!bundle["exchanges"].as_array().unwrap().is_empty());
    assert!(ran.stderr.contains("bundle.json"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_examined_has_its_own_exit_code_and_what_is_no_url_is_refused() {
    let home = Home::new();
    let port = testkit::unused_port().await;
    let gone = home
        .run(&["doctor", &format!("http://127.0.0.1:{port}/mcp")])
        .await;
    assert_eq!(gone.code, 3, "{}{}", gone.stdout, gone.stderr);
    assert!(gone.stdout.contains("not-reachable"), "{}", gone.stdout);
    for wrong in [
        "mcp.example.com/mcp",
        "ftp://mcp.example.com/",
        "https://me:secret@mcp.example.com/",
    ] {
        let refused = home.run(&["doctor", wrong]).await;
        assert_eq!(refused.code, 2, "{wrong}");
        assert_eq!(refused.stdout, "", "{wrong}");
        assert!(!refused.stderr.is_empty(), "{wrong}");
    }
    let unknown = home
        .run(&["doctor", "http://127.0.0.1:1/mcp", "--as", "nobody"])
        .await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("claude-code"), "{}", unknown.stderr);
    let none = home.run(&["doctor"]).await;
    assert_eq!(none.code, 2);
    assert!(
        none.stderr.contains("portcullis doctor URL"),
        "{}",
        none.stderr
    );
}
