//! The binary under test: `portcullis up` on a data directory of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::cargo;
use crate::command::{self, Background};
use crate::person;
use crate::project;

/// What `up --ready-json` says.
#[derive(Deserialize)]
pub struct Ready {
    /// The resource that clients are given.
    pub mcp_url: String,
    /// The issuer of that MCP server.
    pub issuer: String,
}

/// A running authority and gateway.
pub struct Stack {
    binary: PathBuf,
    data: PathBuf,
    process: Background,
    /// Where everything is.
    pub ready: Ready,
}

/// Builds the binary, unless `PORTCULLIS_BIN` names one, and says where it is.
pub fn build(release: bool) -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("PORTCULLIS_BIN") {
        println!("    checking {}", named.display());
        return Ok(PathBuf::from(named));
    }
    build_as("portcullis", release, &[])
}

/// Builds the binary that does not wait for the disk, for the checks that must notice. It also knows the migrations of
/// the release before only: one build serves both (docs/decisions/0009).
pub fn build_weakened(release: bool) -> anyhow::Result<PathBuf> {
    let features = [
        "--features",
        "portcullis-cli/weaken-durability,portcullis-cli/earlier-schema",
    ];
    let weakened = build_as("weakened", release, &features)?;
    // Where cargo leaves binaries, the real one is to be found.
    build(release)?;
    Ok(weakened)
}

/// Builds the release before from its own commit, with a target directory of its own: cargo tells our crates of two
/// checkouts apart by age alone, and would give the present ones.
pub fn build_earlier(commit: &str) -> anyhow::Result<PathBuf> {
    let sources = project::logs().join("earlier");
    if sources.exists() {
        std::fs::remove_dir_all(&sources)?;
    }
    std::fs::create_dir_all(&sources)?;
    let archive = sources.join("archive.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--output"])
        .arg(&archive)
        .arg(commit)
        .current_dir(project::root());
    let limit = Duration::from_secs(60);
    command::run("archive-earlier", &mut git, limit)?.check("git archive")?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&archive).current_dir(&sources);
    command::run("unpack-earlier", &mut tar, limit)?.check("tar")?;
    let manifest = sources.join("Cargo.toml").display().to_string();
    let target = project::logs().join(format!("earlier-{commit}"));
    let target_text = target.display().to_string();
    let arguments = ["--manifest-path", &manifest, "--target-dir", &target_text];
    let mut build = vec!["build", "--release", "--package", "portcullis-cli"];
    build.extend(arguments);
    cargo::check("build-earlier", &build)?;
    Ok(target.join("release/portcullis"))
}

/// Builds it and takes a copy, which no later build with other features replaces.
fn build_as(name: &str, release: bool, features: &[&str]) -> anyhow::Result<PathBuf> {
    let mut arguments = vec!["build", "--bin", "portcullis"];
    if release {
        arguments.extend(["--release", "--package", "portcullis-cli"]);
    } else {
        // An example makes cargo choose the dependencies' features as for tests, which have built them already.
        arguments.extend(["--workspace", "--example", "payloads"]);
    }
    arguments.extend(features);
    cargo::check(&format!("build-{name}"), &arguments)?;
    let profile = if release { "release" } else { "debug" };
    let folder = project::logs().join("bin").join(profile);
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join(name);
    // A running one cannot be written over, but it can be replaced.
    if copy.exists() {
        std::fs::remove_file(&copy)?;
    }
    std::fs::copy(project::target().join(profile).join("portcullis"), &copy)?;
    Ok(copy)
}

impl Stack {
    /// Starts `binary up TARGET` on a new data directory named `name`, on a free port.
    pub fn start(binary: &Path, name: &str, target: &[&str]) -> anyhow::Result<Self> {
        let data = project::logs().join(format!("{name}-data"));
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        let mut up = Command::new(binary);
        up.arg("up").args(target);
        up.args(["--no-open", "--ready-json", "--data-dir"])
            .arg(&data);
        up.arg("--port").arg(free_port()?.to_string());
        let process = Background::start(name, &mut up, Duration::from_secs(60))?;
        let ready = serde_json::from_str(&process.first_line)
            .with_context(|| format!("not a ready line: {}", process.first_line))?;
        Ok(Self {
            binary: binary.to_owned(),
            data,
            process,
            ready,
        })
    }

    /// The ready line as it was printed.
    pub fn ready_line(&self) -> &str {
        &self.process.first_line
    }

    /// The binary that runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Adds the person that every driver signs in as.
    pub fn add_person(&self) -> anyhow::Result<()> {
        let mut child = Command::new(&self.binary)
            .args([
                "users",
                "add",
                person::EMAIL,
                "--password-stdin",
                "--data-dir",
            ])
            .arg(&self.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        child
            .stdin
            .take()
            .context("standard input is piped")?
            .write_all(person::PASSWORD.as_bytes())?;
        match command::wait(&mut child, Duration::from_secs(30))? {
            Some(status) if status.success() => Ok(()),
            other => bail!("users add ended with {other:?}"),
        }
    }

    /// Registers a public client from the command line and gives its id.
    pub fn add_client(&self, redirect_uri: &str) -> anyhow::Result<String> {
        let mut add = Command::new(&self.binary);
        add.args(["clients", "add", "--name", "Conformance", "--redirect-uri"]);
        add.arg(redirect_uri).arg("--data-dir").arg(&self.data);
        let printed = command::run("clients-add", &mut add, Duration::from_secs(30))?
            .check("clients add")?
            .output;
        printed
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .find(|word| word.starts_with("cli_"))
            .map(str::to_owned)
            .with_context(|| format!("clients add printed no id: {printed}"))
    }

    /// Stops it as Ctrl-C does; it must end with 0. Gives what its terminal showed.
    pub fn stop(self) -> anyhow::Result<String> {
        let log = self.process.log.clone();
        let status = self.process.stop()?;
        if !status.success() {
            bail!("up ended with {status} when it was stopped");
        }
        Ok(String::from_utf8_lossy(&std::fs::read(log)?).into_owned())
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
