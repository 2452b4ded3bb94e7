//! Rows of MCP servers that a command line writes while `up` runs, felt without a restart.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use authz::{Condition, Entry, Operator, Policy};
use base::{Clock as _, SystemClock};
use bytes::Bytes;
use common::Home;
use domain::{AuditEvent, AuditEventKind, McpServer, ServerSettings, ServerSlug, Upstream};
use http::Method;
use portcullis_cli::{Stack, UpOptions};
use serde_json::{Value, json};
use store::{DatabaseUrl, Store, StoreOptions};
use testkit::echo::{Echo, EchoSettings};
use testkit::{Answer, McpClient};

/// The change row is read four times a second.
const FELT_WITHIN: Duration = Duration::from_secs(1);
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What a command line sees of the authority.
struct CommandLine(Store);

impl CommandLine {
    async fn open(home: &Home) -> Self {
        let url = DatabaseUrl::Sqlite(home.data().join("portcullis.db"));
        let opened = Store::open(StoreOptions::new(url), &SystemClock).await;
        Self(opened.unwrap())
    }

    async fn add(&self, server: &McpServer) {
        let event = event(AuditEventKind::ServerAdded, server);
        self.0.insert_server(server, event).await.unwrap();
    }

    async fn change(&self, server: &McpServer) {
        let event = event(AuditEventKind::ServerChanged, server);
        assert!(self.0.update_server(server, event).await.unwrap());
    }
}

fn event(kind: AuditEventKind, server: &McpServer) -> AuditEvent {
    AuditEvent {
        at: SystemClock.now(),
        kind,
        server: Some(server.slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail: String::new(),
    }
}

fn server(slug: &str, resource: String, upstream: &str, header_file: Option<&str>) -> McpServer {
    McpServer {
        slug: ServerSlug::parse(slug).unwrap(),
        name: slug.into(),
        resource,
        other_addresses: domain::OtherAddresses::default(),
        upstream: Upstream::Http {
            url: upstream.into(),
            header_file: header_file.map(str::to_owned),
        },
        settings: ServerSettings::default(),
        policy: Policy::default(),
        policy_revision: 1,
        created_at: SystemClock.now(),
    }
}

async fn get(stack: &Stack, host: &str, path: &str) -> (u16, Value) {
    let client = McpClient::new(format!("http://127.0.0.1:{}{path}", stack.port));
    let client = client.with_header("host", host);
    let answer = Answer::read(client.send(Method::GET, Bytes::new()).await).await;
    let json = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status.as_u16(), json)
}

