//! `portcullis up` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A start on a disk that is slow on purpose takes a while.
const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The line that `up --ready-json` prints when it serves.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// The resource that clients are given.
    pub mcp_url: String,
    /// The issuer of that MCP server.
    pub issuer: String,
    /// The authority's origin.
    pub authority_url: String,
    /// The admin's page.
    pub admin_url: String,
    /// The one-time link of the first admin; absent once somebody exists.
    pub setup_url: Option<String>,
}

impl Ready {
    /// `host:port` of the authority, to connect to.
    pub fn address(&self) -> &str {
        self.authority_url
            .split("://")
            .nth(1)
            .unwrap_or(&self.authority_url)
    }
}

/// A running binary. Killed when dropped.
pub struct Up {
    child: Child,
    program: PathBuf,
    data: PathBuf,
    /// Where everything is.
    pub ready: Ready,
    printed: Arc<Mutex<String>>,
}

impl Up {
    /// Starts `up` with `arguments` on the data directory `data`, on a port that was free at its first start.
    pub async fn start(
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::start_binary(binary(), data, arguments, environment).await
    }

    /// Starts another binary than the usual one.
    pub async fn start_binary(
        program: &Path,
        data: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("up").args(["--no-open", "--ready-json"]);
        command.arg("--data-dir").arg(data);
        // The port is fixed at the first start; later ones find it in the data directory.
        if !data.exists() || std::fs::read_dir(data)?.next().is_none() {
            let port = std::net::TcpListener::bind("127.0.0.1:0")?
                .local_addr()?
                .port();
            command.arg("--port").arg(port.to_string());
        }
        let mut child = command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let printed = Arc::new(Mutex::new(String::new()));
        let stderr = keep(child.stderr.take(), &printed);
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START_LIMIT, lines.next_line()).await;
        let Ok(Ok(Some(line))) = first else {
            // Without a line it is about to end by itself, or it hangs.
            let _ = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
            let _ = child.start_kill();
            let _ = tokio::time::timeout(STOP_LIMIT, stderr).await;
            bail!(
                "up did not start: {}",
                printed.lock().map_or(String::new(), |text| text.clone())
            );
        };
        drop(keep(Some(lines.into_inner()), &printed));
        let ready =
            serde_json::from_str(&line).with_context(|| format!("not a ready line: {line}"))?;
        Ok(Self {
            child,
            program: program.to_owned(),
            data: data.to_owned(),
            ready,
            printed,
        })
    }

    /// Adds a person from the command line, beside the running server.
    pub async fn add_user(&self, email: &str, password: &str) -> anyhow::Result<()> {
        let arguments = ["users", "add", email, "--password-stdin"];
        self.run_with_input(&arguments, &format!("{password}\n"))
            .await?;
        Ok(())
    }

    /// Runs another command of the same binary on the same data directory, beside the running server; what it printed.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run_with_input(arguments, "").await
    }

    async fn run_with_input(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().context("standard input is piped")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(STOP_LIMIT, child.wait_with_output()).await??;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "{} ended with {}: {printed}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(printed)
    }

    /// Everything it printed so far after its ready line, on both streams.
    pub fn printed(&self) -> String {
        self.printed
            .lock()
            .map_or(String::new(), |text| text.clone())
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks it to stop, as Ctrl-C does.
    pub async fn stop(self) -> anyhow::Result<(ExitStatus, String)> {
        self.end_with("-INT").await
    }

    /// Asks it to stop, as a service manager does.
    pub async fn terminate(self) -> anyhow::Result<(ExitStatus, String)> {
        self.end_with("-TERM").await
    }

    async fn end_with(mut self, signal: &str) -> anyhow::Result<(ExitStatus, String)> {
        let id = self.child.id().context("it has already ended")?;
        Command::new("kill")
            .args([signal, &id.to_string()])
            .status()
            .await?;
        let status = tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .context("it did not stop when asked")??;
        Ok((status, self.printed()))
    }

    /// Ends it at once with SIGKILL.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Whether it has ended by itself, or does within a second.
    pub async fn has_ended(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(1), self.child.wait())
            .await
            .is_ok()
    }
}

/// Appends every line to `printed`, to the end of the stream.
fn keep<R: AsyncRead + Unpin + Send + 'static>(
    stream: Option<R>,
    printed: &Arc<Mutex<String>>,
) -> JoinHandle<()> {
    let printed = Arc::clone(printed);
    tokio::spawn(async move {
        let Some(stream) = stream else { return };
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(mut text) = printed.lock() {
                text.push_str(&line);
                text.push('\n');
            }
        }
    })
}

/// The binary under test: `PORTCULLIS_BIN`, or built now.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("PORTCULLIS_BIN") {
            return PathBuf::from(named);
        }
        let mut cargo =
            std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        let status = cargo
            .args(["build", "--quiet", "--package", "portcullis-cli"])
            .args(["--bin", "portcullis"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the binary cannot be built"
        );
        // This test is target/PROFILE/deps/NAME; the binary of a debug build is beside `deps`.
        let deps = std::env::current_exe().unwrap_or_default();
        deps.ancestors()
            .nth(3)
            .unwrap_or(Path::new("target"))
            .join("debug/portcullis")
    })
}
