use url::Url;

use super::Found;

/// Hosts whose addresses end in `/mcp` without being MCP servers.
const READING_MATTER: [&str; 6] = [
    "github.com",
    "gitlab.com",
    "npmjs.com",
    "pypi.org",
    "crates.io",
    "modelcontextprotocol.io",
];
/// Where FastMCP listens unless it is told otherwise.
const FASTMCP_PORT: u16 = 8000;

/// Takes addresses that end in `/mcp`, and those that follow from a route and a port in the same file.
pub fn read(text: &str, file: &str, found: &mut Found) {
    for (at, _) in text.match_indices("http") {
        let address = literal(&text[at..]);
        if is_of_an_mcp_server(address) {
            found.add(address, file);
        }
    }
    if let Some(port) = served_port(text) {
        found.add(
            &format!("http://localhost:{port}/mcp"),
            &format!("{file}, its route and port"),
        );
    }
}

/// The address that `text` begins with, to where the literal ends.
fn literal(text: &str) -> &str {
    let is_end = |letter: char| {
        letter.is_whitespace() || matches!(letter, '"' | '\'' | '`' | ')' | ']' | ',' | ';' | '\\')
    };
    text.split(is_end).next().unwrap_or(text)
}

fn is_of_an_mcp_server(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let is_example = host.split('.').any(|label| label == "example");
    let is_page = READING_MATTER
        .iter()
        .any(|known| host == *known || host.ends_with(&format!(".{known}")));
    let is_named = url.path().trim_end_matches('/').ends_with("/mcp");
    is_named && !is_example && !is_page
}

/// The port at which this file serves `/mcp`, as far as its text gives it away.
fn served_port(text: &str) -> Option<u16> {
    let has_route = ["\"/mcp\"", "'/mcp'", "`/mcp`"]
        .iter()
        .any(|route| text.contains(route));
    let is_fastmcp = text.contains("FastMCP(")
        && [
            "\"http\"",
            "'http'",
            "\"streamable-http\"",
            "'streamable-http'",
        ]
        .iter()
        .any(|transport| text.contains(transport));
    if !has_route && !is_fastmcp {
        return None;
    }
    port(text).or(is_fastmcp.then_some(FASTMCP_PORT))
}

/// The first number that stands right behind the word for a port.
fn port(text: &str) -> Option<u16> {
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        for word in ["port", "listen(", "bind("] {
            let ports = lower
                .match_indices(word)
                .filter_map(|(at, _)| number(&lower[at + word.len()..]));
            if let Some(port) = ports.into_iter().next() {
                return Some(port);
            }
        }
    }
    None
}

/// A port number within the next few letters, of which none begins another thing.
fn number(text: &str) -> Option<u16> {
    const LETTERS_MAX: usize = 24;
    let near: String = text.chars().take(LETTERS_MAX).collect();
    let start = near.find(|letter: char| letter.is_ascii_digit())?;
    let between = &near[..start];
    if between.contains([';', '{']) {
        return None;
    }
    // `127.0.0.1:8000` has its port behind the last colon.
    let number = near[start..]
        .split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':')
        .next()?;
    let number = number.rsplit(':').next()?;
    number.parse().ok().filter(|port| *port >= 80)
}
