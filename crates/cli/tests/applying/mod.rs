//! `portcullis plan` and `apply` beside running nodes: a file is what the store holds, all of it or nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use testkit::unused_port;

use super::common::serving::{Node, command, config, done, felt, postgres, run};
use super::common::{EMAIL, Home, PASSWORD};

const NOTES: &str = "/.well-known/oauth-authorization-server/servers/notes";

/// The configurations of an authority on each database, which was started once and has the todo server and its owner.
pub async fn authorities(home: &Home) -> Vec<PathBuf> {
    let key = home.write("apply.key", &format!("{}\n", base::base64url([7; 32])));
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, permissions).unwrap();
    let mut configs = Vec::new();
    for url in [None, postgres()] {
        if url.is_none() && !configs.is_empty() {
            continue;
        }
        let port = unused_port().await;
        let database = url.map_or_else(String::new, |url| {
            format!("[database]\nurl = {url:?}\nschema = \"apply_{port}\"\n[keys]\nmaster_key_file = {key:?}\n")
        });
        let name = format!("authority{}.toml", configs.len());
        let text = format!(
            "data_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{port}\"]\n{database}",
            home.path(&format!("data{}", configs.len()))
        );
        let config = config(home, &name, port, &text);
        Node::start(home, &config).await.stop().await;
        let add = ["users", "add", EMAIL, "--password-stdin"];
        assert_eq!(run(home, &config, &add, PASSWORD).await.code, 0);
        done(home, &config, &["servers", "add", "todo", "todo"]).await;
        configs.push(config);
    }
    configs
}

