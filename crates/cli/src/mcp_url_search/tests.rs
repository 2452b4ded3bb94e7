#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use super::*;
use crate::terminal::Terminal;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    /// Each address with its places.
    fn search(&self) -> Vec<String> {
        search(self.0.path())
            .candidates
            .into_iter()
            .map(|one| format!("{} [{}]", one.url, one.places.join("; ")))
            .collect()
    }
}

#[test]
fn each_file_in_which_clients_keep_servers_is_read() {
    let one = r#"{"mcpServers":{"todo":{"url":"https://a.test/mcp"}}}"#;
    for (file, text) in [
        (
            ".env",
            "# x\nexport MCP_SERVER_URL=\"https://a.test/mcp\" # here\n",
        ),
        (".env", "PUBLIC=https://a.test/mcp\n"),
        ("mcp.json", one),
        (".mcp.json", one),
        (".cursor/mcp.json", one),
        ("claude_desktop_config.json", one),
        (
            ".vscode/mcp.json",
            "{\n // the one\n \"servers\": {\"todo\": {\"type\": \"http\", \"url\": \"https://a.test/mcp\",},}, /* end */\n}",
        ),
        (
            ".vscode/settings.json",
            r#"{"mcp":{"servers":{"todo":{"url":"https://a.test/mcp"}}}}"#,
        ),
        (
            ".codex/config.toml",
            "[mcp_servers.todo]\nurl = \"https://a.test/mcp\"\n",
        ),
        (
            ".gemini/settings.json",
            r#"{"mcpServers":{"todo":{"httpUrl":"https://a.test/mcp"}}}"#,
        ),
        (
            "opencode.json",
            r#"{"mcp":{"todo":{"type":"remote","url":"https://a.test/mcp"}}}"#,
        ),
        (
            ".cursor/mcp.json",
            r#"{"mcpServers":{"todo":{"command":"npx","args":["-y","mcp-remote@0.15","https://a.test/mcp"]}}}"#,
        ),
    ] {
        let found = Folder::with(&[(file, text)]).search();
        assert_eq!(found.len(), 1, "{file}: {found:?}");
        assert!(
            found[0].starts_with(&format!("https://a.test/mcp [{file}, ")),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_switched_off_not_filled_in_or_no_mcp_server_is_left_out() {
    let folder = Folder::with(&[
        (
            "mcp.json",
            r#"{"mcpServers":{
                "off":{"url":"https://off.test/mcp","disabled":true},
                "later":{"url":"https://${HOST}/mcp"},
                "stdio":{"command":"npx","args":["some-server","https://a.test/api"]},
                "odd":{"url":"file:///mcp"},
                "kept":{"url":"https://kept.test/v1"}}}"#,
        ),
        (
            ".env",
            "DATABASE_URL=https://db.test/x\n#MCP_URL=https://old.test/mcp\nMCP_TOKEN=secret\nMCP_URL=\n",
        ),
    ]);
    assert_eq!(folder.search(), ["https://kept.test/v1 [mcp.json, kept]"]);
}

#[test]
fn broken_files_say_nothing_and_stop_nothing() {
    let folder = Folder::with(&[
        ("mcp.json", "{\"mcpServers\": {"),
        (".cursor/mcp.json", "[1,2"),
        (".codex/config.toml", "= ="),
        (".vscode/mcp.json", "\"unended \\"),
        (".mcp.json", "/* {"),
        (
            ".gemini/settings.json",
            r#"{"mcpServers":{"a":{"url":"https://a.test/mcp"}}}"#,
        ),
    ]);
    assert_eq!(
        folder.search(),
        ["https://a.test/mcp [.gemini/settings.json, a]"]
    );
    let deep = format!("{}{}", "{\"mcp\":".repeat(50_000), "1");
    assert!(Folder::with(&[("mcp.json", &deep)]).search().is_empty());
}

#[test]
fn code_is_looked_at_only_when_the_files_for_it_say_nothing() {
    let code = (
        "src/server.ts",
        "app.post('/mcp', handle);\napp.listen(3000);\n",
    );
    let folder = Folder::with(&[code]);
    assert_eq!(
        folder.search(),
        ["http://localhost:3000/mcp [src/server.ts, its route and port]"]
    );
    let folder = Folder::with(&[code, (".env", "MCP_URL=https://a.test/mcp")]);
    assert_eq!(folder.search(), ["https://a.test/mcp [.env, MCP_URL]"]);
}

#[test]
fn an_address_in_code_counts_when_it_is_of_an_mcp_server() {
    for (text, url) in [
        (
            "const url = \"https://mcp.acme.dev/mcp\";",
            Some("https://mcp.acme.dev/mcp"),
        ),
        (
            "fetch(`http://localhost:8787/mcp/`)",
            Some("http://localhost:8787/mcp/"),
        ),
        (
            "mcp = FastMCP(\"x\")\nmcp.run(transport=\"http\")",
            Some("http://localhost:8000/mcp"),
        ),
        (
            "mcp = FastMCP(\"x\")\nmcp.run(transport=\"http\", port=9001)",
            Some("http://localhost:9001/mcp"),
        ),
        (
            "const PORT = process.env.PORT || 4321;\napp.use(\"/mcp\", r)",
            Some("http://localhost:4321/mcp"),
        ),
        (
            "route(\"/mcp\");\nTcpListener::bind(\"127.0.0.1:8765\")",
            Some("http://localhost:8765/mcp"),
        ),
        ("mcp = FastMCP(\"x\")\nmcp.run()", None),
        ("see https://github.com/acme/mcp", None),
        ("https://mcp.example.com/mcp", None),
        ("https://docs.acme.dev/mcp/intro", None),
        ("`https://${host}/mcp`", None),
        ("app.post('/mcp', handle);", None),
        ("import { port } from 'x';\nlisten(3000)", None),
    ] {
        let found = search(Folder::with(&[("main.ts", text)]).0.path()).candidates;
        let urls: Vec<&str> = found.iter().map(|one| one.url.as_str()).collect();
        assert_eq!(urls, url.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn the_walk_skips_what_others_wrote_and_follows_no_link() {
    let text = "const a = 'https://a.test/mcp'";
    let folder = Folder::with(&[
        ("node_modules/x/a.js", text),
        ("target/a.rs", text),
        (".git/a.js", text),
        ("tests/a.js", text),
        ("notes.md", text),
        ("deep/er/b.js", "const b = 'https://b.test/mcp'"),
        ("elsewhere.txt", text),
    ]);
    std::os::unix::fs::symlink(folder.0.path(), folder.0.path().join("deep/circle")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere.txt", folder.0.path().join("deep/er/a.js"))
        .unwrap();
    assert_eq!(folder.search(), ["https://b.test/mcp [deep/er/b.js]"]);
}

#[test]
fn a_folder_without_end_costs_a_bounded_look_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2_000 {
        std::fs::write(folder.path().join(format!("{number:04}.js")), "").unwrap();
    }
    assert_eq!(search(folder.path()), Found::default());
    std::fs::write(folder.path().join("z.js"), "'https://a.test/mcp'").unwrap();
    let found = search(folder.path());
    assert!(found.candidates.is_empty());
    assert!(found.stopped.unwrap().contains("2,000"), "{found:?}");
    let large = tempfile::tempdir().unwrap();
    let text = format!("'https://a.test/mcp'{}", " ".repeat(1024 * 1024));
    std::fs::write(large.path().join("a.js"), &text).unwrap();
    assert!(search(large.path()).candidates.is_empty());
    std::fs::write(large.path().join("a.js"), &text[..1024 * 1024]).unwrap();
    assert_eq!(search(large.path()).candidates.len(), 1);
}

fn two() -> Found {
    search(
        Folder::with(&[(
            "mcp.json",
            r#"{"mcpServers":{"a":{"url":"https://a.test/mcp?key=secret"},"b\u001b[2J":{"url":"https://b.test/mcp"}}}"#,
        )])
        .0
        .path(),
    )
}

#[test]
fn one_is_taken_and_said_and_none_is_nothing() {
    let out = Terminal::memory();
    let found = search(
        Folder::with(&[(".env", "MCP_URL=https://a.test/mcp?key=secret")])
            .0
            .path(),
    );
    let chosen = choose(&found, None, &out).unwrap();
    assert_eq!(
        chosen,
        Choice::One("https://a.test/mcp?key=secret".parse().unwrap())
    );
    assert!(
        out.kept().contains("https://a.test/mcp?… (.env, MCP_URL)"),
        "{}",
        out.kept()
    );
    assert!(!out.kept().contains("secret"), "{}", out.kept());
    assert_eq!(
        choose(&Found::default(), None, &out).unwrap(),
        Choice::Nothing
    );
}

#[test]
fn several_are_asked_about_or_listed() {
    let out = Terminal::memory();
    let mut answer = Cursor::new("2\n");
    let chosen = choose(&two(), Some(&mut answer), &out).unwrap();
    assert_eq!(chosen, Choice::One("https://b.test/mcp".parse().unwrap()));
    for answer in ["", "0\n", "3\n", "b\n"] {
        assert!(
            choose(&two(), Some(&mut Cursor::new(answer)), &out).is_err(),
            "{answer:?}"
        );
    }
    let refused = choose(&two(), None, &out).unwrap_err().to_string();
    assert!(
        refused.contains("https://a.test/mcp?…") && refused.contains("https://b.test/mcp"),
        "{refused}"
    );
    assert!(
        !refused.contains("secret") && !refused.contains('\u{1b}'),
        "{refused}"
    );
    assert!(!out.kept().contains('\u{1b}'), "{}", out.kept());
}
