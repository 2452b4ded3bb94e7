//! One `serve` process that a test may stop, kill, halt and start again on the same address.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(60);

/// What a node answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Sign-in and tokens, and the feeds of gateways.
    Authority,
    /// Calls alone, without the database.
    Gateway,
}

impl Role {
    /// Whether it signs people in and gives tokens.
    pub fn is_authority(self) -> bool {
        self != Self::Gateway
    }

    /// Whether it takes calls.
    pub fn is_gateway(self) -> bool {
        self != Self::Authority
    }
}

/// A node, running or not. Killed when dropped.
pub struct Node {
    /// What it answers for.
    pub role: Role,
    config: PathBuf,
    log: PathBuf,
    /// `host:port` where it listens, in each of its lives.
    pub door: String,
    /// `host:port` where it tells its metrics.
    pub operations: String,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Node {
    /// A node that has not been started. What it logs is appended to `log`.
    pub fn new(
        role: Role,
        config: PathBuf,
        log: PathBuf,
        door: String,
        operations: String,
    ) -> Self {
        Self {
            role,
            config,
            log,
            door,
            operations,
            environment: Vec::new(),
            child: None,
        }
    }

    /// Gives its later lives a variable of the environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// With these variables, in each of its lives.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
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
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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

    /// Waits until it has logged these words, in any of its lives.
    ///
    /// # Errors
    /// When it does not for long, with what it logged.
    pub async fn wait_for_log(&self, words: &str) -> anyhow::Result<()> {
        self.wait_for_log_behind(0, words).await
    }

    /// The same, of what it has logged behind a [length](Self::log_length).
    ///
    /// # Errors
    /// When it does not for long, with what it logged.
    pub async fn wait_for_log_behind(&self, length: usize, words: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if log.get(length..).is_some_and(|log| log.contains(words)) {
                return Ok(());
            }
            if begun.elapsed() > LIMIT {
                bail!("{words:?} is not in {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How long what it has logged so far is, in bytes.
    pub fn log_length(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.len()
    }

    /// The last lines of what it logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
