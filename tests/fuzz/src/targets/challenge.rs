use wire::oauth::{Challenge, ErrorCode, ReadChallenge, ScopeSet, read_challenge};

use crate::Target;

/// A `WWW-Authenticate` line.
pub const TARGET: Target = Target {
    name: "challenge",
    run,
    words: &[
        "Bearer ",
        "bearer ",
        "Basic ",
        "resource_metadata=",
        "scope=",
        "error=",
        "error_description=",
        "\"",
        "\\\"",
        ", ",
        "=",
        "invalid_token",
        "insufficient_scope",
        "https://mcp.example.com/.well-known/x",
        "realm=\"x\"",
    ],
    short_run: 60_000,
};

fn run(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else {
        return;
    };
    // Any text as any value: nothing in a value may become a parameter or a second header.
    print_and_read(line, line, line);
    let Some(read) = read_challenge(line) else {
        assert!(!line.trim().to_ascii_lowercase().starts_with("bearer "));
        return;
    };
    assert!(line.trim_start()[..6].eq_ignore_ascii_case("bearer"));
    for value in values(&read) {
        assert!(value.len() <= line.len(), "nothing is made up");
    }
    print_and_read(
        read.resource_metadata.as_deref().unwrap_or_default(),
        read.scope.as_deref().unwrap_or_default(),
        read.error_description.as_deref().unwrap_or_default(),
    );
}

fn values(read: &ReadChallenge) -> impl Iterator<Item = &str> {
    [
        &read.resource_metadata,
        &read.scope,
        &read.error,
        &read.error_description,
    ]
    .into_iter()
    .filter_map(|value| value.as_deref())
}

/// What is printed is one line that reads back as what was meant, in this reader and in one of regular expressions.
fn print_and_read(resource_metadata: &str, scope: &str, description: &str) {
    let scope = ScopeSet::parse_lenient(scope);
    let challenge = Challenge {
        resource_metadata: resource_metadata.to_owned(),
        scope: scope.clone(),
        error: Some((ErrorCode::InvalidToken, description.to_owned())),
    };
    let header = challenge.to_header();
    let line = header.to_str().expect("printable ASCII");
    let read = read_challenge(line).expect("our own challenge");
    assert_eq!(read.error.as_deref(), Some("invalid_token"));
    let meant = |text: &str| -> String {
        text.chars()
            .map(|character| match character {
                '"' | '\\' => '\'',
                ' '..='~' => character,
                _ => '?',
            })
            .collect()
    };
    assert_eq!(read.error_description, Some(meant(description)));
    assert_eq!(read.resource_metadata, Some(meant(resource_metadata)));
    let scope = (!scope.is_empty()).then(|| scope.to_string());
    assert_eq!(read.scope, scope);
    // As the clients that cut at quotes read it.
    let cut: Vec<&str> = line.split('"').collect();
    let pairs = if read.scope.is_some() { 4 } else { 3 };
    assert_eq!(cut.len(), 2 * pairs + 1, "{line}");
    // Printed again, it is the same line.
    let again = Challenge {
        resource_metadata: read.resource_metadata.unwrap(),
        scope: ScopeSet::parse_lenient(read.scope.as_deref().unwrap_or_default()),
        error: Some((ErrorCode::InvalidToken, read.error_description.unwrap())),
    };
    assert_eq!(again.to_header(), header);
}