async fn until(what: &str, within: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + within;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < end, "never felt: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_a_command_line_adds_are_served_within_a_second_at_any_host() {
    let home = Home::new();
    let options = UpOptions::new(home.data());
    let terminal = options.terminal.clone();
    let stack = Stack::start(options).await.unwrap();
    home.add_user().await;
    let echo = Echo::start(EchoSettings::default()).await;
    let command_line = CommandLine::open(&home).await;
    let own = format!("localhost:{}", stack.port);
    let resource = format!("http://{own}/mcp/echo");
    let path = format!("{WELL_KNOWN}/mcp/echo");
    assert_eq!(get(&stack, &own, &path).await.0, 404);
    assert_eq!(get(&stack, "api.example.com", "/mcp").await.0, 421);

    command_line
        .add(&server("echo", resource.clone(), &echo.url(), None))
        .await;
    until("echo", FELT_WITHIN, async || {
        get(&stack, &own, &path).await.1["resource"] == resource
    })
    .await;
    let foreign = "https://api.example.com/mcp";
    command_line
        .add(&server("api", foreign.into(), &echo.url(), None))
        .await;
    until("api", FELT_WITHIN, async || {
        get(&stack, "api.example.com", "/mcp").await.0 == 401
    })
    .await;
    for path in [WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}/mcp")] {
        let (status, document) = get(&stack, "api.example.com", &path).await;
        assert_eq!((status, &document["resource"]), (200, &foreign.into()));
        let issuer = format!("{}/servers/api", stack.authority_url);
        assert_eq!(document["authorization_servers"][0], issuer);
    }
    // The authority is at its own origin and nowhere else.
    for path in [
        "/jwks.json",
        "/admin",
        "/.well-known/oauth-authorization-server/servers/api",
    ] {
        let (status, error) = get(&stack, "api.example.com", path).await;
        assert_eq!((status, &error["error"]), (404, &"not_found".into()));
        assert_ne!(get(&stack, &own, path).await.0, 404, "{path}");
    }

    until("the first looks", Duration::from_secs(5), async || {
        let told = terminal.kept();
        told.contains("echo answers: 3 tools protected")
            && told.contains("api answers: 3 tools protected")
    })
    .await;
    let tools = home.run_signing_in(&["tools", "--url", &resource]).await;
    assert_eq!(tools.code, 0, "{}", tools.stderr);
    assert!(tools.stdout.contains("write_note"), "{}", tools.stdout);

    // All of it is there after a restart, and finds nothing wrong with itself.
    stack.shutdown().await;
    let stack = Stack::start(UpOptions::new(home.data())).await.unwrap();
    assert_eq!(stack.self_check().1, Vec::<String>::new());
    assert_eq!(get(&stack, "api.example.com", "/mcp").await.0, 401);
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_unusable_leaves_the_others_alone_also_at_the_next_start() {
    let home = Home::new();
    let options = UpOptions::new(home.data());
    let terminal = options.terminal.clone();
    let stack = Stack::start(options).await.unwrap();
    let echo = Echo::start(EchoSettings::default()).await;
    let command_line = CommandLine::open(&home).await;
    let own = format!("localhost:{}", stack.port);
    let resource = format!("http://{own}/mcp/echo");
    command_line
        .add(&server("echo", resource.clone(), &echo.url(), None))
        .await;
    until("echo", FELT_WITHIN, async || {
        get(&stack, &own, "/mcp/echo").await.0 == 401
    })
    .await;
    let missing = server("echo", resource, &echo.url(), Some("/nowhere/headers"));
    command_line.change(&missing).await;
    until("the change", FELT_WITHIN, async || {
        terminal.kept().contains("echo cannot be served")
    })
    .await;
    assert!(terminal.kept().contains("/nowhere/headers"));
    assert_eq!(get(&stack, &own, "/mcp/echo").await.0, 401);
    assert_eq!(get(&stack, &own, "/mcp/todo").await.0, 401);
    stack.shutdown().await;

    let stack = Stack::start(UpOptions::new(home.data())).await.unwrap();
    let screen = stack.screen_text(100);
    assert!(screen.contains("cannot be used now"), "{screen}");
    assert_eq!(get(&stack, &own, "/mcp/todo").await.0, 401);
    stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_protected_again_under_another_name_and_never_under_its_own() {
    let home = Home::new();
    home.stack().await.shutdown().await;
    let asked = home.run(&["servers", "remove", "todo"]).await;
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert!(
        asked.stdout.contains("never given again"),
        "{}",
        asked.stdout
    );
    let list = home.run(&["servers", "list", "--json"]).await.stdout;
    assert!(list.contains("\"todo\""), "{list}");
    let removed = home.run(&["servers", "remove", "todo", "--yes"]).await;
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    for _ in 0..2 {
        let stack = home.stack().await;
        assert!(stack.mcp_url.ends_with("/mcp/todo-2"), "{}", stack.mcp_url);
        stack.shutdown().await;
    }
    let named = UpOptions {
        slug: Some(ServerSlug::parse("todo").unwrap()),
        ..UpOptions::new(home.data())
    };
    let refused = Stack::start(named).await.err().unwrap().to_string();
    assert!(refused.contains("never given again"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_a_later_release_is_in_the_way_of_nothing_that_is_not_about_it() {
    let home = Home::new();
    let stack = home.stack().await;
    let command_line = CommandLine::open(&home).await;
    let place = |slug: &str| format!("http://localhost:{}/mcp/{slug}", stack.port);
    let upstream = "http://127.0.0.1:1/mcp";
    let plain = server("plain", place("plain"), upstream, None);
    command_line.add(&plain).await;
    let mut notes = server("notes", place("notes"), upstream, None);
    // It is kept, and cannot be read back: it is nested deeper than JSON is read.
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    let tool = Entry {
        conditions: vec![Condition {
            argument: "/list".to_owned(),
            operator: Operator::Equals(deep),
        }],
        ..Entry::default()
    };
    notes.policy.tools.insert("get".to_owned(), tool);
    let place = place("notes");
    stack.shutdown().await;
    let runs = async |words: &str| {
        let arguments: Vec<&str> = words.split(' ').collect();
        home.run(&arguments).await
    };
    let works = [
        "servers list",
        "servers list --json",
        "servers show todo",
        "servers alias list",
        "servers alias list notes",
        "clients list",
    ];
    let about_it = ["servers show notes", "tools list notes", "export"];
    for words in ["servers show plain", "tools list plain", "export"] {
        assert_eq!(runs(words).await.code, 0, "{words}");
    }
    command_line.add(&notes).await;
    for words in works {
        let ran = runs(words).await;
        assert_eq!(ran.code, 0, "{words}: {}", ran.stderr);
    }
    for words in about_it {
        let ran = runs(words).await;
        assert_eq!(ran.code, 1, "{words}: {}", ran.stdout);
        let told = "the policy of the MCP server notes cannot be read";
        assert!(ran.stderr.contains(told), "{words}: {}", ran.stderr);
    }
    assert!(runs("servers list").await.stdout.contains("cannot be read"));
    let listed: Value = serde_json::from_str(&runs("servers list --json").await.stdout).unwrap();
    assert_eq!(listed[0]["slug"], "notes");
    assert_eq!(listed[0]["tools"], Value::Null);
    assert_eq!(listed[2]["unreadable"], Value::Null);
    // Which one is meant is asked, though one alone can be read.
    let asked = runs("servers show").await;
    assert!(
        asked.stderr.contains("notes, plain, todo"),
        "{}",
        asked.stderr
    );
    let taken = format!("servers add other http://127.0.0.1:1/mcp --unseen --url {place}");
    let taken = runs(&taken).await;
    assert!(
        taken.stderr.contains("where notes is already"),
        "{}",
        taken.stderr
    );

    let stack = home.stack().await;
    let own = format!("localhost:{}", stack.port);
    assert_eq!(get(&stack, &own, "/mcp/todo").await.0, 401);
    assert_eq!(get(&stack, &own, "/mcp/notes").await.0, 503);
    stack.shutdown().await;
}
