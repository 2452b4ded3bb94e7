//! `docs/errors.md` has every error that is sent, by the authority and at an MCP server: the texts are taken from the
//! source.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The constructors of `oauth::Error` whose text a client gets. The texts of `server_error` and
/// `temporarily_unavailable` are fixed, and stand in `error.rs`.
const CONSTRUCTORS: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "invalid_scope",
    "access_denied",
    "invalid_target",
    "invalid_redirect_uri",
    "invalid_client_metadata",
    "login_required",
    "consent_required",
];

/// Where a text is no literal: the file, how the expression begins, and where its texts come from, which are read too.
const PUT_TOGETHER: &[(&str, &str)] = &[
    // Texts of RedirectUriError and PkceError.
    ("oauth/src/authorize.rs", "error.to_string()"),
    ("oauth/src/grant/authorization_code.rs", "error.to_string()"),
    // Texts of AssertionRefusal.
    (
        "oauth/src/client_assertion.rs",
        "crate::parameters::printable(&refusal.to_string())",
    ),
    (
        "oauth/src/find_client.rs",
        "match settings.dynamic_registration",
    ),
    (
        "oauth/src/resource_indicator.rs",
        "self.difference(resource)",
    ),
    // Texts of BodyRefusal.
    ("server/src/", "refusal.description()"),
    // Pages of ours, where the reason stands in words of their own.
    ("oauth/src/waiting_clients.rs", "error.to_string()"),
    ("server/src/people/tokens.rs", "problem.clone()"),
    // Texts of TokenRefusal, of Presented and of HostRefusal.
    ("sdk/src/authenticate.rs", "refusal.description()"),
    ("sdk/src/authenticate.rs", "why"),
    ("sdk/src/protected_server.rs", "why"),
    // Constants of the same function, and texts of `rejected`.
    ("sdk/src/challenge.rs", "description"),
    ("sdk/src/read_call.rs", "description"),
    ("gateway/src/reply.rs", "&words"),
    // What an MCP server did wrong, in words of its own.
    ("gateway/src/reply.rs", "&error.words"),
];

/// Calls that refuse outside of `oauth::Error`: where they stand, how they begin, which argument is the code (or which
/// code it always is), and which argument is the text.
const REFUSALS: &[(&str, &str, Code, usize)] = &[
    ("sdk/src/", "Refusal::oauth(", Code::Argument(3), 4),
    ("sdk/src/", "Refusal::oauth_because(", Code::Argument(3), 4),
    ("sdk/src/", ".rejected(", Code::Always("invalid_request"), 1),
    (
        "sdk/src/authenticate.rs",
        "refused(",
        Code::Always("invalid_token"),
        1,
    ),
    (
        "gateway/src/route.rs",
        "Refusal::oauth(",
        Code::Argument(3),
        4,
    ),
    ("gateway/src/", "self.refusal_for(", Code::Argument(3), 4),
    ("server/src/", "problem(", Code::Argument(1), 2),
    ("server/src/admin/", "Problem::new(", Code::Argument(1), 2),
    ("server/src/admin/", "Self::new(", Code::Argument(1), 2),
];

