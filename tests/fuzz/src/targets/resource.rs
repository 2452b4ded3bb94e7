use crate::Target;
use crate::rules::{Cut, cut, host_and_port};

/// The resource of a server and one that is asked for, a line each.
pub const TARGET: Target = Target {
    name: "resource",
    run,
    words: &[
        "http://",
        "https://",
        "HTTP://",
        "localhost",
        "127.0.0.1",
        "[::1]",
        ":80",
        ":443",
        "/mcp/todo",
        "/",
        "//",
        "?",
        "#",
        "%2f",
        "/./",
        "/../",
        "@",
        "\\",
        "mcp.example.com",
        "\n",
    ],
    short_run: 40_000,
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Some((own, asked)) = text.split_once('\n') else {
        return;
    };
    let named = |own, asked| oauth::doors::resource_is_named_by(own, asked);
    assert!(named(own, own), "a resource is itself");
    let accepted = named(own, asked);
    assert_eq!(accepted, named(asked, own), "spellings are mutual");
    if accepted && own != asked {
        // A slash more is a spelling; then every spelling of that is one as well.
        assert_eq!(
            second_opinion(own),
            second_opinion(asked),
            "{own} and {asked}"
        );
        assert!(!asked.contains(['#', '\\', '@']) || asked.contains('/'));
        assert!(asked.len() <= 2048);
    }
}

/// Scheme, host, port, path without one slash at the end, and query: by cutting, except that a path with dot segments
/// is left to the URL standard, which both sides then share.
fn second_opinion(text: &str) -> Option<(String, String, Option<u16>, String)> {
    let plain = url::Url::parse(text).ok()?;
    let Cut {
        scheme, authority, ..
    } = cut(plain.as_str())?;
    assert!(!authority.contains('@'), "no user information in {text}");
    assert!(plain.fragment().is_none());
    let (host, port) = host_and_port(&authority)?;
    let host = match host.as_str() {
        "127.0.0.1" | "[::1]" => "localhost".to_owned(),
        _ => host,
    };
    let port = port.or(match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    });
    let path = plain.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    let rest = match plain.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Some((scheme, host, port, rest))
}
