//! What commands that change servers, clients and people leave in the audit log: each one event, and none when they are refused.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::Home;
use common::serving::{Node, config, done, run};
use domain::AuditEventKind as Kind;
use serde_json::Value;
use testkit::echo::{Echo, EchoSettings};
use testkit::unused_port;

const PASSWORD: &str = "correct horse battery staple";

/// The kinds of all events so far, but those of keys.
async fn kinds(home: &Home, config: &Path) -> Vec<String> {
    let listed = done(home, config, &["audit", "list", "--json"]).await;
    let events: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let kinds = events.iter().map(|event| event["kind"].as_str().unwrap());
    kinds
        .filter(|kind| !kind.starts_with("key_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_changes_a_server_a_client_or_a_person_leaves_one_event() {
    let home = Home::new();
    let echo = Echo::start(EchoSettings::default()).await;
    let port = unused_port().await;
    let text = format!("[listen]\naddresses = [\"127.0.0.1:{port}\"]\n");
    let data = format!("data_dir = {:?}\n", home.path("data"));
    let config = config(&home, "audited.toml", port, &format!("{data}{text}"));
    let node = Node::start(&home, &config).await;
    let mut wanted: Vec<&str> = Vec::new();
    let origin = format!("http://localhost:{port}");
    let (url, also) = (echo.url(), format!("{origin}/mcp/also"));
    let moved = format!("{origin}/mcp/moved");
    for (line, kind) in [
        (format!("servers add one {url} --unseen"), Kind::ServerAdded),
        (format!("servers add two {url} --unseen"), Kind::ServerAdded),
        (
            "servers set two --access-token 17m".to_owned(),
            Kind::ServerChanged,
        ),
        (format!("servers alias add two {also}"), Kind::AliasAdded),
        (format!("move two {moved} --yes"), Kind::ServerMoved),
        ("servers remove one --yes".to_owned(), Kind::ServerRemoved),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        done(&home, &config, &arguments).await;
        wanted.push(kind.as_str());
        // Once more is refused, and nothing was done.
        if kind != Kind::ServerChanged && kind != Kind::ServerMoved {
            let again = run(&home, &config, &arguments, "").await;
            assert_ne!(again.code, 0, "{line}: {}", again.stdout);
        }
    }
    // The node sees what leads to it by itself.
    let proven = Kind::AliasProven.as_str();
    let began = std::time::Instant::now();
    while !kinds(&home, &config).await.contains(&proven.to_owned()) {
        assert!(began.elapsed() < Duration::from_secs(20), "never proven");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done(
        &home,
        &config,
        &["servers", "alias", "remove", "two", &also],
    )
    .await;
    wanted.push(Kind::AliasRemoved.as_str());

    for email in ["first@example.com", "second@example.com"] {
        let add = ["people", "add", email, "--password-stdin"];
        let added = run(&home, &config, &add, PASSWORD).await;
        assert_eq!(added.code, 0, "{}", added.stderr);
        wanted.push(Kind::UserAdded.as_str());
    }
    let add = "clients add --server two --name Named --redirect-uri http://127.0.0.1/x";
    done(&home, &config, &add.split(' ').collect::<Vec<_>>()).await;
    wanted.push(Kind::ClientAdded.as_str());
    let file = home.path("state.toml").display().to_string();
    done(&home, &config, &["export", &file]).await;
    let state = common::read(Path::new(&file));
    let other = state
        .replace("\"Named\"", "\"Renamed\"")
        .replace("name = \"second\"", "name = \"Somebody\"");
    std::fs::write(&file, other).unwrap();
    done(&home, &config, &["apply", &file, "--yes"]).await;
    wanted.extend([Kind::ClientChanged, Kind::UserChanged].map(Kind::as_str));
    // Nothing is left to change.
    done(&home, &config, &["export", &file]).await;
    done(&home, &config, &["apply", &file, "--yes"]).await;

    let mut found = kinds(&home, &config).await;
    // What the node does by itself: it proves each address that leads here, the former one too, and maps the tools.
    found.retain(|kind| kind != proven && kind != Kind::PolicyPublished.as_str());
    found.sort();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    node.stop().await;
}
