//! Starts, kills and restarts the real binary.

#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

pub mod ledger;

use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

pub const EMAIL: &str = "ada@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

pub fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .unwrap()
}

/// A count from the environment, or the small one of every day.
pub fn count(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(usual, |text| text.parse().unwrap())
}

/// The seed of this run; printed with every result, so that a run can be repeated.
pub fn seed() -> u64 {
    count("PORTCULLIS_SEED", 20_261_120)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn cargo_build(arguments: &[&str]) {
    let status = StdCommand::new(env!("CARGO"))
        .arg("build")
        .args(arguments)
        .current_dir(root())
        .status()
        .unwrap();
    assert!(status.success(), "cargo build {arguments:?}");
}

/// The binary under test: `PORTCULLIS_BIN`, or the debug build.
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| match std::env::var_os("PORTCULLIS_BIN") {
            Some(path) => path.into(),
            None => {
                cargo_build(&[
                    "--quiet",
                    "--package",
                    "portcullis-cli",
                    "--bin",
                    "portcullis",
                ]);
                target().join("debug/portcullis")
            }
        })
        .clone()
}

/// The same binary with `synchronous=NORMAL`: what must fail.
pub fn weakened_binary() -> PathBuf {
    PathBuf::from(
        std::env::var_os("PORTCULLIS_WEAKENED_BIN")
            .expect("cargo xtask test builds it and names it"),
    )
}

/// Compiles a shim of `tests/stack/shim` to a shared library.
pub fn build_shim(name: &str) -> PathBuf {
    let folder = target().join("shim");
    std::fs::create_dir_all(&folder).unwrap();
    let library = folder.join(format!("{name}-{}.so", std::process::id()));
    let status = StdCommand::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(root().join("tests/stack/shim").join(format!("{name}.c")))
        .args(["-ldl", "-lpthread"])
        .status()
        .unwrap();
    assert!(status.success(), "cc {name}.c");
    library
}

/// A running `portcullis up`.
pub struct Portcullis {
    child: Child,
    pub ready: Value,
    /// `host:port`.
    pub authority: String,
}

impl Portcullis {
    /// First start on `directory`, with one person who may sign in.
    pub async fn first_start(directory: &Path) -> Self {
        Self::first_start_of(&binary(), directory).await
    }

    pub async fn first_start_of(binary: &Path, directory: &Path) -> Self {
        let server = Self::start_of(binary, directory, &[]).await;
        let mut child = Command::new(binary)
            .args(["users", "add", EMAIL, "--password-stdin", "--data-dir"])
            .arg(directory.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(PASSWORD.as_bytes())
            .await
            .unwrap();
        assert!(child.wait().await.unwrap().success(), "users add");
        server
    }

    /// A later start.
    pub async fn start(directory: &Path, environment: &[(&str, String)]) -> Self {
        Self::start_of(&binary(), directory, environment).await
    }

    pub async fn start_of(binary: &Path, directory: &Path, environment: &[(&str, String)]) -> Self {
        Self::try_start_of(binary, directory, environment)
            .await
            .expect("portcullis up serves")
    }

    /// `None` when it ended before it served.
    pub async fn try_start_of(
        binary: &Path,
        directory: &Path,
        environment: &[(&str, String)],
    ) -> Option<Self> {
        let data = directory.join("data");
        let mut command = Command::new(binary);
        command
            .args(["up", "--no-open", "--ready-json", "--data-dir"])
            .arg(&data);
        if !data.join("authority.json").exists() {
            command.args(["--port", &testkit::unused_port().await.to_string()]);
        }
        let mut child = command
            .envs(
                environment
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(directory.join("log"))
                    .unwrap(),
            )
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_secs(180), lines.next_line())
            .await
            .expect("ready within three minutes")
            .unwrap()?;
        let ready: Value = serde_json::from_str(&line).unwrap();
        let authority = ready["authority_url"]
            .as_str()
            .unwrap()
            .strip_prefix("http://")
            .unwrap()
            .to_owned();
        Some(Self {
            child,
            ready,
            authority,
        })
    }

    pub fn issuer(&self) -> &str {
        self.ready["issuer"].as_str().unwrap()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// SIGTERM, and it must end in good order.
    pub async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .arg(pid)
                .status()
                .await
                .unwrap()
                .success()
        );
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait())
            .await
            .expect("drained")
            .unwrap();
        assert!(status.success(), "SIGTERM ended it with {status}");
    }

    /// Whether it ended by itself.
    pub async fn has_ended(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(1), self.child.wait())
            .await
            .is_ok()
    }

    /// Resolves when the process ends.
    pub async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }
}
