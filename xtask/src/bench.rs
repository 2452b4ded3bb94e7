//! `cargo xtask bench`: release builds of the binary and of the measuring program, then its table.

use std::process::Command;

use anyhow::bail;

use crate::cargo;
use crate::project;

/// Builds and measures; what it prints is what `docs/performance.md` quotes.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    for package in ["portcullis-cli", "bench"] {
        cargo::check(
            &format!("build-release-{package}"),
            &["build", "--release", "--package", package],
        )?;
    }
    let release = project::target().join("release");
    let mut bench = Command::new(release.join("bench"));
    bench
        .arg("run")
        .arg("--portcullis")
        .arg(release.join("portcullis"))
        .current_dir(project::root());
    if cfg!(target_os = "linux") {
        bench
            .arg("--slow-sync")
            .arg(crate::prove::shim("slow_sync")?);
    }
    let status = bench.args(arguments).status()?;
    if !status.success() {
        bail!("the measuring program ended with {status}");
    }
    Ok(())
}
