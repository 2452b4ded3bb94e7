//! `portcullis token explain`: what a token says, offline.

mod args;
mod page;

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use base::{Clock as _, SystemClock};
use doctor::explain::{Against, Outcome, explain};
use jiff::tz::TimeZone;
use wire::oauth::JwkSet;

pub use args::TokenExplainArguments;

use crate::failure::usage;
use crate::terminal::Terminal;

/// What is read of a token, and of a key set, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Explains one token. Says whether nothing was wrong with it.
///
/// # Errors
/// When a file cannot be read, or there is no token.
pub fn run(asked: &TokenExplainArguments, out: &Terminal) -> anyhow::Result<bool> {
    let against = Against {
        resource: asked.resource.clone(),
        issuer: asked.issuer.clone(),
        jwks: asked.jwks.as_deref().map(key_set).transpose()?,
        now: SystemClock.now(),
        zone: TimeZone::system(),
    };
    let explanation = explain(&token(asked)?, &against);
    if asked.json {
        out.line(serde_json::to_string_pretty(&explanation).expect("plain fields serialise"));
    } else {
        page::print(&explanation, out);
    }
    Ok(explanation.verdict.outcome != Outcome::Bad)
}

fn token(asked: &TokenExplainArguments) -> anyhow::Result<String> {
    if let Some(file) = &asked.file {
        return read("--file", file);
    }
    match asked.pasted.as_deref() {
        Some("-") => from_stdin(),
        Some(token) => Ok(token.to_owned()),
        None if std::io::stdin().is_terminal() => ask(),
        None => from_stdin(),
    }
}

fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .context("standard input is not text")?;
    Ok(text)
}

/// What a person pastes is not shown: somebody may look over their shoulder, and terminals keep what they showed.
fn ask() -> anyhow::Result<String> {
    let term = console::Term::stderr();
    term.write_str("Paste the token (it is not shown) and press Enter: ")?;
    let token = term.read_secure_line()?;
    if token.trim().is_empty() {
        return Err(usage("no token was given"));
    }
    Ok(token)
}

fn key_set(file: &Path) -> anyhow::Result<JwkSet> {
    let text = read("--jwks", file)?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "--jwks {}: not a key set; save what the issuer's jwks_uri answers",
            file.display()
        )
    })
}

fn read(flag: &str, file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let handle =
        std::fs::File::open(file).with_context(|| format!("{flag} {shown} cannot be read"))?;
    let mut text = String::new();
    let read = handle
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{flag} {shown} cannot be read as text"))?;
    ensure!(
        read as u64 <= FILE_BYTES_MAX,
        "{flag} {shown} has more than {FILE_BYTES_MAX} bytes"
    );
    Ok(text)
}
