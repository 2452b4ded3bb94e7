//! Servers that others wrote, as `portcullis doctor` sees them: exactly what `docs/doctor-field-notes.md` says, which was checked by
//! hand there.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use stack_tests::binary;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::driver::{program, tests};

/// Starting one takes a few seconds, on a busy machine more.
const READY_LIMIT: Duration = Duration::from_secs(60);
const DOCTOR_LIMIT: Duration = Duration::from_secs(120);
/// What scenes share and are not themselves.
const SHARED: [&str; 3] = ["authority.mjs", "scene.mjs", "scene.py"];

/// A server that runs until this is dropped.
struct Scene {
    url: String,
    // When its standard input is closed, it ends what it started as well.
    _program: Child,
    // Some programs end when nobody reads what they print.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Scene {
    async fn start(script: &str) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut scene = Command::new(program(script))
            .arg(tests().join("interop/field").join(script))
            .arg(port.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{script}: cargo xtask test installs what runs it"))?;
        let stdout = scene.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_LIMIT, lines.next_line())
            .await
            .with_context(|| format!("{script} is not ready after {READY_LIMIT:?}"))??;
        let url = line
            .as_deref()
            .and_then(|line| line.strip_prefix("ready "))
            .with_context(|| format!("{script} said {line:?}"))?
            .to_owned();
        Ok(Self {
            url,
            _program: scene,
            _output: lines,
        })
    }
}

/// Examines the scene `script` and holds what is found against the page.
pub async fn examine(script: &str) -> anyhow::Result<()> {
    let noted = notes()?
        .into_iter()
        .find(|notes| notes.script == script)
        .with_context(|| format!("the page has no part about {script}"))?;
    let scene = Scene::start(script).await?;
    let doctor = Command::new(binary())
        .args(["doctor", &scene.url, "--json"])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DOCTOR_LIMIT, doctor)
        .await
        .context("the doctor does not come to an end")??;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let findings = report["findings"].as_array().context("findings")?;
    let mut found = BTreeSet::new();
    for finding in findings {
        let words = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        ensure!(
            found.insert(Note {
                id: words("id"),
                severity: words("severity")
            }),
            "found twice: {finding}"
        );
        let evidence = finding["evidence"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        ensure!(evidence && !words("change").is_empty(), "{finding}");
    }
    let only_found: Vec<_> = found.difference(&noted.findings).collect();
    let only_noted: Vec<_> = noted.findings.difference(&found).collect();
    ensure!(
        only_found.is_empty() && only_noted.is_empty(),
        "{script}: found but not in the notes: {only_found:?}; in the notes but not found: {only_noted:?}\n{report:#}"
    );
    println!("figure: {}: {} findings", noted.title, found.len());
    Ok(())
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    id: String,
    severity: String,
}

/// A part of the page: its heading, with the script in backticks, and the rows that begin with the id of a flaw.
struct Notes {
    title: String,
    script: String,
    findings: BTreeSet<Note>,
}

fn notes() -> anyhow::Result<Vec<Notes>> {
    let page = std::fs::read_to_string(tests().join("../docs/doctor-field-notes.md"))?;
    Ok(page.split("\n## ").skip(1).filter_map(part).collect())
}

/// A part whose heading names a script; the others are for people.
fn part(text: &str) -> Option<Notes> {
    let (heading, rest) = text.split_once('\n')?;
    let mut words = heading.split('`');
    let (title, script) = (words.next()?, words.next()?);
    Some(Notes {
        title: title.trim_end_matches([' ', ':']).to_owned(),
        script: script.to_owned(),
        findings: rest.lines().filter_map(note).collect(),
    })
}

/// ``| `id` | severity | how it was seen by hand |``
fn note(row: &str) -> Option<Note> {
    let mut cells = row.strip_prefix("| `")?.split('|');
    let id = cells.next()?.trim().strip_suffix('`')?.to_owned();
    let severity = cells.next()?.trim().to_owned();
    Some(Note { id, severity })
}

#[test]
fn every_scene_is_in_the_field_notes_with_the_version_that_is_pinned() -> anyhow::Result<()> {
    let notes = notes()?;
    let written: BTreeSet<_> = notes.iter().map(|notes| notes.script.clone()).collect();
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(tests().join("interop/field"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !SHARED.contains(&name.as_str()) && !name.starts_with("__") {
            there.insert(name);
        }
    }
    ensure!(written == there, "{written:?} are written, {there:?} there");
    let pinned = std::fs::read_to_string(tests().join("package.json"))?
        + &std::fs::read_to_string(tests().join("interop/requirements.txt"))?;
    for notes in notes {
        let version = notes
            .title
            .rsplit(' ')
            .next()
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .with_context(|| format!("{} names no version", notes.title))?;
        ensure!(
            pinned.contains(&format!("\"{version}\"")) || pinned.contains(&format!("=={version}")),
            "nothing is pinned to {version}"
        );
    }
    Ok(())
}
