//! A person in Chromium.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::command;
use crate::project;
use crate::stack::Stack;
use crate::steps::Count;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(300);

/// Signs in and consents in four variants; the screenshots go to `target/screenshots`.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::javascript()?;
    let chromium = tools::chromium()?;
    let stack = Stack::start(binary, "browser", &[])?;
    let screenshots = project::target().join("screenshots");
    let mut driver = Command::new(project::node());
    driver
        .arg(project::root().join("tests/browser/person_in_chromium.mjs"))
        .arg(&screenshots)
        .env("READY", stack.ready_line())
        .env("CHROMIUM", chromium);
    let outcome = command::run("browser-driver", &mut driver, LIMIT)?;
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
    stack.stop()?;
    println!("    screenshots in {}", screenshots.display());
    Ok(Count::passed(
        line["passed"].as_u64().context("no result line")?,
    ))
}
