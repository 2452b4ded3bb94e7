//! Starts a program that drives somebody else's client, restarts the server when it asks, and judges its one line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::cell::{Cell, EMAIL, PASSWORD, Registration};

const LIMIT: Duration = Duration::from_secs(150);

/// Somebody else's client.
#[derive(Clone, Copy)]
pub struct Driver {
    name: &'static str,
    script: &'static str,
    version: &'static str,
    redirect: &'static str,
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
    Wish {
        want: String,
    },
    Result {
        client: String,
        version: String,
        #[serde(default)]
        steps: Vec<String>,
        #[serde(default)]
        tools: Vec<String>,
        error: Option<String>,
    },
}

/// One client through its whole life.
pub async fn live(driver: Driver, registration: Registration) -> anyhow::Result<()> {
    let cell = Cell::begin(driver.name, registration, &[driver.redirect]).await?;
    tokio::time::timeout(LIMIT, drive(driver, registration, cell))
        .await
        .with_context(|| format!("{} took longer than {LIMIT:?}", driver.name))?
}

async fn drive(driver: Driver, registration: Registration, cell: Cell) -> anyhow::Result<()> {
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
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let mut lines =
        BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
    let mut cell = cell;
    let mut before = String::new();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line) {
            Ok(Line::Wish { want }) => {
                ensure!(want == "restart", "{want}");
                before = cell.up.printed();
                cell = cell.restart().await?;
                stdin.write_all(b"restarted\n").await?;
            }
            Ok(Line::Result {
                client,
                version,
                steps,
                tools,
                error,
            }) => {
                if let Some(error) = error {
                    bail!("{client}: {error}");
                }
                ensure!(client == driver.name);
                ensure!(version == driver.version, "it is {version}");
                judge(driver, registration, &steps, &tools)?;
                ensure!(cell.document_was_fetched() == (registration == Registration::Document));
                ensure!(
                    before
                        .lines()
                        .any(|line| line.contains(&client) && line.contains("approved")),
                    "the terminal does not show the handshake: {before}"
                );
                println!(
                    "figure: {client} {version}, {}: {}",
                    registration.words(),
                    steps.join(", ")
                );
                return Ok(());
            }
            Err(_) => {}
        }
    }
    bail!(
        "{} ended with {:?} and no result",
        driver.name,
        child.wait().await?
    )
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

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn program(script: &str) -> PathBuf {
    if Path::new(script).extension().is_some_and(|end| end == "py") {
        tests().join("../.tools/python/bin/python")
    } else {
        tests().join("node_modules/.bin/node")
    }
}
