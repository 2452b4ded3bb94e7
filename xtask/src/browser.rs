//! A person in Chromium, the ways in which clients open a browser, and hostile texts on every page.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cargo;
use crate::command;
use crate::project;
use crate::stack::Stack;
use crate::steps::Count;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(300);
/// Thousands of pages are shown.
const PAYLOADS_LIMIT: Duration = Duration::from_secs(1200);

/// Signs in and consents in four variants, opens the browser as clients and attackers do, and shows it every page with
/// hostile texts; the screenshots go to `target/screenshots`.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::javascript()?;
    let chromium = tools::chromium()?;

    let stack = Stack::start(binary, "browser", &[])?;
    let screenshots = project::target().join("screenshots");
    let mut person = driver("person_in_chromium.mjs", &chromium);
    person.arg(&screenshots).env("READY", stack.ready_line());
    let mut passed = drive("browser-driver", person, LIMIT)?;
    stack.stop()?;
    println!("    screenshots in {}", screenshots.display());

    let stack = Stack::start(binary, "browser-clients", &[])?;
    let mut clients = driver("clients_in_chromium.mjs", &chromium);
    clients
        .env("READY", stack.ready_line())
        .env("PORTCULLIS", stack.binary())
        .env("DATA", stack.data());
    passed += drive("browser-clients-driver", clients, LIMIT)?;
    stack.stop()?;

    let pages = project::logs().join("payloads");
    // Of the whole workspace, as the tests: of one package alone, cargo would build much of what it stands on anew.
    let example = ["build", "--workspace", "--example", "payloads"];
    cargo::check("browser-payloads", &example)?;
    let mut write = Command::new(project::target().join("debug/examples/payloads"));
    write.arg(&pages);
    command::run("browser-payloads-pages", &mut write, LIMIT)?.check("the example payloads")?;
    let mut payloads = driver("payloads_in_chromium.mjs", &chromium);
    payloads.arg(&pages);
    passed += drive("browser-payloads-driver", payloads, PAYLOADS_LIMIT)?;
    Ok(Count::passed(passed))
}

fn driver(script: &str, chromium: &Path) -> Command {
    let mut driver = Command::new(project::node());
    driver
        .arg(project::root().join("tests/browser").join(script))
        .env("CHROMIUM", chromium);
    driver
}

fn drive(name: &str, mut driver: Command, limit: Duration) -> anyhow::Result<u64> {
    let outcome = command::run(name, &mut driver, limit)?;
    let line: Value = outcome
        .output
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_default();
    if !outcome.succeeded() {
        outcome.check("the browser test")?;
        bail!("the browser test failed");
    }
    line["passed"].as_u64().context("no result line")
}