/// Which code a refusal has.
enum Code {
    Argument(usize),
    Always(&'static str),
}

/// Files whose texts reach a client through another error: the file, and what stands in front of the text.
const SOURCES_OF_TEXT: &[(&str, &str)] = &[
    ("wire/src/oauth/redirect_uri.rs", "#[error("),
    ("wire/src/oauth/pkce.rs", "#[error("),
    ("authz/src/client_assertion.rs", "#[error("),
    ("oauth/src/registration_metadata.rs", "malformed("),
    ("oauth/src/registration_metadata/members.rs", "malformed("),
    ("oauth/src/client_id_metadata.rs", ".saying("),
    ("oauth/src/client_id_metadata/document.rs", "told("),
    ("oauth/src/client_id_metadata/url.rs", "Err("),
    ("oauth/src/client_id_metadata/url.rs", "ok_or("),
    ("oauth/src/client_id_metadata/key_set.rs", "Err("),
    ("oauth/src/error.rs", "ErrorCode::ServerError,"),
    ("oauth/src/error.rs", "ErrorCode::TemporarilyUnavailable,"),
    ("oauth/src/find_client.rs", "RegistrationMode::Off => {"),
    ("oauth/src/find_client.rs", "_ =>"),
    ("server/src/body.rs", "=>"),
    ("server/src/cookie_weight.rs", "heading:"),
    ("sdk/src/authenticate.rs", "Presented::Unusable("),
    ("sdk/src/asked_host.rs", "HostRefusal::Malformed("),
    ("sdk/src/authorize.rs", "let words ="),
    ("sdk/src/challenge.rs", "RefusalCause::NoToken,"),
    ("sdk/src/challenge.rs", "let description ="),
    ("authz/src/verify.rs", "=>"),
    ("gateway/src/reply.rs", "let words ="),
    ("gateway/src/reply.rs", "=>"),
];

#[test]
fn every_error_that_is_sent_stands_on_the_page_with_its_code() {
    let page = page();
    let found = sent();
    assert!(
        found.texts.len() > 100,
        "only {} texts were found",
        found.texts.len()
    );
    let missing: Vec<_> = found
        .texts
        .iter()
        .filter(|(_, text)| !page.contains(&format!("`{}`", shown(text))))
        .map(|(file, text)| format!("{file}: `{}`", shown(text)))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/errors.md lacks:\n{}",
        missing.join("\n")
    );
    assert!(
        found.unknown.is_empty(),
        "texts that cannot be followed:\n{}",
        found.unknown.join("\n")
    );
    for code in found.codes {
        assert!(
            page.contains(&format!("\n## `{code}`")),
            "docs/errors.md has no section for {code}"
        );
    }
    for code in found.other_codes {
        assert!(
            page.contains(&format!("\n| `{code}` | ")),
            "docs/errors.md has no row for {code}"
        );
    }
}

#[test]
fn the_page_has_no_text_that_nobody_sends() {
    let sent: BTreeSet<String> = sent()
        .texts
        .into_iter()
        .map(|(_, text)| shown(&text))
        .collect();
    let page = page();
    let stale: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("` |"))
        .map(|(text, _)| text)
        .filter(|text| !sent.contains(*text) && text.contains(' '))
        .collect();
    assert!(
        stale.is_empty(),
        "docs/errors.md still has:\n{}",
        stale.join("\n")
    );
}

struct Sent {
    texts: Vec<(String, String)>,
    unknown: Vec<String>,
    codes: BTreeSet<String>,
    /// Those of [`REFUSALS`], of which each has a row.
    other_codes: BTreeSet<String>,
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates")
}

fn page() -> String {
    std::fs::read_to_string(crates().join("../docs/errors.md")).unwrap()
}

fn sent() -> Sent {
    let mut sent = Sent {
        texts: Vec::new(),
        unknown: Vec::new(),
        codes: ["server_error", "temporarily_unavailable"]
            .map(str::to_owned)
            .into(),
        other_codes: BTreeSet::new(),
    };
    other_refusals(&mut sent);
    let mut files = Vec::new();
    for folder in ["oauth/src", "server/src"] {
        rust_files(&crates().join(folder), &mut files);
    }
    files.sort();
    for path in files {
        let file = path
            .strip_prefix(crates())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let source = without_tests(&std::fs::read_to_string(&path).unwrap());
        for constructor in CONSTRUCTORS {
            for prefix in ["Error", "Self"] {
                let call = format!("{prefix}::{constructor}(");
                for (at, _) in source.match_indices(&call) {
                    sent.codes.insert((*constructor).to_owned());
                    let argument = source[at + call.len()..].trim_start();
                    match literal(argument) {
                        Some(text) => sent.texts.push((file.clone(), text)),
                        None if is_put_together(&file, argument) => {}
                        None => sent.unknown.push(format!(
                            "{file}: {constructor}({}",
                            argument.chars().take(60).collect::<String>()
                        )),
                    }
                }
            }
        }
    }
    for (file, before) in SOURCES_OF_TEXT {
        let source = without_tests(&std::fs::read_to_string(crates().join(file)).unwrap());
        let mut found = false;
        for (at, _) in source.match_indices(before) {
            let mut rest = source[at + before.len()..].trim_start();
            // `malformed(name, "…")`: the text is the second argument.
            if *before == "malformed(" {
                rest = rest
                    .split_once(',')
                    .map_or("", |(_, rest)| rest.trim_start());
            }
            if let Some(text) = literal(rest) {
                found = true;
                sent.texts.push(((*file).to_owned(), text));
            }
        }
        assert!(found, "{file} has no text behind {before:?} any more");
    }
    // One-word and empty placeholders say nothing by themselves.
    sent.texts
        .retain(|(_, text)| shown(text).trim_matches(['…', ' ']).len() > 3);
    sent
}

