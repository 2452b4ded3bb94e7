//! `cargo xtask fuzz`: the targets of `tests/fuzz` under libFuzzer, with coverage, for as long as is asked.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cargo;
use crate::command;
use crate::project;

/// What cargo-fuzz tells the compiler, without a sanitizer of memory: we have no unsafe code. All of it is stable.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
/// The longest input that is made.
const INPUT_BYTES_MAX: u32 = 4096;
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Runs the named target, or each of them, for `seconds`; whether none broke its promise.
pub fn run(target: Option<&str>, seconds: u64) -> anyhow::Result<bool> {
    let seeds = project::root().join("fuzz/seeds");
    let mut names: Vec<String> = std::fs::read_dir(&seeds)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    if let Some(target) = target {
        if !names.iter().any(|name| name == target) {
            bail!(
                "there is no target {target}; there are {}",
                names.join(", ")
            );
        }
        names.retain(|name| name == target);
    }
    let binary = build()?;
    let mut all_kept = true;
    for name in &names {
        all_kept &= fuzz(&binary, name, seconds)?;
    }
    Ok(all_kept)
}

fn build() -> anyhow::Result<PathBuf> {
    println!("==> building the targets with coverage counters");
    let triple = host()?;
    let folder = project::root().join("target/fuzz");
    let mut build = cargo::cargo();
    build.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a named target the flags are not for build scripts and procedural macros.
    build.args(["--target", &triple]);
    build.arg("--target-dir").arg(&folder);
    build.env("RUSTFLAGS", COVERAGE.join(" "));
    command::run("fuzz-build", &mut build, BUILD_LIMIT)?.check("cargo build of fuzz/")?;
    Ok(folder.join(triple).join("release/fuzz"))
}

/// What is found interesting is kept in `target/fuzz/corpus`; what breaks a promise in `target/fuzz/broken`.
fn fuzz(binary: &PathBuf, name: &str, seconds: u64) -> anyhow::Result<bool> {
    let folder = project::root().join("target/fuzz");
    let corpus = folder.join("corpus").join(name);
    let broken = folder.join("broken").join(name);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&broken)?;
    let mut fuzz = Command::new(binary);
    fuzz.env("PORTCULLIS_FUZZ_TARGET", name);
    fuzz.arg(format!("-max_total_time={seconds}"));
    fuzz.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    fuzz.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    fuzz.arg(format!("-artifact_prefix={}/", broken.display()));
    fuzz.arg(&corpus);
    fuzz.arg(project::root().join("fuzz/seeds").join(name));
    println!("==> {name} for {seconds} s");
    let limit = Duration::from_secs(seconds + 120);
    let outcome = command::run(&format!("fuzz-{name}"), &mut fuzz, limit)?;
    let last = |word: &str| {
        let mut lines = outcome.output.lines().rev();
        lines.find(|line| line.contains(word)).map(str::to_owned)
    };
    if outcome.succeeded() {
        let runs = last("number_of_executed_units").unwrap_or_default();
        let runs = runs.rsplit(' ').next().unwrap_or_default();
        let coverage = last(" cov: ").unwrap_or_default();
        let edges = coverage
            .split_whitespace()
            .skip_while(|word| *word != "cov:")
            .nth(1);
        println!("    ok      {runs} inputs, {} edges", edges.unwrap_or("?"));
        return Ok(true);
    }
    for line in outcome.output.lines().filter(|line| {
        line.contains("panicked at")
            || line.starts_with("Base64:")
            || line.contains("Test unit written")
    }) {
        println!("    | {line}");
    }
    println!("    BROKEN  see {}", outcome.log.display());
    Ok(false)
}

/// The machine we are on, in the compiler's words.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .args(["-vV"])
        .output()
        .context("rustc -vV")?;
    String::from_utf8(output.stdout)?
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not say for which machine it is")
}
