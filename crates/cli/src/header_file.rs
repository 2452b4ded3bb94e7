//! The file of `Name: value` lines that an upstream with a key needs.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use http::{HeaderName, HeaderValue};

const FILE_BYTES_MAX: u64 = 64 * 1024;
const HEADERS_MAX: usize = 64;

/// Reads the file. Values become sensitive: nothing prints them.
///
/// # Errors
/// Names the file and the line.
pub fn read(path: &Path) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    read_for("--upstream-header-file", path)
}

/// As [`read`], of a file that `setting` names.
///
/// # Errors
/// Names the setting, the file and the line.
pub fn read_for(setting: &str, path: &Path) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("{setting} {shown} cannot be read"))?
        .len();
    ensure!(
        size <= FILE_BYTES_MAX,
        "{setting} {shown} has {size} bytes; at most {FILE_BYTES_MAX} are read"
    );
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{setting} {shown} cannot be read as text"))?;
    parse(&text).with_context(|| format!("{setting} {shown}"))
}

/// Reads the text: one `Name: value` on each line; empty lines and lines that begin with # are skipped.
fn parse(text: &str) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
    {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line may hold a key, so no message repeats more of it than the name.
        let Some((name, value)) = line.split_once(':') else {
            bail!("line {number}: no colon; write Name: value");
        };
        let name = HeaderName::try_from(name.trim()).map_err(|_| {
            anyhow::anyhow!("line {number}: what stands before the colon is no header name")
        })?;
        ensure!(
            !is_ours(&name),
            "line {number}: {name} is set by the gateway itself"
        );
        ensure!(
            headers.iter().all(|(known, _)| *known != name),
            "line {number}: {name} was given before"
        );
        let mut value = HeaderValue::try_from(value.trim()).map_err(|_| {
            anyhow::anyhow!("line {number}: the value of {name} has a control character")
        })?;
        ensure!(!value.is_empty(), "line {number}: {name} has no value");
        value.set_sensitive(true);
        ensure!(
            headers.len() < HEADERS_MAX,
            "line {number}: more than {HEADERS_MAX} headers"
        );
        headers.push((name, value));
    }
    ensure!(!headers.is_empty(), "there is no Name: value line in it");
    Ok(headers)
}

/// What describes the message or the connection, or belongs to MCP, or tells the upstream who calls.
fn is_ours(name: &HeaderName) -> bool {
    const OURS: &[&str] = &[
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "last-event-id",
        "origin",
        "portcullis-identity",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    OURS.contains(&name.as_str()) || name.as_str().starts_with("mcp-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_become_sensitive_headers_and_comments_are_skipped() {
        let headers = parse("# key\n\nAuthorization: Bearer a:b\r\nX-Api-Key:k\n").unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[0].1, "Bearer a:b");
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
    }

    #[test]
    fn a_broken_line_is_named_without_its_value() {
        let table = [
            ("secret", "line 1: no colon"),
            ("a: b\nse cret: x", "line 2: what stands before the colon"),
            ("Host: secret", "line 1: host is set by the gateway"),
            (
                "Mcp-Session-Id: secret",
                "mcp-session-id is set by the gateway",
            ),
            ("A: secret\na: secret", "line 2: a was given before"),
            ("A:", "line 1: a has no value"),
            ("A: sec\u{1}ret", "control character"),
            ("# nothing", "there is no Name: value line"),
        ];
        for (text, reason) in table {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_too_large_or_missing_is_named_and_a_small_one_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        let message = |path: &Path| crate::failure::message(&read(path).unwrap_err());
        assert!(message(&path).contains("headers cannot be read"));
        std::fs::write(&path, "A: b").unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        std::fs::write(&path, vec![b'#'; 70_000]).unwrap();
        assert!(message(&path).contains("70000 bytes"));
    }
}
