//! `connect` changes one entry of one file, or says what it would change.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, Ran, read};

const URL: &str = "http://localhost:4180/mcp/todo";

async fn connect(home: &Home, client: &str, more: &[&str]) -> Ran {
    home.run(&[&["connect", client, "--url", URL][..], more].concat())
        .await
}

fn told(home: &Home, ran: &Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.replace(home.path("").to_str().unwrap(), "~/")
}

#[tokio::test]
async fn a_dry_run_shows_the_change_and_changes_nothing() {
    let home = Home::new();
    let cursor = home.write(
        ".cursor/mcp.json",
        "{\n  // mine\n  \"mcpServers\": {\n    \"other\": { \"url\": \"http://x\" }\n  }\n}\n",
    );
    let before = read(&cursor);
    insta::assert_snapshot!(
        "dry_run_cursor",
        told(&home, &connect(&home, "cursor", &["--dry-run"]).await)
    );
    insta::assert_snapshot!(
        "dry_run_vscode",
        told(&home, &connect(&home, "vscode", &["--dry-run"]).await)
    );
    insta::assert_snapshot!(
        "dry_run_codex",
        told(&home, &connect(&home, "codex", &["--dry-run"]).await)
    );
    insta::assert_snapshot!(
        "dry_run_claude_code",
        told(&home, &connect(&home, "claude-code", &["--dry-run"]).await)
    );
    assert_eq!(read(&cursor), before);
    assert!(!home.path(".codex").exists() && !home.path(".config").exists());
}

#[tokio::test]
async fn an_entry_is_added_once_and_the_old_file_is_kept() {
    let home = Home::new();
    let before = "{\n  \"mcpServers\": {\n    \"other\": { \"url\": \"http://x\" }\n  }\n}\n";
    let cursor = home.write(".cursor/mcp.json", before);
    told(&home, &connect(&home, "cursor", &[]).await);
    let after = read(&cursor);
    assert!(after.contains("\"other\": { \"url\": \"http://x\" },\n    \"todo\": {\n      \"url\": \"http://localhost:4180/mcp/todo\"\n    }"), "{after}");
    assert_eq!(
        read(&home.path(".cursor/mcp.json.before-portcullis")),
        before
    );
    let again = told(&home, &connect(&home, "cursor", &[]).await);
    assert!(again.contains("has it already"), "{again}");
    assert_eq!(read(&cursor), after);

    told(&home, &connect(&home, "codex", &["--name", "mine"]).await);
    assert_eq!(
        read(&home.path(".codex/config.toml")),
        format!("[mcp_servers.mine]\nurl = \"{URL}\"\n")
    );
}

#[tokio::test]
async fn a_file_that_is_not_understood_is_left_alone() {
    let home = Home::new();
    let cursor = home.write(".cursor/mcp.json", "{ \"mcpServers\": [");
    let ran = connect(&home, "cursor", &[]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("left as it is"), "{}", ran.stderr);
    assert_eq!(read(&cursor), "{ \"mcpServers\": [");
    assert!(!home.path(".cursor/mcp.json.before-portcullis").exists());
}

#[tokio::test]
async fn a_client_that_is_not_installed_is_named_with_its_command() {
    let home = Home::new();
    let empty = home.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let output = home
        .command(&["connect", "claude-code", "--url", URL])
        .env("PATH", &empty)
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("claude mcp add") && stderr.contains(URL),
        "{stderr}"
    );
}
