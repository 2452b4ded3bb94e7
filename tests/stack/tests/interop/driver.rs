//! Starts a program that drives somebody else's client, restarts the server when it asks, and judges its one line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::cell::{Cell, EMAIL, PASSWORD, Registration};

const LIMIT: Duration = Duration::from_secs(150);

/// Somebody else's client.
#[derive(Clone, Copy)]
pub struct Driver {
    pub name: &'static str,
    script: &'static str,
    pub version: &'static str,
    pub redirect: &'static str,
    /// Whether it comes back for scope after a 403.
    steps_up: bool,
}

pub const TYPESCRIPT_V1: Driver = Driver {
    name: "TypeScript SDK v1",
    script: "typescript_v1.mjs",
    version: "1.32.2",
    redirect: "http://localhost:8976/callback",
    steps_up: false,
};

pub const TYPESCRIPT_V2: Driver = Driver {
    name: "TypeScript client v2",
    script: "typescript_v2.mjs",
    version: "2.4.0",
    redirect: "http://localhost:8976/callback",
    steps_up: true,
};

pub const PYTHON: Driver = Driver {
    name: "Python SDK",
    script: "python_mcp.py",
    version: "2.3.0",
    redirect: "http://127.0.0.1:8977/callback",
    steps_up: true,
};

pub const FASTMCP: Driver = Driver {
    name: "FastMCP client",
    script: "fastmcp_client.py",
    version: "4.1.2",
    // It listens on any free port.
    redirect: "http://localhost/callback",
    steps_up: true,
};

/// A line that a driver prints.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Wish { want: String },
    Result(Outcome),
}

/// One client through its whole life.
pub async fn live(driver: Driver, registration: Registration) -> anyhow::Result<()> {
    let cell = Cell::begin(driver.name, registration, &[driver.redirect]).await?;
    tokio::time::timeout(LIMIT, drive(driver, registration, cell))
        .await
        .with_context(|| format!("{} took longer than {LIMIT:?}", driver.name))?
}

async fn drive(driver: Driver, registration: Registration, mut cell: Cell) -> anyhow::Result<()> {
    let mut running = Running::start(driver, &cell, &[]).await?;
    let mut before = String::new();
    let result = loop {
        match running.next().await? {
            Said::Wish(want) => {
                ensure!(want == "restart", "{want}");
                before = cell.up.printed();
                cell = cell.restart().await?;
                running.done().await?;
            }
            Said::Result(result) => break result,
        }
    };
    judge(driver, registration, &result.steps, &result.tools)?;
    ensure!(cell.document_was_fetched() == (registration == Registration::Document));
    ensure!(
        before
            .lines()
            .any(|line| line.contains(driver.name) && line.contains("approved")),
        "the terminal does not show the handshake: {before}"
    );
    println!(
        "figure: {} {}, {}: {}",
        driver.name,
        driver.version,
        registration.words(),
        result.steps.join(", ")
    );
    Ok(())
}

/// What a driver did.
#[derive(Deserialize)]
pub struct Outcome {
    client: String,
    version: String,
    #[serde(default)]
    pub steps: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    error: Option<String>,
}

/// What a driver says.
pub enum Said {
    Wish(String),
    Result(Outcome),
}

/// A driver at work. Killed when dropped.
pub struct Running {
    driver: Driver,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _home: tempfile::TempDir,
}

impl Running {
    /// Starts it as the client that `cell` expects.
    pub async fn start(
        driver: Driver,
        cell: &Cell,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let mut command = Command::new(program(driver.script));
        command
            .arg(tests().join("interop").join(driver.script))
            .env("MCP_URL", &cell.up.ready.mcp_url)
            .env("PERSON_EMAIL", EMAIL)
            .env("PERSON_PASSWORD", PASSWORD)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // What one of them stores for itself must not reach the next.
            .env("HOME", home.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        for (name, value) in [
            ("CLIENT_ID", &cell.identity.id),
            ("CLIENT_SECRET", &cell.identity.secret),
            ("CLIENT_METADATA_URL", &cell.identity.metadata_url),
        ] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", driver.script))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        Ok(Self {
            driver,
            stdin: child.stdin.take().context("standard input is piped")?,
            lines: BufReader::new(stdout).lines(),
            child,
            _home: home,
        })
    }

    /// What it says next; an error when it says that it failed.
    pub async fn next(&mut self) -> anyhow::Result<Said> {
        while let Some(line) = self.lines.next_line().await? {
            match serde_json::from_str(&line) {
                Ok(Line::Wish { want }) => return Ok(Said::Wish(want)),
                Ok(Line::Result(result)) => {
                    if let Some(error) = &result.error {
                        bail!("{}: {error}", result.client);
                    }
                    ensure!(result.client == self.driver.name);
                    ensure!(
                        result.version == self.driver.version,
                        "it is {}",
                        result.version
                    );
                    return Ok(Said::Result(result));
                }
                // What a library prints for people.
                Err(_) => {}
            }
        }
        let status = self.child.wait().await?;
        bail!("{} ended with {status} and no result", self.driver.name)
    }

    /// Tells it that its wish was granted.
    pub async fn done(&mut self) -> anyhow::Result<()> {
        Ok(self.stdin.write_all(b"done\n").await?)
    }
}

/// What each of them must have done, in this order, and with which tools in sight.
fn judge(
    driver: Driver,
    registration: Registration,
    steps: &[String],
    tools: &[String],
) -> anyhow::Result<()> {
    let identity = match registration {
        Registration::Dynamic => "registered",
        Registration::Document => "document",
        Registration::Configured | Registration::ConfiguredWithSecret => "configured",
    };
    let widened: &[&str] = if driver.steps_up {
        &["stepped up"]
    } else {
        &["refused to step up", "signed in anew"]
    };
    let expected: Vec<&str> = [
        &["discovered", identity, "signed in", "consented", "token"][..],
        &["tools/list", "tools/call"],
        widened,
        &["refreshed after a restart", "revoked", "refused"],
    ]
    .concat();
    ensure!(steps == expected, "did only {steps:?}");
    for tool in ["add_todo", "complete_todo", "get_todo", "list_todos"] {
        ensure!(tools.iter().any(|name| name == tool), "was shown {tools:?}");
    }
    Ok(())
}

pub fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What runs `script`.
pub fn program(script: &str) -> PathBuf {
    if Path::new(script).extension().is_some_and(|end| end == "py") {
        tests().join("../.tools/python/bin/python")
    } else {
        tests().join("node_modules/.bin/node")
    }
}
