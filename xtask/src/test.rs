//! `cargo xtask test`: everything CI checks.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::browser;
use crate::cargo;
use crate::clone_time;
use crate::conformance;
use crate::deploy;
use crate::evidence;
use crate::interop;
use crate::postgres::{self, Postgres};
use crate::stack;
use crate::steps::{Count, Steps};

/// One part of it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// rustfmt
    Format,
    /// Clippy over the whole workspace, warnings denied
    Clippy,
    /// The documentation, warnings denied
    Docs,
    /// Every crate's tests, on SQLite and on PostgreSQL
    Crates,
    /// The whole stack from outside: kills, crashes, races, logs
    Stack,
    /// Clients that others wrote
    Interop,
    /// The published conformance suite
    Conformance,
    /// A person in Chromium
    Browser,
    /// That the programs they are for understand the files in `deploy/`
    Deploy,
    /// That the written evidence is young enough and names checks that exist
    Evidence,
    /// The time from clone to the first authorized call
    Time,
}

/// Runs the named steps, or all of them; whether nothing failed.
pub fn run(only: &[Step]) -> anyhow::Result<bool> {
    let steps: &[Step] = if only.is_empty() {
        Step::value_variants()
    } else {
        only
    };
    println!("debug builds, small fixed counts (cargo xtask prove has the full ones):");
    for (name, count) in crate::prove::SMALL_COUNTS {
        println!("    {name} = {count}");
    }
    let mut report = Steps::default();
    let mut binary: Option<PathBuf> = None;
    for step in Step::value_variants() {
        if !steps.contains(step) {
            continue;
        }
        let name = step
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        report.run(&name, || {
            let needs_binary = matches!(
                step,
                Step::Stack
                    | Step::Interop
                    | Step::Conformance
                    | Step::Browser
                    | Step::Deploy
                    | Step::Time
            );
            if needs_binary && binary.is_none() {
                binary = Some(stack::build(false)?);
            }
            let binary = binary.clone().unwrap_or_default();
            match step {
                Step::Format => cargo::check("format", &["fmt", "--all", "--check"]),
                Step::Clippy => cargo::check(
                    "clippy",
                    &[
                        "clippy",
                        "--workspace",
                        "--all-targets",
                        "--keep-going",
                        "--",
                        "-D",
                        "warnings",
                    ],
                ),
                Step::Docs => docs(),
                Step::Crates => crates(),
                Step::Stack => crate::prove::whole_stack(&binary),
                Step::Interop => interop::run(&binary),
                Step::Conformance => conformance::run(&binary),
                Step::Browser => browser::run(&binary),
                Step::Deploy => deploy::run(&binary),
                Step::Evidence => evidence::check(),
                Step::Time => clone_time::run().map(|()| Count::ONE),
            }
        });
    }
    Ok(report.close())
}

fn docs() -> anyhow::Result<Count> {
    let mut doc = cargo::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let limit = std::time::Duration::from_secs(20 * 60);
    crate::command::run("docs", &mut doc, limit)?.check("cargo doc")?;
    Ok(Count::ONE)
}

/// The environment variable that tests read the place of pebble from.
const PEBBLE: &str = "PORTCULLIS_TEST_PEBBLE";

/// The tests that want a database run on both when there is a PostgreSQL; those of certificates want an ACME server.
fn crates() -> anyhow::Result<Count> {
    let pebble = crate::tools::pebble()?;
    crate::tools::javascript()?;
    crate::tools::python()?;
    let server = Postgres::start()?;
    let mut environment = vec![
        (postgres::URL.to_owned(), server.url()),
        (PEBBLE.to_owned(), pebble.display().to_string()),
        ("PORTCULLIS_IDENTITY_EXAMPLES".to_owned(), "1".to_owned()),
    ];
    environment.extend(crate::prove::small_counts());
    match crate::tools::parsers() {
        Ok(()) => environment.push(("PORTCULLIS_PARSERS".to_owned(), "5".to_owned())),
        // What is said to hold of five parsers is then shown of those that are here.
        Err(error) => println!("    WARNING: not all JSON parsers are compared: {error:#}"),
    }
    let (count, _) = cargo::test(
        "crates",
        &["--workspace", "--exclude", "stack-tests", "--no-fail-fast"],
        &environment,
    )?;
    Ok(count)
}
