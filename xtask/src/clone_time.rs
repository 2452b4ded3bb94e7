//! What a newcomer waits for: a clone, the release build, the start, and the first authorized call.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cargo;
use crate::command;
use crate::project;
use crate::stack::Stack;
use crate::tools;

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What we promise, on two cores.
const GOAL: Duration = Duration::from_secs(6 * 60);

/// Prints the times. Only the clients' own installation is not counted: a newcomer has a client.
pub fn run() -> anyhow::Result<()> {
    tools::javascript()?;
    let folder = project::target().join("clone");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let begun = Instant::now();
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--no-local"]);
    clone.arg(project::root()).arg(&folder);
    command::run("clone", &mut clone, BUILD_LIMIT)?.check("git clone")?;
    let cloned = begun.elapsed();

    let mut build = cargo::cargo();
    build
        .args(["build", "--release", "--locked"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    build.args(["--package", "portcullis-cli"]);
    command::run("clone-build", &mut build, BUILD_LIMIT)?.check("cargo build --release")?;
    let built = begun.elapsed();

    let stack = Stack::start(&folder.join("target/release/portcullis"), "clone-up", &[])?;
    stack.add_person()?;
    let mut client = Command::new(project::node());
    client
        .arg(project::root().join("tests/interop/typescript_v1.mjs"))
        .env("MCP_URL", &stack.ready.mcp_url)
        .env("FIRST_CALL", "1")
        .envs(crate::person::environment());
    command::run("clone-call", &mut client, Duration::from_secs(60))?
        .check("the first call")
        .context("with the binary of the clone")?;
    let called = begun.elapsed();
    stack.stop()?;
    std::fs::remove_dir_all(&folder)?;

    println!(
        "    clone {:.1} s, release build {:.1} s, start to the first authorized calls {:.1} s",
        cloned.as_secs_f64(),
        (built - cloned).as_secs_f64(),
        (called - built).as_secs_f64()
    );
    println!(
        "    clone to first authorized call: {:.1} s (goal: {} s){}",
        called.as_secs_f64(),
        GOAL.as_secs(),
        if called > GOAL { " MISSED" } else { "" }
    );
    Ok(())
}