/// What is refused by calls of [`REFUSALS`].
fn other_refusals(sent: &mut Sent) {
    let mut files = Vec::new();
    for folder in ["sdk/src", "gateway/src", "server/src"] {
        rust_files(&crates().join(folder), &mut files);
    }
    files.sort();
    for (place, begins, code, text) in REFUSALS {
        let mut count = 0;
        for path in &files {
            let file = path.strip_prefix(crates()).unwrap().to_str().unwrap();
            if !file.starts_with(place) {
                continue;
            }
            let source = without_tests(&std::fs::read_to_string(path).unwrap());
            for (at, _) in source.match_indices(begins) {
                // The function itself, and those whose names end alike.
                let before = source[..at].chars().next_back().unwrap_or(' ');
                let is_end_of_a_name =
                    !begins.starts_with('.') && (before.is_alphanumeric() || before == '_');
                if is_end_of_a_name || source[..at].ends_with("fn ") {
                    continue;
                }
                count += 1;
                let arguments = arguments(&source[at + begins.len()..]);
                let code = match code {
                    Code::Always(code) => Some((*code).to_owned()),
                    Code::Argument(index) => code_of(&arguments[*index]),
                };
                let argument = &arguments[*text];
                match (code, literal(argument)) {
                    (Some(code), Some(text)) => {
                        sent.other_codes.insert(code);
                        sent.texts.push((file.to_owned(), text));
                    }
                    (Some(code), None) if is_put_together(file, argument) => {
                        sent.other_codes.insert(code);
                    }
                    _ => sent.unknown.push(format!("{file}: {begins}{arguments:?}")),
                }
            }
        }
        assert!(
            count > 0,
            "nothing in {place} begins with {begins} any more"
        );
    }
}

/// `"code"`, or `ErrorCode::TheCode.as_str()`.
fn code_of(argument: &str) -> Option<String> {
    let Some(name) = argument.strip_prefix("ErrorCode::") else {
        return literal(argument);
    };
    let mut code = String::new();
    for letter in name.split('.').next()?.chars() {
        if letter.is_ascii_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(letter.to_ascii_lowercase());
    }
    Some(code)
}

/// The arguments of a call, from behind its parenthesis to its end.
fn arguments(source: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for character in source.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(character);
    }
    let trimmed = arguments.iter().map(|argument| argument.trim().to_owned());
    trimmed.collect()
}

fn is_put_together(file: &str, argument: &str) -> bool {
    PUT_TOGETHER
        .iter()
        .any(|(known, begins)| file.starts_with(known) && argument.starts_with(begins))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            files.push(path);
        }
    }
}

fn without_tests(source: &str) -> String {
    source
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap()
        .to_owned()
}

/// The string literal that an argument begins with, or the pattern of its `format!`.
fn literal(argument: &str) -> Option<String> {
    let argument = argument.strip_prefix('&').unwrap_or(argument);
    let argument = argument
        .strip_prefix("format!(")
        .map_or(argument, str::trim_start)
        .strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = argument.chars().peekable();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                '\n' => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// As the page writes it: what differs from time to time is `…`, and nothing ends the code span.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut depth = 0;
    for character in text.chars() {
        match character {
            '{' => {
                depth += 1;
                shown.push('…');
            }
            '}' => depth -= 1,
            '`' => shown.push('\''),
            '|' => shown.push('/'),
            other if depth == 0 => shown.push(other),
            _ => {}
        }
    }
    shown
}

/// So that the tests above can fail.
#[test]
fn texts_are_read_out_of_source() {
    assert_eq!(literal("\"a \\\n   b\")").as_deref(), Some("a b"));
    assert_eq!(
        literal("format!(\n  \"x {y} z\", 1)").as_deref(),
        Some("x {y} z")
    );
    assert_eq!(literal("words)"), None);
    assert_eq!(shown("x {y:?} `z`"), "x … 'z'");
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {}"), "a\n");
    assert_eq!(
        arguments("a, &b(c, d), \"e, \\\" f)\", g) h, i"),
        ["a", "&b(c, d)", "\"e, \\\" f)\"", "g"]
    );
    assert_eq!(
        code_of("ErrorCode::InvalidToken.as_str()").as_deref(),
        Some("invalid_token")
    );
    assert_eq!(code_of("\"not_found\"").as_deref(), Some("not_found"));
    assert_eq!(code_of("error"), None);
}
