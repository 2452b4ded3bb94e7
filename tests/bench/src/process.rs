//! Child processes pinned to a core, and what they cost. Reads `/proc`, so it measures on Linux only.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A server under measurement. Ended when dropped.
pub struct Server {
    child: Child,
    /// The first line it printed.
    pub first_line: String,
    /// From the start of the process to its first line.
    pub started_in: Duration,
}

/// Processor time and memory of one process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
}

impl Server {
    /// Starts `program` on processor `core` and waits for its first line on standard output.
    pub async fn start(
        core: usize,
        program: &std::path::Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let begun = std::time::Instant::now();
        let mut child = Command::new("taskset")
            .arg("-c")
            .arg(core.to_string())
            .arg(program)
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if std::env::var_os("BENCH_VERBOSE").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {} on core {core}", program.display()))?;
        let mut lines =
            BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        let Some(first_line) = line else {
            bail!("{} {arguments:?} ended without a line", program.display())
        };
        // Keep the pipe open: a server that prints later must not meet a closed one.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            first_line,
            started_in: begun.elapsed(),
        })
    }

    /// Starts a `program` that says nothing on processor `core`, and waits until somebody listens at `address`.
    pub async fn start_quiet(
        core: usize,
        program: &str,
        arguments: &[String],
        address: &str,
    ) -> anyhow::Result<Self> {
        let begun = std::time::Instant::now();
        let child = Command::new("taskset")
            .arg("-c")
            .arg(core.to_string())
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {program} on core {core}"))?;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("{program} {arguments:?} does not listen at {address}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            child,
            first_line: address.to_owned(),
            started_in: begun.elapsed(),
        })
    }

    /// What it has cost so far.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.child.id().context("the server has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after_name = stat.rsplit_once(") ").context("a stat line")?.1;
        let fields: Vec<&str> = after_name.split(' ').collect();
        // Fields 14 and 15 of proc(5), counted from the one behind the name (3); the tick is 10 ms on Linux.
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("VmRSS")?
            .trim()
            .parse()?;
        Ok(Usage {
            cpu: Duration::from_millis(ticks * 10),
            resident_bytes: resident_kib * 1024,
        })
    }

    /// Asks it to end (SIGTERM) and waits.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").arg(pid.to_string()).status().await?;
        }
        let _ = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        Ok(())
    }
}
