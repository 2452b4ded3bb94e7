//! What the checks need besides Rust. Installed into ignored folders of the project; system packages only as root on
//! Debian. Otherwise what is missing is named, and the step fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::command;
use crate::project;

const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);

/// The JavaScript clients, the conformance suite, the browser's driver and a Node.js of their own.
pub fn javascript() -> anyhow::Result<()> {
    program("npm", &["nodejs", "npm"])?;
    let tests = project::root().join("tests");
    let lock = std::fs::read_to_string(tests.join("package-lock.json"))?;
    once(&tests.join("node_modules"), &lock, || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-fund", "--no-audit"]);
        npm.current_dir(&tests);
        command::run("npm-ci", &mut npm, INSTALL_LIMIT)?.check("npm ci in tests/")?;
        Ok(())
    })
}

/// The Python clients, in a virtual environment.
pub fn python() -> anyhow::Result<()> {
    program("python3", &["python3", "python3-venv"])?;
    let folder = project::tools().join("python");
    let requirements = project::root().join("tests/interop/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements)?;
    once(&folder, &wanted, || {
        std::fs::create_dir_all(project::tools())?;
        let venv = || {
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv", "--clear"]).arg(&folder);
            command::run("python-venv", &mut venv, INSTALL_LIMIT)
        };
        // Debian's python3 comes without the module until its package is installed.
        if !venv()?.succeeded() {
            packages(&["python3-venv"])?;
            venv()?.check("python3 -m venv")?;
        }
        let mut pip = Command::new(project::python());
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
        pip.arg(&requirements);
        command::run("pip-install", &mut pip, INSTALL_LIMIT)?.check("pip install")?;
        Ok(())
    })
}

/// The library that moves a program's clock.
pub fn faketime() -> anyhow::Result<()> {
    let debian = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    if std::env::var_os("PORTCULLIS_FAKETIME").is_some() || Path::new(&debian).exists() {
        return Ok(());
    }
    packages(&["libfaketime"])
        .context("libfaketime is missing; PORTCULLIS_FAKETIME may name libfaketimeMT.so.1")
}

/// The proxies whose configurations we give: nginx, Caddy and HAProxy.
pub fn proxies() -> anyhow::Result<()> {
    for (name, package) in [
        ("/usr/sbin/nginx", "nginx-light"),
        ("caddy", "caddy"),
        ("/usr/sbin/haproxy", "haproxy"),
    ] {
        program(name, &[package])?;
    }
    Ok(())
}

/// The programs that read what is in `deploy/`.
pub fn deployment() -> anyhow::Result<()> {
    program("promtool", &["prometheus"])?;
    program("systemd-analyze", &["systemd"])?;
    program("docker-compose", &["docker-compose"])
}

/// A Chromium that a script can drive.
pub fn chromium() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Ok(PathBuf::from(named));
    }
    program("chromium", &["chromium", "fonts-dejavu-core"])?;
    which("chromium").context("chromium is not on the path")
}

/// The ACME server that certificates are ordered from, which brings its name server along.
pub fn pebble() -> anyhow::Result<PathBuf> {
    program("pebble", &["pebble"])?;
    which("pebble").context("pebble is not on the path")
}

/// The JSON parsers that others wrote, to compare with: Go's, V8's, Python's and simdjson.
pub fn parsers() -> anyhow::Result<()> {
    program("node", &["nodejs"])?;
    program("python3", &["python3"])?;
    program("c++", &["g++"])?;
    if !Path::new("/usr/include/simdjson.h").exists() {
        packages(&["libsimdjson-dev"]).context("libsimdjson is missing")?;
    }
    program("go", &["golang-go"])
}

/// The folder of PostgreSQL's programs, version 15 or newer.
pub fn postgres() -> anyhow::Result<PathBuf> {
    if let Some(found) = find_postgres() {
        return Ok(found);
    }
    packages(&["postgresql"])?;
    find_postgres().context("PostgreSQL 15 or newer: initdb and postgres were not found")
}

fn find_postgres() -> Option<PathBuf> {
    let debian = (15..30)
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let on_path = which("initdb").and_then(|initdb| Some(initdb.parent()?.to_owned()));
    // 15 is the oldest that is supported, so it is the one to test with when there is a choice.
    std::iter::once(PathBuf::from("/usr/lib/postgresql/15/bin"))
        .chain(debian)
        .chain(on_path)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Makes sure that `program` is there.
fn program(program: &str, debian: &[&str]) -> anyhow::Result<()> {
    if command::exists(program) {
        return Ok(());
    }
    packages(debian).with_context(|| format!("{program} is missing"))?;
    if command::exists(program) {
        return Ok(());
    }
    bail!("{program} is missing, also after installing {debian:?}")
}

/// Installs Debian packages, or says which to install.
fn packages(names: &[&str]) -> anyhow::Result<()> {
    if !command::exists("apt-get") || !is_root()? {
        bail!(
            "install {} (it is done for you as root on Debian)",
            names.join(" and ")
        );
    }
    println!("    installing {}", names.join(" "));
    let apt = |name: &str, arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        command::run(name, &mut apt, INSTALL_LIMIT)?.check("apt-get")
    };
    apt("apt-update", &["update", "--quiet"])?;
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(names);
    apt("apt-install", &install)?;
    Ok(())
}

/// Whether we are root.
pub fn is_root() -> anyhow::Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(String::from_utf8_lossy(&id.stdout).trim() == "0")
}

/// Fills `folder` unless it was already filled from the same `wanted` text.
fn once(
    folder: &Path,
    wanted: &str,
    fill: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = folder.join(".filled-from");
    if std::fs::read_to_string(&stamp).is_ok_and(|from| from == wanted) {
        return Ok(());
    }
    println!("    filling {}", folder.display());
    fill()?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
