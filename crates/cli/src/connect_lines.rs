/// The line for each client: words that are never broken.
pub fn connect_lines(slug: &str, url: &str) -> Vec<(&'static str, Vec<String>)> {
    let words = |line: &[&str]| {
        line.iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    // The slug and the URL have no character that JSON or a shell would have to escape.
    vec![
        (
            "Claude Code",
            words(&["claude mcp add", "--transport http", slug, url]),
        ),
        (
            "VS Code",
            words(&[
                "code --add-mcp",
                &format!("'{{\"name\":\"{slug}\",\"type\":\"http\",\"url\":\"{url}\"}}'"),
            ]),
        ),
        (
            "Cursor",
            words(&[&format!(
                "{{\"mcpServers\":{{\"{slug}\":{{\"url\":\"{url}\"}}}}}}"
            )]),
        ),
        (
            "Codex",
            words(&["codex mcp add", slug, &format!("--url {url}")]),
        ),
        (
            "Inspector",
            words(&[
                "npx @modelcontextprotocol/inspector",
                "--transport http",
                &format!("--server-url {url}"),
            ]),
        ),
        ("curl", words(&["curl -i", url])),
        (
            "Terminal",
            words(&["portcullis tools", &format!("--url {url}")]),
        ),
    ]
}
