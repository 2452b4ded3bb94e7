//! One `serve` process that a test may stop, kill, halt and start again on the same address.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(60);

/// A node, running or not. Killed when dropped.
pub struct Node {
    config: PathBuf,
    log: PathBuf,
    /// `host:port` where it listens, in each of its lives.
    pub door: String,
    child: Option<Child>,
}

impl Node {
    /// A node that has not been started. What it logs is appended to `log`.
    pub fn new(config: PathBuf, log: PathBuf, door: String) -> Self {
        Self {
            config,
            log,
            door,
            child: None,
        }
    }

    /// Starts `program` and waits until it serves.
    ///
    /// # Errors
    /// When it ends instead, with what it logged.
    pub async fn start(&mut self, program: &Path) -> anyhow::Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut child = Command::new(program)
            .args(["serve", "--ready-json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let line = tokio::time::timeout(LIMIT, BufReader::new(stdout).lines().next_line()).await;
        match line {
            Ok(Ok(Some(_))) => {}
            _ => bail!("{} does not serve: {}", program.display(), self.log()),
        }
        self.child = Some(child);
        Ok(())
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Ends it with SIGTERM; it must end in good order.
    ///
    /// # Errors
    /// When it does not, with what it logged.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal("-TERM").await?;
        let mut child = self.child.take().context("it runs")?;
        let status = tokio::time::timeout(LIMIT, child.wait())
            .await
            .context("it does not stop when asked")??;
        if !status.success() {
            bail!("SIGTERM ended it with {status}: {}", self.log());
        }
        Ok(())
    }

    /// Ends it at once with SIGKILL.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        if let Some(status) = child.try_wait()? {
            bail!("it had ended by itself with {status}: {}", self.log());
        }
        child.kill().await?;
        Ok(())
    }

    /// Sends it a signal, such as `-STOP`.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self
            .id()
            .with_context(|| format!("it has ended by itself: {}", self.log()))?;
        super::send_signal(id, signal).await
    }

    /// The last lines of what it logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
