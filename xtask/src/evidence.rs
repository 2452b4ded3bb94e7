//! The pages of `docs/evidence`: what the full counts found, when, and whether that still holds.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::project;
use crate::steps::Count;

/// A page may be this much older than the newest change of a crate it covers: two weeks are a release's preparation.
const DAYS_BEHIND_MAX: i64 = 14;

/// The proof that builds a second release: until its first page is there it is asked for, and afterwards held like the others.
const UNWRITTEN: &str = "archive";

/// What a page says.
pub struct Evidence {
    /// What was shown.
    pub title: &'static str,
    /// The crates whose change makes it old.
    pub covers: &'static [&'static str],
    /// File and function of each check.
    pub checks: Vec<String>,
    /// What was built.
    pub commit: String,
    /// Where the random choices started.
    pub seed: u64,
    /// Sentences with the figures.
    pub figures: Vec<String>,
}

/// The commit that is checked out, and whether the covered crates were changed since.
pub fn commit(covers: &[&str]) -> anyhow::Result<String> {
    let commit = git(&["rev-parse", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(covers);
    Ok(if git(&status)?.is_empty() {
        commit
    } else {
        format!("{commit}, with changes that were not committed")
    })
}

/// The newest commit whose subject matches `subject`.
pub fn find_commit(subject: &str) -> anyhow::Result<String> {
    let commit = git(&["log", "-1", "--format=%H", "--grep", subject])?;
    if commit.is_empty() {
        bail!("no commit matches {subject:?}; is this a shallow clone?");
    }
    Ok(commit)
}

/// Writes `docs/evidence/<name>.md`.
pub fn write(name: &str, evidence: &Evidence) -> anyhow::Result<()> {
    let mut page = format!("# {}\n\n", evidence.title);
    writeln!(
        page,
        "Written by `cargo xtask prove --only {name}`; do not edit.\n"
    )?;
    writeln!(page, "- date: {}", today())?;
    writeln!(page, "- commit: {}", evidence.commit)?;
    writeln!(page, "- seed: {}", evidence.seed)?;
    for covered in evidence.covers {
        writeln!(page, "- covers: {covered}")?;
    }
    for check in &evidence.checks {
        writeln!(page, "- check: {check}")?;
    }
    writeln!(page, "\n## Figures\n")?;
    for figure in &evidence.figures {
        writeln!(page, "- {figure}")?;
    }
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.md"));
    std::fs::write(&path, page)?;
    println!("    wrote {}", path.display());
    Ok(())
}

/// Fails for a page that is missing or too old, or names a check that is gone.
pub fn check() -> anyhow::Result<Count> {
    let mut count = Count::default();
    for proof in <crate::prove::Proof as clap::ValueEnum>::value_variants() {
        let value = clap::ValueEnum::to_possible_value(proof).context("every proof has a name")?;
        let name = value.get_name();
        match check_page(name) {
            Ok(()) => count.passed += 1,
            Err(error)
                if name == UNWRITTEN && !folder().join(format!("{UNWRITTEN}.md")).exists() =>
            {
                println!("    WARNING: docs/evidence/{name}.md: {error:#}");
            }
            Err(error) => {
                println!("    docs/evidence/{name}.md: {error:#}");
                count.failed += 1;
            }
        }
    }
    Ok(count)
}

fn check_page(name: &str) -> anyhow::Result<()> {
    let path = folder().join(format!("{name}.md"));
    let page = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot be read; write it with `cargo xtask prove --only {name}`")
    })?;
    check_text(name, &page)
}

/// What is wrong with the page, as it would stand there.
fn check_text(name: &str, page: &str) -> anyhow::Result<()> {
    let values = |key: &str| -> Vec<&str> {
        page.lines()
            .filter_map(|line| {
                line.strip_prefix("- ")?
                    .strip_prefix(key)?
                    .strip_prefix(": ")
            })
            .collect()
    };
    let date: jiff::civil::Date = values("date").first().context("no date")?.parse()?;
    if date > today() {
        bail!("is of {date}, which is yet to come");
    }
    let covers = values("covers");
    if covers.is_empty() {
        bail!("covers nothing, so it never gets old");
    }
    for covered in covers {
        let changed = git(&["log", "-1", "--format=%cs", "--", covered])?;
        if changed.is_empty() {
            bail!("covers {covered}, which does not exist");
        }
        if let Some(behind) = too_old(date, changed.parse()?) {
            bail!("is {behind} days older than {covered}; run `cargo xtask prove --only {name}`");
        }
    }
    let checks = values("check");
    if checks.is_empty() {
        bail!("names no check");
    }
    for check in checks {
        let (file, function) = check
            .split_once("::")
            .context("a check is FILE::FUNCTION")?;
        let source = std::fs::read_to_string(project::root().join(file)).unwrap_or_default();
        if !source.contains(&format!("fn {function}(")) {
            bail!("names {check}, which no longer exists");
        }
    }
    Ok(())
}

/// By how many days a page of `date` is behind a crate that was `changed` then, when that is too many.
fn too_old(date: jiff::civil::Date, changed: jiff::civil::Date) -> Option<i64> {
    // Of days alone: a span of months would have none left over.
    let span = date.until((jiff::Unit::Day, changed)).ok()?;
    Some(i64::from(span.get_days())).filter(|behind| *behind > DAYS_BEHIND_MAX)
}

fn folder() -> PathBuf {
    project::root().join("docs/evidence")
}

fn today() -> jiff::civil::Date {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let git = Command::new("git")
        .args(arguments)
        .current_dir(project::root())
        .output()
        .context("cannot start git")?;
    if !git.status.success() {
        bail!(
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&git.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&git.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_page_is_too_old_a_day_after_its_time_and_on_no_day_before() {
        let changed: jiff::civil::Date = "2026-12-01".parse().unwrap();
        for (days, old) in [
            (-1, None),
            (0, None),
            (DAYS_BEHIND_MAX, None),
            (DAYS_BEHIND_MAX + 1, Some(DAYS_BEHIND_MAX + 1)),
            // Months are no way round it.
            (61, Some(61)),
            (400, Some(400)),
        ] {
            let date = changed.checked_sub(jiff::Span::new().days(days)).unwrap();
            assert_eq!(too_old(date, changed), old, "{days} days");
        }
    }

    #[test]
    fn the_pages_that_are_there_are_young_enough_and_one_of_last_year_is_not() {
        let page = "- date: 2025-01-01\n- covers: crates/store\n- check: xtask/src/evidence.rs::check_page\n";
        let error = check_text("durability", page).unwrap_err();
        assert!(error.to_string().contains("days older"), "{error:#}");
        let today = page.replace("2025-01-01", &today().to_string());
        check_text("durability", &today).unwrap();
        let nothing = today.replace("- covers: crates/store\n", "");
        assert!(check_text("durability", &nothing).is_err());
        let gone = today.replace("check_page", "check_nothing");
        assert!(check_text("durability", &gone).is_err());
        let future = page.replace("2025", "2999");
        assert!(check_text("durability", &future).is_err());
    }
}
