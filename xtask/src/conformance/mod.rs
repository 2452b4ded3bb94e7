//! The published conformance suite: its authorization scenarios against our authority, and its server scenarios of both
//! eras against one MCP server each, directly and through the gateway, with identical results.

mod verdicts;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::{self, Background};
use crate::person;
use crate::project;
use crate::stack::{Stack, free_port};
use crate::steps::Count;
use crate::tools;
use verdicts::{Verdicts, read};

const LIMIT: Duration = Duration::from_secs(300);
const START_LIMIT: Duration = Duration::from_secs(60);

/// A revision of MCP, with the server that the suite judges there.
struct Revision {
    name: &'static str,
    reference: &'static str,
    /// Fewer verdicts than this mean that scenarios were skipped.
    verdicts_min: usize,
}

const REVISIONS: [Revision; 2] = [
    Revision {
        name: "2025-11-25",
        reference: "conformance/reference_server.mjs",
        verdicts_min: 84,
    },
    Revision {
        name: "2026-07-28",
        reference: "conformance/reference_server_2026_07_28.mjs",
        verdicts_min: 155,
    },
];

/// Checks of the authorization scenarios that we know we do not pass, and why. One that starts passing fails the run,
/// so that this list only shrinks.
const KNOWN: &[(&str, &str)] = &[];

/// Runs both.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::javascript()?;
    let mut count = authorization(binary)?;
    for revision in &REVISIONS {
        count += server(binary, revision)?;
    }
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

fn server(binary: &Path, revision: &Revision) -> anyhow::Result<Count> {
    let named = |what: &str| format!("conformance-{what}-{}", revision.name);
    let mut reference = node(revision.reference);
    reference.arg("0");
    let reference = Background::start(&named("reference"), &mut reference, START_LIMIT)?;
    let upstream = mcp_url(&reference.first_line)?;
    let direct = judge("direct", revision, &upstream)?;
    ensure!(
        direct.len() >= revision.verdicts_min,
        "the suite has only {} verdicts on the server of {}",
        direct.len(),
        revision.name
    );

    // `up` enforces: each tool and prompt is called under the policy that it made from what the server lists.
    let stack = Stack::start(binary, &named("gateway"), &[&upstream])?;
    stack.add_person()?;
    let mut shim = node("conformance/bearer_shim.mjs");
    shim.arg(&stack.ready.mcp_url).envs(person::environment());
    let shim = Background::start(&named("shim"), &mut shim, START_LIMIT)?;
    let through = judge("gateway", revision, &mcp_url(&shim.first_line)?)?;
    drop(shim);
    stack.stop()?;
    Ok(compare(revision, &direct, &through))
}

/// What the reference server does not pass says nothing about us, so long as the gateway changes nothing about it.
fn compare(revision: &Revision, direct: &Verdicts, through: &Verdicts) -> Count {
    let mut count = Count::default();
    let mut alike_but_failed = 0;
    let mut all: Vec<_> = direct.keys().chain(through.keys()).collect();
    all.sort();
    all.dedup();
    for key in all {
        let status = |verdicts: &Verdicts| verdicts.get(key).cloned().unwrap_or("absent".into());
        let (direct, through) = (status(direct), status(through));
        if direct == through {
            alike_but_failed += usize::from(direct == "FAILURE");
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
        "    {}: {} verdicts compared, directly and through the gateway; {alike_but_failed} are failures both ways",
        revision.name,
        direct.len()
    );
    count
}

/// Lets the suite judge one MCP server. Failed scenarios are results, not errors.
fn judge(way: &str, revision: &Revision, url: &str) -> anyhow::Result<Verdicts> {
    let name = format!("{way}-{}", revision.name);
    let folder = results(&name)?;
    let mut suite = node("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    suite
        .args([
            "server",
            "--url",
            url,
            "--requirements",
            revision.name,
            "-o",
        ])
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

fn mcp_url(line: &str) -> anyhow::Result<String> {
    let line: Value = serde_json::from_str(line)?;
    Ok(line["mcp_url"].as_str().context("mcp_url")?.to_owned())
}
