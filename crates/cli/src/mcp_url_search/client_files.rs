use serde_json::{Map, Value};

use super::{Found, jsonc};

/// The files in which MCP clients keep the servers of a project.
pub const NAMES: &[&str] = &[
    ".mcp.json",
    "mcp.json",
    ".cursor/mcp.json",
    ".vscode/mcp.json",
    ".vscode/settings.json",
    "claude_desktop_config.json",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".zed/settings.json",
    ".kiro/settings/mcp.json",
    ".roo/mcp.json",
    ".windsurf/mcp.json",
    "opencode.json",
    "opencode.jsonc",
];

/// What they call the member that holds the servers.
const SERVERS: [&str; 5] = [
    "mcpServers",
    "servers",
    "mcp_servers",
    "context_servers",
    "mcp",
];
/// What they call the address.
const ADDRESSES: [&str; 4] = ["url", "serverUrl", "httpUrl", "endpoint"];

/// Takes the address of each server that is not switched off.
pub fn read(text: &str, file: &str, found: &mut Found) {
    let document: Option<Value> = if file.ends_with(".toml") {
        toml::from_str(text).ok()
    } else {
        jsonc::read(text)
    };
    if let Some(Value::Object(document)) = document {
        below(&document, file, found, 0);
    }
}

fn below(object: &Map<String, Value>, file: &str, found: &mut Found, depth: usize) {
    for name in SERVERS {
        let Some(Value::Object(servers)) = object.get(name) else {
            continue;
        };
        for (server, settings) in servers {
            if let Some(address) = address(settings) {
                found.add(address, &format!("{file}, {server}"));
            }
        }
        if depth < 2 {
            below(servers, file, found, depth + 1);
        }
    }
}

fn address(settings: &Value) -> Option<&str> {
    let is = |name: &str, truth: bool| settings.get(name).and_then(Value::as_bool) == Some(truth);
    if is("disabled", true) || is("enabled", false) {
        return None;
    }
    let named = ADDRESSES
        .iter()
        .find_map(|name| settings.get(name).and_then(Value::as_str));
    named.or_else(|| behind_a_bridge(settings))
}

/// A stdio entry may be a bridge to an address, such as `npx mcp-remote URL`.
fn behind_a_bridge(settings: &Value) -> Option<&str> {
    let words = settings
        .get("args")
        .or(settings.get("command"))?
        .as_array()?;
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    words.iter().find(|word| word.starts_with("mcp-remote"))?;
    words.into_iter().find(|word| word.starts_with("http"))
}
