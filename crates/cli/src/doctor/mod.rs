//! `portcullis doctor`: what is wrong with an MCP server, from outside.

mod arguments;
mod plan;
mod says;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use doctor::verdict;

pub use arguments::DoctorArguments;

use crate::failure::usage;
use crate::mcp_url_search::{Choice, choose, search};
use crate::terminal::Terminal;

/// Examines, prints, writes the files that were asked for. The exit code is the verdict.
///
/// # Errors
/// When the command line makes no plan, or a file cannot be read or written.
pub async fn run(asked: DoctorArguments, out: &Terminal) -> anyhow::Result<ExitCode> {
    let progress = Terminal::stderr();
    if let Some(shown) = &asked.says {
        out.write(&says::explain(shown));
        if asked.url.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let url = match &asked.url {
        Some(url) => url.clone(),
        None => found_in_folder(&progress)?,
    };
    let plan = plan::plan(&asked, url, &progress)?;
    for line in plan::announcements(&plan) {
        progress.line(line);
    }
    let report = doctor::examine(plan).await.map_err(usage)?;
    if asked.json {
        out.line(verdict::json(&report));
    } else {
        let look = verdict::Look {
            width: out.width,
            colour: out.paint.colour,
        };
        out.write(&verdict::page(&report, look));
    }
    if let Some(file) = &asked.junit {
        write(file, "--junit", &verdict::junit(&report))?;
    }
    if let Some(file) = &asked.bundle {
        write(file, "--bundle", &verdict::bundle(&report))?;
        progress.line(format!(
            "{} holds the report with every request and answer. Tokens, codes, secrets and cookies were taken out; look through it \
             before you publish it.",
            file.display()
        ));
    }
    Ok(ExitCode::from(report.exit_code()))
}

fn found_in_folder(progress: &Terminal) -> anyhow::Result<String> {
    let folder = std::env::current_dir().context("the current folder cannot be read")?;
    let found = search(&folder);
    let stdin = std::io::stdin();
    let chosen = if stdin.is_terminal() {
        choose(&found, Some(&mut stdin.lock()), progress)?
    } else {
        choose(&found, None, progress)?
    };
    match chosen {
        Choice::One(url) => Ok(url.into()),
        Choice::Nothing => Err(usage(
            "no URL was given, and no file of this folder names an MCP server; say which one: portcullis doctor URL",
        )),
    }
}

fn write(file: &Path, flag: &str, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text)
        .with_context(|| format!("{flag} {} cannot be written", file.display()))
}
