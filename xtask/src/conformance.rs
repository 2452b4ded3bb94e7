//! The published conformance suite: its authorization scenarios against our authority, and its server scenarios against
//! one MCP server, directly and through the gateway, with identical results.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::command::{self, Background};
use crate::person;
use crate::project;
use crate::stack::{Stack, free_port};
use crate::steps::Count;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(300);
const START_LIMIT: Duration = Duration::from_secs(60);
const REVISION: &str = "2025-11-25";

/// Checks of the authorization scenarios that we know we do not pass, and why. One that starts passing fails the run,
/// so that this list only shrinks.
const KNOWN: &[(&str, &str)] = &[];

/// Scenario and check -> status.
type Verdicts = BTreeMap<(String, String), String>;

/// Runs both.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::javascript()?;
    let mut count = authorization(binary)?;
    count += server(binary)?;
    Ok(count)
}

fn authorization(binary: &Path) -> anyhow::Result<Count> {
    let stack = Stack::start(binary, "conformance-authorization", &[])?;
    stack.add_person()?;
    let port = free_port()?;
    let client = stack.add_client(&format!("http://127.0.0.1:{port}/callback"))?;
    let folder = results("authorization")?;
    let mut suite = node("conformance/authorization.mjs");
    suite
        .args([&stack.ready.issuer, &client, &stack.ready.mcp_url])
        .arg(port.to_string())
        .arg(&folder)
        .envs(person::environment());
    command::run("conformance-authorization", &mut suite, LIMIT)?
        .check("the authorization scenarios")?;
    stack.stop()?;

    let verdicts = read(&folder)?;
    let mut count = Count::default();
    for ((_, check), status) in &verdicts {
        let known = KNOWN.iter().find(|(name, _)| name == check);
        match (status.as_str(), known) {
            ("SUCCESS", None) => count.passed += 1,
            ("SUCCESS", Some(_)) => {
                println!("    {check} passes now: take it off the list of known ones");
                count.failed += 1;
            }
            (status, Some((_, reason))) => println!("    known: {check} is {status}: {reason}"),
            (status, None) => {
                println!("    {check} is {status}");
                count.failed += 1;
            }
        }
    }
    // Fewer than three means that a scenario was skipped.
    ensure!(
        verdicts.len() == 3,
        "the suite has {} verdicts on the authority, not 3",
        verdicts.len()
    );
    Ok(count)
}

fn server(binary: &Path) -> anyhow::Result<Count> {
    let mut reference = node("conformance/reference_server.mjs");
    reference.arg("0");
    let reference = Background::start("conformance-reference", &mut reference, START_LIMIT)?;
    let upstream = mcp_url(&reference.first_line)?;
    let direct = judge("direct", &upstream)?;
    ensure!(
        direct.len() > 60,
        "the suite has only {} verdicts on the server",
        direct.len()
    );

    let stack = Stack::start(binary, "conformance-gateway", &[&upstream])?;
    stack.add_person()?;
    let mut shim = node("conformance/bearer_shim.mjs");
    shim.arg(&stack.ready.mcp_url).envs(person::environment());
    let shim = Background::start("conformance-shim", &mut shim, START_LIMIT)?;
    let through = judge("gateway", &mcp_url(&shim.first_line)?)?;
    drop(shim);
    stack.stop()?;

    let mut count = Count::default();
    let mut all: Vec<_> = direct.keys().chain(through.keys()).collect();
    all.sort();
    all.dedup();
    for key in all {
        let status = |verdicts: &Verdicts| verdicts.get(key).cloned().unwrap_or("absent".into());
        let (direct, through) = (status(&direct), status(&through));
        if direct == through {
            // What the reference server itself does not pass says nothing about us, but is not hidden.
            if direct != "SUCCESS" {
                println!("    {} {}: {direct} both ways", key.0, key.1);
            }
            count.passed += 1;
        } else {
            println!(
                "    {} {}: {direct} directly, {through} through the gateway",
                key.0, key.1
            );
            count.failed += 1;
        }
    }
    println!(
        "    {} verdicts compared, directly and through the gateway",
        direct.len()
    );
    Ok(count)
}

/// Lets the suite judge one MCP server. Failed scenarios are results, not errors.
fn judge(name: &str, url: &str) -> anyhow::Result<Verdicts> {
    let folder = results(name)?;
    let mut suite = node("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    suite
        .args(["server", "--url", url, "--requirements", REVISION, "-o"])
        .arg(&folder);
    let outcome = command::run(&format!("conformance-{name}"), &mut suite, LIMIT)?;
    if outcome.status.is_none() {
        outcome.check("the server scenarios")?;
    }
    read(&folder)
}

fn node(script: &str) -> Command {
    let mut node = Command::new(project::node());
    node.arg(project::root().join("tests").join(script));
    node
}

fn results(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let folder = project::logs().join(format!("conformance-{name}-results"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Every `checks.json` under `folder`. A check that is made several times keeps its place in the order.
fn read(folder: &Path) -> anyhow::Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for scenario in std::fs::read_dir(folder)? {
        let scenario = scenario?;
        let name = scenario.file_name().to_string_lossy().into_owned();
        // The time at the end differs from run to run.
        let name = name
            .strip_suffix('Z')
            .and_then(|name| name.get(..name.len().checked_sub("-2026-11-20T21-28-58-889".len())?))
            .unwrap_or(&name)
            .to_owned();
        let path = scenario.path().join("checks.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} was not written", path.display()))?;
        let Value::Array(checks) = serde_json::from_str(&text)? else {
            bail!("{} is no list", path.display());
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for check in checks {
            let id = check["id"]
                .as_str()
                .context("a check without id")?
                .to_owned();
            let status = check["status"].as_str().context("a check without status")?;
            if status == "INFO" {
                continue; // a log line
            }
            let times = seen.entry(id.clone()).or_default();
            *times += 1;
            let id = if *times == 1 {
                id
            } else {
                format!("{id} #{times}")
            };
            verdicts.insert((name.clone(), id), status.to_owned());
        }
    }
    Ok(verdicts)
}

fn mcp_url(line: &str) -> anyhow::Result<String> {
    let line: Value = serde_json::from_str(line)?;
    Ok(line["mcp_url"].as_str().context("mcp_url")?.to_owned())
}
