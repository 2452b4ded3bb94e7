use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Runs a command beside `serve`, on the configuration `config`, with one line of input; gives what it printed.
///
/// # Errors
/// When it fails; with what it said.
pub async fn run_beside(
    program: &Path,
    config: &Path,
    arguments: &[&str],
    input: &str,
) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    stdin.write_all(format!("{input}\n").as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