async fn exported(home: &Home, config: &Path) -> String {
    done(home, config, &["export"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_planned_then_applied_whole_and_felt_by_a_running_node() {
    let home = Home::new();
    for config in authorities(&home).await {
        let node = Node::start(&home, &config).await;
        // The node maps the todo server at its first look, which changes the state.
        for _ in 0..100 {
            if exported(&home, &config).await.contains("todo:read") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let before = exported(&home, &config).await;
        let file = home.write("edited.toml", &before);
        let file = file.to_str().unwrap();
        let plan = run(&home, &config, &["plan", file], "").await;
        assert_eq!(
            (plan.code, plan.stdout.as_str()),
            (0, "nothing to change\n")
        );
        let apply = run(&home, &config, &["apply", file], "").await;
        assert_eq!((apply.code, apply.stdout), (0, plan.stdout));

        let edited = before.replacen("access-token = \"1h\"", "access-token = \"5m\"", 1)
            + "\n[servers.notes]\nname = \"Notes\"\n[servers.notes.upstream]\nkind = \"http\"\nurl = \"http://127.0.0.1:9/mcp\"\n\
               \n[servers.todo.clients.app]\nname = \"App\"\nauthentication = [\"client_secret\"]\n\
               redirect_uris = [\"https://app.example.com/cb\"]\n\n[people.\"bob@example.com\"]\n";
        std::fs::write(file, &edited).unwrap();
        let plan = run(&home, &config, &["plan", file], "").await;
        assert_eq!(plan.code, 3, "{}", plan.stderr);
        for part in [
            "servers.notes  created",
            "servers.todo  changed\n  settings.access-token  1h → 5m\n  ! an access token of less than 10m",
            "servers.todo.clients.app  created",
            "portcullis clients rotate-secret app",
            "people.\"bob@example.com\"  created",
            "portcullis users add bob@example.com --password-stdin",
            "3 to create, 1 to change, 0 to remove",
        ] {
            assert!(plan.stdout.contains(part), "{part}: {}", plan.stdout);
        }
        let json = run(&home, &config, &["plan", file, "--json"], "").await;
        assert_eq!(json.code, 3);
        let json: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json["stale"], false);
        let changes = json["changes"].as_array().unwrap();
        assert_eq!(changes.len(), 4);
        let todo = changes
            .iter()
            .find(|one| one["path"] == "servers.todo")
            .unwrap();
        assert_eq!(todo["action"], "change");
        assert_eq!(
            todo["fields"],
            serde_json::json!([{ "field": "settings.access-token", "old": "1h", "new": "5m" }])
        );
        // Nobody is there to be asked, so it is not done.
        let asked = run(&home, &config, &["apply", file], "").await;
        assert_eq!(asked.code, 2);
        assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
        assert_eq!(exported(&home, &config).await, before);

        let done_words = done(&home, &config, &["apply", file, "--yes"]).await;
        // Opened late: one on which nothing is asked is closed.
        let mut out = node.open("listen").await;
        felt(&mut out, NOTES, StatusCode::OK).await;
        let after = exported(&home, &config).await;
        let base = after
            .lines()
            .find(|line| line.starts_with("base = "))
            .unwrap();
        assert!(
            done_words.contains(base.split('"').nth(1).unwrap()),
            "{done_words}"
        );
        std::fs::write(file, &after).unwrap();
        assert_eq!(run(&home, &config, &["plan", file], "").await.code, 0);

        // The file from before says another base now.
        std::fs::write(file, &edited).unwrap();
        for asked in [&["plan", file][..], &["apply", file, "--yes"]] {
            let stale = run(&home, &config, asked, "").await;
            assert_eq!(stale.code, 1, "{}", stale.stdout);
            for part in [
                "exported from another state",
                "lately changed:",
                "client added  todo  app",
            ] {
                assert!(stale.stderr.contains(part), "{part}: {}", stale.stderr);
            }
        }
        assert_eq!(exported(&home, &config).await, after);

        let secret = done(&home, &config, &["clients", "rotate-secret", "app"]).await;
        assert_eq!(secret.lines().count(), 1, "{secret}");
        let bob = ["users", "add", "bob@example.com", "--password-stdin"];
        assert_eq!(run(&home, &config, &bob, PASSWORD).await.code, 0);
        let again = run(&home, &config, &bob, PASSWORD).await;
        assert!(again.stderr.contains("exists already"), "{}", again.stderr);
        let people = done(&home, &config, &["users", "list", "--json"]).await;
        let people: Value = serde_json::from_str(&people).unwrap();
        let facts: Vec<_> = people.as_array().unwrap().iter().collect();
        let bob = facts
            .iter()
            .find(|one| one["email"] == "bob@example.com")
            .unwrap();
        assert_eq!(
            (bob["role"].as_str(), &bob["has_password"]),
            (Some("member"), &Value::Bool(true))
        );
        let clients = done(&home, &config, &["clients", "list", "--json"]).await;
        let clients: Value = serde_json::from_str(&clients).unwrap();
        assert_eq!(clients[0]["id"], "app");
        assert_eq!(clients[0]["state"], Value::Null);

        // Left out, a server goes, and its name with it; a person and a client stay.
        let short = after[..after.find("[servers.notes]").unwrap()].to_owned()
            + &after[after.find("[servers.todo]").unwrap()
                ..after.find("[servers.todo.clients").unwrap()];
        std::fs::write(file, &short).unwrap();
        let applied = done(&home, &config, &["apply", file, "--yes"]).await;
        for part in [
            "servers.notes  removed",
            "the slug notes is never given again",
            "servers.todo.clients.app is not in the file and stays; write removed = true",
            "people.\"bob@example.com\" is not in the file and stays",
        ] {
            assert!(applied.contains(part), "{part}: {applied}");
        }
        let mut out = node.open("listen").await;
        felt(&mut out, NOTES, StatusCode::NOT_FOUND).await;
        let now = exported(&home, &config).await;
        assert!(now.contains("[people.\"bob@example.com\"]") && now.contains("clients.app]"));
        std::fs::write(file, now + "\n[servers.notes.upstream]\nkind = \"todo\"\n").unwrap();
        let taken = run(&home, &config, &["apply", file, "--yes"], "").await;
        assert_eq!(taken.code, 2);
        assert!(
            taken
                .stderr
                .contains("servers.notes: a server of this name was removed"),
            "{}",
            taken.stderr
        );
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_applies_one_wins_and_one_that_is_killed_leaves_all_or_nothing() {
    let home = Home::new();
    for config in authorities(&home).await {
        for round in 0..3 {
            let before = exported(&home, &config).await;
            let file = |racer: usize| {
                let text = format!("{before}\n[people.\"r{round}-{racer}@example.com\"]\n");
                let file = home.write(&format!("racer{racer}.toml"), &text);
                file.to_str().unwrap().to_owned()
            };
            let files = [file(0), file(1)];
            let asked = [0, 1].map(|racer| ["apply", files[racer].as_str(), "--yes"]);
            let (one, other) = tokio::join!(
                run(&home, &config, &asked[0], ""),
                run(&home, &config, &asked[1], "")
            );
            let mut codes = [one.code, other.code];
            codes.sort_unstable();
            assert_eq!(codes, [0, 1], "{} {}", one.stderr, other.stderr);
            let lost = if one.code == 1 { &one } else { &other };
            assert!(
                lost.stderr.contains("exported from another state"),
                "{}",
                lost.stderr
            );
            let now = exported(&home, &config).await;
            assert_eq!(now.matches(&format!("[people.\"r{round}-")).count(), 1);
        }
        let mut wait = Duration::from_millis(20);
        let people = |text: &str| text.matches("@example.com\"]").count();
        for round in 0.. {
            let before = exported(&home, &config).await;
            let mut text = before.clone();
            for number in 0..300 {
                text.push_str(&format!("\n[people.\"k{round}-{number}@example.com\"]\n"));
            }
            let file = home.write("killed.toml", &text);
            let mut apply = command(&home, &["apply", file.to_str().unwrap(), "--yes"]);
            let mut child = apply.arg("--config").arg(&config).spawn().unwrap();
            let ended = tokio::time::timeout(wait, child.wait()).await;
            child.kill().await.unwrap();
            let now = exported(&home, &config).await;
            if now != before {
                assert_eq!(people(&now), people(&before) + 300, "round {round}");
            }
            if ended.is_ok() {
                assert_ne!(now, before, "it ended by itself");
                break;
            }
            wait = wait.mul_f32(1.6);
        }
    }
}
