//! `portcullis policy` beside running nodes: who saved what, what a change would do, and the way back.

use std::path::Path;

use authz::{Entry, Policy, Requirement};
use base::{Clock as _, SystemClock};
use domain::{AuditEvent, AuditEventKind, CallOutcome, CallRecord, ServerSlug};
use serde_json::{Value, json};
use store::{ActivityLog, ActivityOptions, DatabaseUrl, PublishOutcome, Store, StoreOptions};

use super::applying::authorities;
use super::common::serving::{Node, done, run};
use super::common::{EMAIL, Home, PASSWORD};

const BOB: &str = "bob@example.com";
/// What would turn a line round, hide in it, or forge one.
const HOSTILE: &str = "\u{202e}evil\u{200b}\u{1b}[2J\n\u{9b}2J\u{ad}\u{e0041}寅寅 \"tool\"";

async fn document(home: &Home, config: &Path, arguments: &[&str]) -> Value {
    let text = done(home, config, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Bob may add, as a writer, and everybody else may read.
async fn with_roles(home: &Home, config: &Path) {
    let add = ["users", "add", BOB, "--password-stdin"];
    assert_eq!(run(home, config, &add, PASSWORD).await.code, 0);
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
            "writer",
            "--scope",
            "todo:read",
            "--scope",
            "todo:write",
        ],
        &["roles", "give", "todo", "writer", BOB],
    ] {
        done(home, config, arguments).await;
    }
}

