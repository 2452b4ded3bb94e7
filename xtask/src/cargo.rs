//! Cargo, and what its test runner counts.

use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use crate::command;
use crate::steps::Count;

/// A cold build on two cores takes minutes.
/// The longest proof loads for an hour.
const LIMIT: Duration = Duration::from_secs(100 * 60);

/// The cargo that runs us, with the same toolchain.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` sets for us is not for the packages we build.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command.env("CARGO_TERM_COLOR", "never");
    command
}

/// Runs cargo and wants it to succeed.
pub fn check(name: &str, arguments: &[&str]) -> anyhow::Result<Count> {
    command::run(name, cargo().args(arguments), LIMIT)?.check(&arguments.join(" "))?;
    Ok(Count::ONE)
}

/// Runs a `cargo test` and counts what its runner says; shows the failed and the ignored ones, and figures.
pub fn test(
    name: &str,
    arguments: &[&str],
    environment: &[(String, String)],
) -> anyhow::Result<(Count, String)> {
    let mut command = cargo();
    command.arg("test").args(arguments);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let outcome = command::run(name, &mut command, LIMIT)?;
    let mut count = Count::default();
    for line in outcome.output.lines() {
        if let Some(rest) = line.strip_prefix("test result:") {
            count.passed += figure(rest, "passed");
            count.failed += figure(rest, "failed");
        } else if let Some(at) = line.find("figure: ") {
            println!("    {}", &line[at..]);
        } else if line.starts_with("test ") && line.contains(" ... ignored") {
            println!("    not run here: {}", line.trim_start_matches("test "));
        } else if line.starts_with("test ") && line.ends_with(" ... FAILED") {
            println!("    failed: {line}");
        }
    }
    if !outcome.succeeded() && count.failed == 0 {
        outcome.check(&format!("cargo test {}", arguments.join(" ")))?;
        bail!("cargo test failed without a failed test");
    }
    if count.failed > 0 {
        println!("    see {}", outcome.log.display());
        show_failures(&outcome.output);
    }
    Ok((count, outcome.output))
}

/// The number before `word` in "ok. 5 passed; 0 failed; …".
fn figure(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';', '.']).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or(0)
}

fn show_failures(output: &str) {
    for part in output.split("\nfailures:\n").skip(1).step_by(2) {
        for line in part.lines().take(60) {
            println!("    | {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn the_closing_line_of_a_test_runner_is_counted() {
        let line = " FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(figure(line, "passed"), 12);
        assert_eq!(figure(line, "failed"), 3);
        assert_eq!(figure(line, "skipped"), 0);
    }
}
