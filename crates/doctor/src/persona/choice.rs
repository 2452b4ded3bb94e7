use known_clients::KnownClient;

/// Names that people use and the ids that are meant.
const ALIASES: [(&str, &str); 12] = [
    ("claude.ai", "claude"),
    ("claude-desktop", "claude"),
    ("gemini", "gemini-cli"),
    ("inspector", "mcp-inspector"),
    ("vs-code", "vscode"),
    ("copilot", "vscode"),
    ("ts-sdk", "typescript-sdk-2"),
    ("typescript-sdk", "typescript-sdk-2"),
    ("python", "python-sdk"),
    ("go", "go-sdk"),
    ("csharp", "csharp-sdk"),
    ("c#", "csharp-sdk"),
];

/// The clients that `names`, separated by commas, stand for: ids of the list of known clients, or `all` for each whose
/// way is known.
///
/// # Errors
/// When a name is none, with those that are.
pub fn choose(names: &str) -> Result<Vec<&'static KnownClient>, String> {
    let mut chosen: Vec<&'static KnownClient> = Vec::new();
    for name in names
        .split(',')
        .map(|name| name.trim().to_lowercase())
        .filter(|name| !name.is_empty())
    {
        if name == "all" {
            for client in known_clients::all()
                .iter()
                .filter(|client| client.journey.is_some())
            {
                add(&mut chosen, client);
            }
            continue;
        }
        let alias = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map(|(_, id)| *id);
        let client = known_clients::find(alias.unwrap_or(&name)).ok_or_else(|| {
            let known: Vec<&str> = known_clients::all()
                .iter()
                .map(|client| client.id.as_str())
                .collect();
            format!(
                "no client is called {name:?}; known are all, {}",
                known.join(", ")
            )
        })?;
        add(&mut chosen, client);
    }
    Ok(chosen)
}

fn add(chosen: &mut Vec<&'static KnownClient>, client: &'static KnownClient) {
    if !chosen.iter().any(|known| known.id == client.id) {
        chosen.push(client);
    }
}
