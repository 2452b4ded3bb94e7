use super::Found;

/// The files of variables.
pub const NAMES: &[&str] = &[".env", ".env.local", ".env.development"];

/// Takes the variables that hold the address of an MCP server: those whose name or path says so.
pub fn read(text: &str, file: &str, found: &mut Found) {
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let (name, value) = (name.trim(), unquoted(value.trim()));
        let is_about_mcp = name.to_ascii_uppercase().contains("MCP")
            || value.trim_end_matches('/').ends_with("/mcp");
        if is_about_mcp && value.starts_with("http") {
            found.add(value, &format!("{file}, {name}"));
        }
    }
}

/// Without quotes, and without the comment that may follow.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or(rest);
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}
