use std::io::Read as _;

use anyhow::{Context as _, ensure};
use base::Secret;

use crate::failure::usage;

const PASSWORD_BYTES_MAX: u64 = 4096;

/// The first line of standard input.
///
/// # Errors
/// When there is none, or it is too long.
pub(super) fn read() -> anyhow::Result<Secret<String>> {
    let mut text = String::new();
    std::io::stdin()
        .take(PASSWORD_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("--password-stdin: stdin is not text")?;
    let text = Secret::new(text);
    ensure!(
        text.expose().len() as u64 <= PASSWORD_BYTES_MAX,
        usage(format!(
            "--password-stdin: more than {PASSWORD_BYTES_MAX} bytes came"
        ))
    );
    let line = text.expose().lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(usage(
            "--password-stdin: the first line of stdin is empty; pipe the password into it",
        ));
    }
    Ok(Secret::new(line.to_owned()))
}