async fn until_mapped(home: &Home, config: &Path) {
    for _ in 0..100 {
        if done(home, config, &["export"]).await.contains("todo:write") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the todo server is never mapped");
}

/// The activity log of the first authority of the test, which is on SQLite.
async fn called(home: &Home, subject: &str, tool: &str, times: usize) {
    let url = DatabaseUrl::Sqlite(home.path("data0").join("activity.db"));
    let log = ActivityLog::open(ActivityOptions { url }, &SystemClock)
        .await
        .unwrap();
    for _ in 0..times {
        log.record(CallRecord {
            at: SystemClock.now(),
            server: "todo".into(),
            subject: Some(subject.into()),
            client: Some("cli_1".into()),
            grant: None,
            method: "tools/call".into(),
            name: Some(tool.into()),
            arguments_digest: None,
            arguments: None,
            decision: None,
            cause: None,
            rule: None,
            policy_revision: None,
            judged_us: None,
            outcome: CallOutcome::Allowed,
            reason: String::new(),
            status: 200,
            duration_us: 1,
            correlation_id: None,
        });
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_previewed_changed_and_rolled_back_beside_a_running_node() {
    let home = Home::new();
    for (index, config) in authorities(&home).await.iter().enumerate() {
        let node = Node::start(&home, config).await;
        until_mapped(&home, config).await;
        with_roles(&home, config).await;
        let of = async |arguments: &[&str]| document(&home, config, arguments).await;

        let history = of(&["policy", "history", "todo"]).await;
        let good = history["in_force"].as_i64().unwrap();
        let revisions = history["revisions"].as_array().unwrap();
        let numbers: Vec<i64> = revisions
            .iter()
            .map(|one| one["revision"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=good).rev().collect::<Vec<_>>());
        assert_eq!(history["not_kept"], json!([]));
        assert_eq!(revisions[0]["made_by"], "change");
        assert_eq!(revisions[0]["detail"], "role writer added");
        assert_eq!(revisions[revisions.len() - 1]["made_by"], "added");
        let table = of(&["policy", "table", "todo"]).await;
        let reaches = |table: &Value, tool: &str| {
            let rows = table["rows"].as_array().unwrap();
            let row = rows.iter().find(|row| row["name"] == tool).unwrap().clone();
            let labels = table["callers"].as_array().unwrap().iter();
            let labels = labels.map(|one| one["label"].as_str().unwrap().to_owned());
            let cells = row["cells"].as_array().unwrap().iter();
            let cells = cells.map(|cell| cell["answer"].as_str().unwrap().to_owned());
            labels.zip(cells).collect::<Vec<_>>()
        };
        let both = |writer: &str, other: &str| {
            vec![
                ("writer".to_owned(), writer.to_owned()),
                ("no role (reader)".to_owned(), other.to_owned()),
            ]
        };
        assert_eq!(
            reaches(&table, "add_todo"),
            both("yes", "no: not permitted")
        );
        assert_eq!(reaches(&table, "list_todos"), both("yes", "yes"));

        // A rule that takes adding from Bob; what it does is seen before, from a file, and after.
        let bob = of(&["users", "list"]).await;
        let bob = bob
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["email"] == BOB)
            .unwrap();
        let bob = bob["id"].as_str().unwrap().to_owned();
        if index == 0 {
            called(&home, &bob, "add_todo", 7).await;
            called(&home, &bob, "list_todos", 5).await;
        }
        let calls = if index == 0 { (12, 7) } else { (0, 0) };
        let exported = done(&home, config, &["export"]).await;
        let rule = format!(
            "rules = [{{ id = \"rul_1\", effect = \"deny\", who = {{ person = \"{bob}\" }}, what = {{ tools = [\"add_todo\"] }} }}]\n"
        );
        let edited = exported.replacen(
            "\n[servers.todo.policy]\n",
            &format!("\n[servers.todo.policy]\n{rule}"),
            1,
        );
        assert_ne!(edited, exported);
        let file = home.write("edited.toml", &edited);
        let file = file.to_str().unwrap();
        let preview = of(&["policy", "preview", "todo", "--file", file]).await;
        assert_eq!(preview["in_force"], good);
        assert_eq!(preview["changes"][0]["kind"], "rule");
        assert_eq!(preview["changes"][0]["change"], "added");
        assert_eq!(preview["decisions"]["pairs"], 1);
        assert_eq!(preview["decisions"]["changed"][0]["name"], "add_todo");
        assert_eq!(
            preview["decisions"]["changed"][0]["callers"][0]["people"],
            json!([bob])
        );
        assert_eq!(preview["replay"]["calls"], calls.0);
        assert_eq!(preview["replay"]["denied"], calls.1);
        assert_eq!(preview["replay"]["allowed"], 0);
        let shown = done(
            &home,
            config,
            &["policy", "preview", "todo", "--file", file],
        )
        .await;
        for part in [
            "rule rul_1  added",
            "person bob@example.com",
            "who reaches what: 1 of ",
            "add_todo  yes → no: denied by rule",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        if index == 0 {
            let part = "12; 7 would be denied\n      7  bob@example.com  add_todo  yes → no: denied by rule";
            assert!(shown.contains(part), "{shown}");
        }
        let plan = run(&home, config, &["plan", file], "").await;
        assert!(
            plan.stdout.contains("! who reaches what: 1 of "),
            "{}",
            plan.stdout
        );
        assert_eq!(preview["replay"]["rate_limits_change"], false);
        let limit = "rate_limits = [{ id = \"lim_1\", per = \"person\", what = \"all\", rate = \"1 per 1h\" }]\n";
        let limited = edited.replacen(&rule, &format!("{rule}{limit}"), 1);
        let limited = home.write("limited.toml", &limited);
        let limited = [
            "policy",
            "preview",
            "todo",
            "--file",
            limited.to_str().unwrap(),
        ];
        assert_eq!(of(&limited).await["replay"]["rate_limits_change"], true);
        let shown = done(&home, config, &limited).await;
        let part = "how often people called was not held against the rate limits that change";
        assert!(shown.contains(part), "{shown}");
        done(&home, config, &["apply", file, "--yes"]).await;
        let changed = of(&["policy", "table", "todo"]).await;
        assert_eq!(
            reaches(&changed, "add_todo")[0],
            (BOB.to_owned(), "no: denied by rule".to_owned())
        );
        let why = done(&home, config, &["policy", "table", "todo", "--person", BOB]).await;
        assert!(why.contains("rule rul_1"), "{why}");
        let from = good.to_string();
        let diff = done(&home, config, &["policy", "diff", "todo", &from]).await;
        assert!(
            diff.contains("rule rul_1  added") && diff.contains("person bob@example.com"),
            "{diff}"
        );
        let back = of(&["policy", "diff", "todo", &(good + 1).to_string(), &from]).await;
        assert_eq!(back["changes"][0]["change"], "removed");
        let was = of(&["policy", "show", "todo", "--revision", &from]).await;
        assert_eq!(was["policy"]["subject_rules"], Value::Null);
        assert_eq!(
            (&was["in_force"], &was["revision"]),
            (&json!(false), &json!(good))
        );
        // The file is of another state now.
        let stale = of(&["policy", "preview", "todo", "--file", file]).await;
        assert!(
            stale["consequences"][0]
                .as_str()
                .unwrap()
                .contains("`apply` will refuse it"),
            "{stale}"
        );

        // The way back, and that nobody is there to be asked.
        let preview = of(&["policy", "preview", "todo", "--revision", &from]).await;
        assert_eq!(preview["decisions"]["pairs"], 1);
        assert_eq!(preview["replay"]["allowed"], calls.1);
        let asked = run(&home, config, &["policy", "rollback", "todo", &from], "").await;
        assert_eq!(asked.code, 2);
        assert!(asked.stderr.contains("say --yes"), "{}", asked.stderr);
        let said = done(
            &home,
            config,
            &["policy", "rollback", "todo", &from, "--yes"],
        )
        .await;
        assert!(
            said.contains(&format!(
                "is back at revision {good}, as revision {}",
                good + 2
            )),
            "{said}"
        );
        let again = of(&["policy", "table", "todo"]).await;
        assert_eq!(
            (&again["callers"], &again["rows"]),
            (&table["callers"], &table["rows"])
        );
        let at = of(&["policy", "table", "todo", "--revision", &from]).await;
        assert_eq!(
            (&at["callers"], &at["rows"]),
            (&table["callers"], &table["rows"])
        );
        let history = of(&["policy", "history", "todo", "--limit", "2"]).await;
        assert_eq!(history["revisions"][0]["made_by"], "roll_back");
        assert_eq!(history["revisions"][0]["of_revision"], good);
        assert_eq!(history["revisions"][1]["made_by"], "apply");
        let shown = done(&home, config, &["policy", "history", "todo"]).await;
        assert!(shown.contains(&format!("rollback to {good}")), "{shown}");

        let set = ["servers", "set", "todo", "--list-step-up", "never"];
        let said = done(&home, config, &set).await;
        assert!(
            said.contains("list step-up never; policy revision"),
            "{said}"
        );
        let diff = done(&home, config, &["policy", "diff", "todo", &from]).await;
        assert!(diff.contains("auto → never"), "{diff}");
        let exported = done(&home, config, &["export"]).await;
        assert!(exported.contains("list_step_up = \"never\""), "{exported}");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_cannot_be_meant_says_what_to_do() {
    let home = Home::new();
    let config = &authorities(&home).await[0];
    let node = Node::start(&home, config).await;
    until_mapped(&home, config).await;
    let history = document(&home, config, &["policy", "history", "todo"]).await;
    let in_force = history["in_force"].as_i64().unwrap().to_string();
    let export = home.write(
        "other.toml",
        &done(&home, config, &["export"])
            .await
            .replace("todo", "else"),
    );
    for (arguments, said) in [
        (&["show", "nobody"][..], "there is no such MCP server"),
        (
            &["show", "todo", "--revision", "999"],
            "revision 999 of todo is not kept",
        ),
        (&["show", "todo", "--revision", "0"], "a number from 1 on"),
        (
            &["diff", "todo", "1", "999"],
            "portcullis policy history todo shows",
        ),
        (
            &["rollback", "todo", "999", "--yes"],
            "revision 999 of todo is not kept",
        ),
        (
            &["rollback", "todo", &in_force, "--yes"],
            "is the one in force",
        ),
        (
            &["rollback", "todo", "1", "--yes"],
            "nothing was mapped yet",
        ),
        (&["preview", "todo"], "--file"),
        (
            &["table", "todo", "--person", "nobody@example.com"],
            "there is no such person",
        ),
        (
            &["table", "todo", "--client", "cli_nobody"],
            "portcullis clients list",
        ),
        (&["history", "todo", "--limit", "0"], "--limit"),
    ] {
        let ran = run(&home, config, &[&["policy"], arguments].concat(), "").await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    for (file, said) in [
        (export.to_str().unwrap(), "todo"),
        ("/nowhere.toml", "/nowhere.toml cannot be read"),
    ] {
        let arguments = ["policy", "preview", "todo", "--file", file];
        let ran = run(&home, config, &arguments, "").await;
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    let table = done(
        &home,
        config,
        &["policy", "table", "todo", "--client", "https://claude.ai/c"],
    )
    .await;
    assert!(table.contains("through https://claude.ai/c"), "{table}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_long_names_are_shown_as_what_they_are() {
    let home = Home::new();
    let config = &authorities(&home).await[0];
    let url = DatabaseUrl::Sqlite(home.path("data0").join("portcullis.db"));
    let store = Store::open(StoreOptions::new(url), &SystemClock)
        .await
        .unwrap();
    let slug = ServerSlug::parse("todo").unwrap();
    let mut policy = store.find_server(&slug).await.unwrap().unwrap().policy;
    let long = "long ".repeat(100);
    for name in [HOSTILE, long.as_str(), "plain"] {
        let entry = Entry {
            requirement: Requirement::Public,
            title: name.into(),
            ..Entry::default()
        };
        policy.tools.insert(name.to_owned(), entry);
    }
    let publish = async |policy: &Policy| {
        let server = store.find_server(&slug).await.unwrap().unwrap();
        let event = AuditEvent {
            at: SystemClock.now(),
            kind: AuditEventKind::PolicyPublished,
            server: Some(slug.clone()),
            user: None,
            client: None,
            grant: None,
            detail: format!("by {HOSTILE}"),
        };
        let published = store
            .publish_policy(&slug, server.policy_revision, policy, event)
            .await;
        let Ok(PublishOutcome::Published(revision)) = published else {
            panic!("{published:?}")
        };
        revision.to_string()
    };
    let first = publish(&policy).await;
    for entry in policy.tools.values_mut() {
        entry.requirement = Requirement::Denied;
    }
    publish(&policy).await;
    called(&home, HOSTILE, HOSTILE, 3).await;
    store.close().await;
    for arguments in [
        &["history", "todo"][..],
        &["show", "todo"],
        &["diff", "todo", &first],
        &["preview", "todo", "--revision", &first],
        &["rollback", "todo", &first, "--yes"],
        &["table", "todo"],
        &["table", "todo", "--person", EMAIL],
    ] {
        let shown = done(&home, config, &[&["policy"], arguments].concat()).await;
        for hidden in [
            '\u{202e}',
            '\u{200b}',
            '\u{1b}',
            '\u{9b}',
            '\u{ad}',
            '\u{e0041}',
        ] {
            assert!(!shown.contains(hidden), "{arguments:?}: {shown:?}");
        }
        let lines = shown.lines().filter(|line| line.contains("evil"));
        assert!(!shown.contains("evil\n"), "{arguments:?}: {shown}");
        assert!(lines.count() >= 1, "{arguments:?}: {shown}");
        if arguments == ["show", "todo"] {
            let read: toml::Table = shown.parse().unwrap();
            let tools = &read["servers"]["todo"]["policy"]["tools"];
            assert!(tools.get(HOSTILE).is_some(), "{shown}");
        }
        if arguments == ["table", "todo"] {
            for line in shown.lines() {
                assert!(console_width(line) <= 100, "{line}");
            }
            assert!(
                shown
                    .lines()
                    .any(|line| line.starts_with("plain ") && line.ends_with("yes")),
                "{shown}"
            );
        }
    }
    let table = document(&home, config, &["policy", "table", "todo"]).await;
    let names = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap());
    assert!(names.clone().any(|name| name == HOSTILE) && names.clone().any(|name| name == long));
}

/// How many columns a line takes: those above this are two wide.
fn console_width(line: &str) -> usize {
    line.chars()
        .map(|letter| 1 + usize::from(letter >= '\u{2e80}'))
        .sum()
}
