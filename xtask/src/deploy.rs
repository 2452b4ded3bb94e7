//! That what operators copy from `deploy/` is understood by the programs it is for.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::command;
use crate::project;
use crate::steps::Count;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(120);
/// The exposure that `systemd-analyze security` gives, from 0 to 10; below 2 is "OK".
const EXPOSURE_MAX: f64 = 2.0;
/// The Kubernetes whose schemas the manifests must fit.
const KUBERNETES: &str = "1.32.0";

/// Gives each file to its own program: alert rules, unit, compose file, manifests.
pub fn run(binary: &Path) -> anyhow::Result<Count> {
    tools::deployment()?;
    tools::python()?;
    let deploy = project::root().join("deploy");
    let folder = project::logs().join("deploy");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut passed = 0;

    let mut rules = Command::new("promtool");
    rules
        .args(["check", "rules"])
        .arg(deploy.join("alerts.yml"));
    command::run("promtool", &mut rules, LIMIT)?.check("promtool check rules")?;
    passed += 1;
    let mut alerts = Command::new("promtool");
    alerts
        .args(["test", "rules"])
        .arg(project::root().join("tests/deploy/alerts.yml"));
    command::run("promtool-test", &mut alerts, LIMIT)?.check("promtool test rules")?;
    passed += 1;

    systemd(binary, &deploy.join("portcullis.service"), &folder)?;
    passed += 1;

    let mut compose = Command::new("docker-compose");
    compose.arg("--file").arg(deploy.join("compose.yaml"));
    compose.args(["config", "--quiet"]);
    command::run("compose", &mut compose, LIMIT)?.check("docker-compose config")?;
    passed += 1;

    for file in ["namespace.yaml", "postgres.yaml", "portcullis.yaml"] {
        let mut validate = Command::new(project::python());
        validate.args(["-m", "kubernetes_validate", "--strict", "-k", KUBERNETES]);
        validate.arg(deploy.join("kubernetes").join(file));
        let outcome = command::run("kubernetes", &mut validate, LIMIT)?.check(file)?;
        if !outcome.output.contains("passed for resource") {
            bail!("{file}: nothing was looked at: {}", outcome.output);
        }
        passed += 1;
    }
    Ok(Count::passed(passed))
}

/// The unit with the program that is there, read by systemd itself, and how much of the machine it leaves open.
fn systemd(binary: &Path, unit: &Path, folder: &Path) -> anyhow::Result<()> {
    let binary = binary.to_str().context("a path in UTF-8")?;
    let text = std::fs::read_to_string(unit)?.replace("/usr/local/bin/portcullis", binary);
    let copy = folder.join("portcullis.service");
    std::fs::write(&copy, text)?;
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(&copy);
    let outcome = command::run("systemd-verify", &mut verify, LIMIT)?.check("systemd-analyze")?;
    if let Some(line) = outcome
        .output
        .lines()
        .find(|line| line.contains("portcullis.service"))
    {
        bail!("systemd about the unit: {line}");
    }
    let mut security = Command::new("systemd-analyze");
    security
        .args(["security", "--offline=true", "--no-pager"])
        .arg(&copy);
    let outcome = command::run("systemd-security", &mut security, LIMIT)?;
    let exposure: f64 = outcome
        .output
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .and_then(|line| {
            line.split_whitespace()
                .find_map(|word| word.parse::<f64>().ok())
        })
        .with_context(|| format!("no exposure in {}", outcome.log.display()))?;
    println!("    systemd: exposure {exposure} of 10 (at most {EXPOSURE_MAX})");
    if exposure > EXPOSURE_MAX {
        bail!("the unit leaves more open than it should: {exposure}");
    }
    Ok(())
}
