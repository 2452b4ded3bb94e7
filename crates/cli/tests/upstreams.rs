//! Upstreams that come late, want a key, speak an old transport, or change between two starts.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::Home;
use portcullis_cli::{Stack, Target, ToolScope, UpOptions};
use serde_json::json;
use testkit::echo::{Echo, EchoSettings, tool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn options(home: &Home, url: &str, header_file: Option<PathBuf>) -> UpOptions {
    UpOptions {
        target: Target::Http {
            url: url.parse().unwrap(),
            header_file,
        },
        slug: Some(domain::ServerSlug::parse("echo").unwrap()),
        ..UpOptions::new(home.data())
    }
}

fn screen(stack: &Stack) -> String {
    stack.screen_text(100)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_down_is_named_with_the_reason_and_is_mapped_when_it_comes() {
    let home = Home::new();
    let port = testkit::unused_port().await;
    let options = options(&home, &format!("http://127.0.0.1:{port}/mcp"), None);
    let terminal = options.terminal.clone();
    let stack = Stack::start(options).await.unwrap();
    assert_eq!(stack.self_check().1, Vec::<String>::new());
    assert!(
        screen(&stack).contains("cannot be used now"),
        "{}",
        screen(&stack)
    );
    home.add_user().await;
    let down = home.run_signing_in(&["tools"]).await;
    assert_eq!(down.code, 1);
    assert!(down.stderr.contains("cannot be reached"), "{}", down.stderr);

    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let _echo = Echo::start_on(listener, EchoSettings::default());
    for _ in 0..100 {
        if terminal.kept().contains("echo answers: 3 tools protected") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        terminal.kept().contains("echo answers: 3 tools protected"),
        "{}",
        terminal.kept()
    );
    // What was approved while nothing was known contains nothing, so it is asked again.
    let up = home.run_signing_in(&["tools", "--sign-in"]).await;
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert!(up.stdout.contains("write_note"), "{}", up.stdout);
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_a_key_is_refused_without_the_file_and_works_with_it() {
    let home = Home::new();
    let echo = Echo::start(EchoSettings {
        bearer: Some("upstream-key".into()),
        ..EchoSettings::default()
    })
    .await;
    let error = Stack::start(options(&home, &echo.url(), None))
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("--upstream-header-file"),
        "{error}"
    );

    let file = home.write("headers", "# the key\nAuthorization: Bearer upstream-key\n");
    let stack = Stack::start(options(&home, &echo.url(), Some(file)))
        .await
        .unwrap();
    assert!(
        screen(&stack).contains("The upstream itself asks for credentials"),
        "{}",
        screen(&stack)
    );
    assert!(!screen(&stack).contains("upstream-key"));
    home.add_user().await;
    assert_eq!(
        home.run_signing_in(&["call", "echo", "--json", "{\"a\": 1}"])
            .await
            .code,
        0
    );
    stack.shutdown().await;

    // The path was kept, the key was not.
    let database = std::fs::read(home.data().join("portcullis.db")).unwrap();
    assert!(!String::from_utf8_lossy(&database).contains("upstream-key"));
    let stack = Stack::start(UpOptions::new(home.data())).await.unwrap();
    assert_eq!(home.run(&["tools"]).await.code, 0);
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_appears_later_is_hidden_until_it_is_mapped() {
    let home = Home::new();
    let small = Echo::start(EchoSettings::default()).await;
    Stack::start(options(&home, &small.url(), None))
        .await
        .unwrap()
        .shutdown()
        .await;
    let mut settings = EchoSettings::default();
    settings.tools.push(tool("launch", "Launches.", json!({})));
    let large = Echo::start(settings).await;
    let stack = Stack::start(options(&home, &large.url(), None))
        .await
        .unwrap();
    let text = screen(&stack);
    assert!(
        text.contains("new, hidden  launch") && text.contains("launch=SCOPE"),
        "{text}"
    );
    home.add_user().await;
    let tools = home.run_signing_in(&["tools"]).await;
    assert_eq!(tools.code, 0, "{}", tools.stderr);
    assert!(!tools.stdout.contains("launch"), "{}", tools.stdout);
    stack.shutdown().await;

    let mapped = UpOptions {
        tool_scopes: vec![ToolScope::parse("launch=echo:launch").unwrap()],
        ..options(&home, &large.url(), None)
    };
    let stack = Stack::start(mapped).await.unwrap();
    let text = screen(&stack);
    assert!(
        text.contains("echo:launch") && !text.contains("new, hidden"),
        "{text}"
    );
    let called = home.run_signing_in(&["call", "launch", "--sign-in"]).await;
    assert_eq!(called.code, 0, "{}", called.stderr);
    stack.shutdown().await;

    let unknown = UpOptions {
        tool_scopes: vec![ToolScope::parse("lunch=echo:launch").unwrap()],
        ..options(&home, &small.url(), None)
    };
    let error = Stack::start(unknown).await.err().unwrap().to_string();
    assert!(
        error.contains("--tool-scope lunch") && error.contains("write_note"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_speaks_only_the_transport_of_2024_is_refused_in_words() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let answer = if head[..read].starts_with(b"GET") {
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\ndata: /messages\n\n"
                } else {
                    "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                tokio::time::sleep(Duration::from_secs(5)).await;
            });
        }
    });
    let error = Stack::start(options(&home, &url, None))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("2024-11-05"), "{error}");
    assert!(!home.data().join("authority.json").exists());
}
