//! From an empty directory to an authorized call, with the built-in client and a person at a browser.
#![allow(clippy::unwrap_used)]

mod common;

use common::{EMAIL, Home, stdio_server};
use portcullis_cli::{ChildEnv, Stack, Target, UpOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_signs_in_once_and_calls_tools() {
    let home = Home::new();
    let stack = home.stack().await;
    assert_eq!(stack.self_check().1, Vec::<String>::new());
    assert!(stack.self_check().0 >= 20);
    home.add_user().await;

    let listed = home.run_signing_in(&["tools"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    for tool in [
        "list_todos",
        "get_todo",
        "add_todo",
        "complete_todo",
        "delete_todo",
    ] {
        assert!(listed.stdout.contains(tool), "{}", listed.stdout);
    }

    let added = home.run(&["call", "add_todo", "title=Buy milk"]).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(
        !added.stderr.contains("sign"),
        "signed in again: {}",
        added.stderr
    );
    let todos = home.run(&["call", "list_todos", "--raw"]).await;
    assert!(todos.stdout.contains("Buy milk"), "{}", todos.stdout);

    let unknown = home.run(&["call", "drop_database"]).await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("add_todo"), "{}", unknown.stderr);
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_needs_more_asks_the_person_for_more_and_then_works() {
    let home = Home::new();
    let stack = home.stack().await;
    home.add_user().await;
    let tools = home
        .run_signing_in(&["tools", "--scope", "todo:read"])
        .await;
    assert_eq!(tools.code, 0, "{}", tools.stderr);
    assert!(
        tools.stdout.contains("list_todos") && !tools.stdout.contains("add_todo"),
        "{}",
        tools.stdout
    );
    let added = home
        .run_signing_in(&["call", "add_todo", "title=Later"])
        .await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(added.stderr.contains("todo:write"), "{}", added.stderr);
    // What was given before is still there.
    let todos = home.run(&["call", "list_todos"]).await;
    assert!(
        todos.stdout.contains("Later"),
        "{} {}",
        todos.stdout,
        todos.stderr
    );
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_after_the_token_was_refused_refresh_it_once_and_all_succeed() {
    let home = Home::new();
    let stack = home.stack().await;
    home.add_user().await;
    assert_eq!(home.run_signing_in(&["tools"]).await.code, 0);

    // As if an hour had passed.
    let path = home.data().join("client-tokens.json");
    let mut kept: serde_json::Value = serde_json::from_str(&common::read(&path)).unwrap();
    let saved = kept
        .pointer_mut("/issuers")
        .unwrap()
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap();
    let before = saved["refresh_token"].clone();
    saved["expires_at"] = 0.into();
    std::fs::write(&path, kept.to_string()).unwrap();

    let calls = (0..4).map(|_| home.run(&["call", "list_todos"]));
    for ran in futures_util::future::join_all(calls).await {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    let kept: serde_json::Value = serde_json::from_str(&common::read(&path)).unwrap();
    let after = kept["issuers"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()["refresh_token"]
        .clone();
    assert_ne!(before, after);
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_has_the_same_address_keys_people_clients_and_todos() {
    let home = Home::new();
    let stack = home.stack().await;
    home.add_user().await;
    assert_eq!(
        home.run_signing_in(&["call", "add_todo", "title=Stay"])
            .await
            .code,
        0
    );
    let (mcp_url, issuer) = (stack.mcp_url.clone(), stack.issuer.clone());
    let clients = home.run(&["clients", "list"]).await.stdout;
    stack.shutdown().await;

    let stack = home.stack().await;
    assert_eq!(
        (stack.mcp_url.clone(), stack.issuer.clone()),
        (mcp_url, issuer)
    );
    assert_eq!(stack.setup_url, None);
    let todos = home.run(&["call", "list_todos"]).await;
    assert_eq!(todos.code, 0, "{}", todos.stderr);
    assert!(todos.stdout.contains("Stay"), "{}", todos.stdout);
    assert_eq!(home.run(&["clients", "list"]).await.stdout, clients);
    assert!(home.run(&["users", "list"]).await.stdout.contains(EMAIL));
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stdio_server_is_protected_and_gets_its_variables() {
    let home = Home::new();
    let script = stdio_server(&home);
    let start = |env: Vec<ChildEnv>| {
        Stack::start(UpOptions {
            target: Target::Stdio {
                command: vec!["sh".into(), script.display().to_string()],
                env,
                directory: home.path("weather"),
            },
            ..UpOptions::new(home.data())
        })
    };
    let stack = start(vec![ChildEnv::Set("CITY".into(), "Oslo".into())])
        .await
        .unwrap();
    assert!(stack.mcp_url.ends_with("/mcp/weather"), "{}", stack.mcp_url);
    assert_eq!(stack.self_check().1, Vec::<String>::new());
    home.add_user().await;
    let called = home.run_signing_in(&["call", "get_weather"]).await;
    assert_eq!(called.code, 0, "{}", called.stderr);
    assert_eq!(called.stdout.trim(), "sunny in Oslo");
    stack.shutdown().await;

    // The value is not kept, only the name.
    let database = std::fs::read(home.data().join("portcullis.db")).unwrap();
    assert!(!String::from_utf8_lossy(&database).contains("Oslo"));
    let error = start(Vec::new()).await.err().unwrap().to_string();
    assert!(!error.is_empty());
    start(vec![ChildEnv::Set("CITY".into(), "Rome".into())])
        .await
        .unwrap()
        .shutdown()
        .await;
}

/// Runs until it ends as wanted, for as long as a change may take to be felt.
async fn felt(home: &Home, arguments: &[&str], code: i32) -> common::Ran {
    let mut ran = home.run(arguments).await;
    for _ in 0..5 {
        if ran.code == code {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        ran = home.run(arguments).await;
    }
    assert_eq!(
        ran.code, code,
        "{arguments:?}: {} {}",
        ran.stdout, ran.stderr
    );
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_and_a_rule_bind_whoever_is_signed_in_without_another_sign_in() {
    let home = Home::new();
    let stack = home.stack().await;
    home.add_user().await;
    for arguments in [
        &[
            "roles",
            "add",
            "todo",
            "reader",
            "--scope",
            "todo:read",
            "--default",
        ][..],
        &[
            "roles",
            "add",
            "todo",
            "editor",
            "--scope",
            "todo:read",
            "--scope",
            "todo:write",
        ],
    ] {
        let ran = home.run(arguments).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    // All three scopes are asked for and approved; the default role permits one.
    let listed = home.run_signing_in(&["tools"]).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(listed.stdout.contains("list_todos"), "{}", listed.stdout);
    assert!(!listed.stdout.contains("add_todo"), "{}", listed.stdout);
    let add = ["call", "add_todo", "title=Buy milk"];
    let refused = home.run(&add).await;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    let unknown = home.run(&["call", "no_todo", "title=Buy milk"]).await;
    assert_eq!(
        refused.stderr.replace("add_todo", "no_todo"),
        unknown.stderr,
        "as if there were no such tool"
    );

    let given = home.run(&["roles", "give", "todo", "editor", EMAIL]).await;
    assert_eq!(given.code, 0, "{}", given.stderr);
    let added = felt(&home, &add, 0).await;
    assert!(
        !added.stderr.contains("sign"),
        "signed in again: {}",
        added.stderr
    );

    let clients = home.run(&["clients", "list", "--json"]).await.stdout;
    let clients: serde_json::Value = serde_json::from_str(&clients).unwrap();
    let client = clients[0]["id"].as_str().unwrap();
    let rule = home
        .run(&[
            "rules", "add", "todo", "deny", "--client", client, "--tool", "add_todo",
        ])
        .await;
    assert_eq!(rule.code, 0, "{}", rule.stderr);
    felt(&home, &add, 1).await;
    assert_eq!(home.run(&["call", "list_todos"]).await.code, 0);
    let rule = rule.stdout.split_whitespace().next().unwrap();
    let removed = home.run(&["rules", "remove", "todo", rule]).await;
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    felt(&home, &add, 0).await;

    let list = ["call", "list_todos"];
    let limit = ["limits", "add", "todo", "2/1h", "--tool", "list_todos"];
    let limit = home.run(&limit).await;
    assert_eq!(limit.code, 0, "{}", limit.stderr);
    let refused = felt(&home, &list, 1).await;
    assert!(
        refused.stderr.contains("Called too often"),
        "{}",
        refused.stderr
    );
    assert_eq!(home.run(&add).await.code, 0, "another tool");
    let limit = limit.stdout.split_whitespace().next().unwrap();
    let wider = home.run(&["limits", "set", "todo", limit, "3600/1s"]).await;
    assert_eq!(wider.code, 0, "{}", wider.stderr);
    felt(&home, &list, 0).await;
    let listed = home.run(&["limits", "list", "todo", "--json"]).await.stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["rate"], "3600 per 1s");
    let removed = home.run(&["limits", "remove", "todo", limit]).await;
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    let unknown = home.run(&["limits", "remove", "todo", limit]).await;
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    stack.shutdown().await;
}
