//! Clients that others wrote, each through the whole handshake against the bundled todo server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde::Deserialize;

use crate::cargo;
use crate::command;
use crate::person;
use crate::project;
use crate::stack::Stack;
use crate::steps::Count;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(120);

/// What each of them must have done, in this order.
const STEPS: [&str; 9] = [
    "discovered",
    "registered",
    "signed in",
    "consented",
    "token",
    "tools/list",
    "tools/call",
    "refreshed",
    "call after refresh",
];

const TOOLS: [&str; 5] = [
    "add_todo",
    "complete_todo",
    "delete_todo",
    "get_todo",
    "list_todos",
];

/// The program, its script, and the version it must say it is.
const DRIVERS: [(&str, &str, &str); 4] = [
    ("node", "typescript_v1.mjs", "1.32.2"),
    ("node", "typescript_v2.mjs", "2.4.0"),
    ("python", "python_mcp.py", "2.3.0"),
    ("python", "fastmcp_client.py", "4.1.2"),
];

/// A driver's one line.
#[derive(Deserialize)]
struct Line {
    client: String,
    version: String,
    #[serde(default)]
    steps: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    error: Option<String>,
}

/// Runs them all.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::javascript()?;
    tools::python()?;
    let stack = Stack::start(binary, "interop", &[])?;
    stack.add_person()?;
    let mut count = Count::default();
    let mut clients = Vec::new();
    for driver in DRIVERS {
        match drive(&stack, driver) {
            Ok(client) => clients.push(client),
            Err(error) => {
                println!("    {}: {error:#}", driver.1);
                count.failed += 1;
            }
        }
    }
    let printed = stack.stop()?;
    for client in clients {
        if handshake_is_shown(&printed, &client) {
            count.passed += 1;
        } else {
            println!("    {client}: the terminal does not show its handshake");
            count.failed += 1;
        }
    }
    let environment = [(
        "PORTCULLIS_BIN".to_owned(),
        binary.to_string_lossy().into_owned(),
    )];
    let (rust, _) = cargo::test(
        "interop-rust",
        &["--package", "stack-tests", "--test", "rmcp_client"],
        &environment,
    )?;
    count += rust;
    Ok(count)
}

/// What the authority says happened, beside what the client says.
fn handshake_is_shown(printed: &str, client: &str) -> bool {
    let parts = ["metadata", "registered", "approved", "tools/list 5"];
    printed
        .lines()
        .filter_map(|line| line.split_once(client))
        .any(|(_, steps)| parts.iter().all(|part| steps.contains(part)))
}

/// Runs one and gives the name it registered as.
fn drive(stack: &Stack, (program, script, version): (&str, &str, &str)) -> anyhow::Result<String> {
    let mut driver = Command::new(match program {
        "node" => project::node(),
        _ => project::python(),
    });
    driver
        .arg(project::root().join("tests/interop").join(script))
        .env("MCP_URL", &stack.ready.mcp_url)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // What one of them stores for itself must not reach the next.
        .env("HOME", project::logs().join("interop-home"))
        .envs(person::environment());
    let outcome = command::run(&format!("interop-{script}"), &mut driver, LIMIT)?;
    let Some(line) = outcome
        .output
        .lines()
        .rev()
        .find(|line| line.starts_with("{\"client\""))
    else {
        outcome.check(script)?;
        bail!("printed no result");
    };
    let line: Line = serde_json::from_str(line)?;
    if let Some(error) = line.error {
        let _ = outcome.check(script);
        bail!("{error}");
    }
    ensure!(
        line.version == version,
        "is {}, not {version}",
        line.version
    );
    ensure!(line.steps == STEPS, "did only {:?}", line.steps);
    ensure!(line.tools == TOOLS, "was shown {:?}", line.tools);
    println!(
        "    {} {}: {}",
        line.client,
        line.version,
        line.steps.join(", ")
    );
    Ok(line.client)
}
