//! A PostgreSQL of a test's own, which it may stop, kill and start again on the same address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(60);

/// How PostgreSQL is told to stop.
#[derive(Debug, Clone, Copy)]
pub enum Shutdown {
    /// Ends every session, rolls back what they had not committed, and writes everything out.
    Fast,
    /// Ends at once and recovers from its log when it starts again, as after a crash.
    Immediate,
}

/// A running cluster. Stopped and deleted when dropped.
pub struct Database {
    programs: PathBuf,
    folder: PathBuf,
    account: Option<(u32, u32)>,
    address: SocketAddr,
    server: Child,
}

impl Database {
    /// Makes a cluster on a free port and starts it.
    ///
    /// # Errors
    /// When PostgreSQL is not there or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let programs = programs().context("PostgreSQL 15 or newer was not found")?;
        let port = testkit::unused_port().await;
        // Outside the project: PostgreSQL refuses to be root, and its own account may not reach our folders.
        let folder =
            std::env::temp_dir().join(format!("portcullis-fleet-{}-{port}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let account = account(&folder).await?;
        let mut initdb = command(&programs.join("initdb"), account);
        initdb
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-instructions", "--no-sync", "--pgdata"])
            .arg(folder.join("data"))
            .current_dir(&folder)
            .stdout(Stdio::null());
        if !initdb.status().await?.success() {
            bail!("initdb failed");
        }
        let server = postgres(&programs, &folder, account, port)?;
        let mut started = Self {
            programs,
            folder,
            account,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            server,
        };
        started.wait_until_ready().await?;
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id of its first process.
    pub fn id(&self) -> Option<u32> {
        self.server.id()
    }

    /// Stops it as told, and starts it again where it was.
    ///
    /// # Errors
    /// When it does not stop or start within a minute.
    pub async fn restart(&mut self, shutdown: Shutdown) -> anyhow::Result<()> {
        let id = self.id().context("PostgreSQL has ended by itself")?;
        let signal = match shutdown {
            Shutdown::Fast => "-INT",
            Shutdown::Immediate => "-QUIT",
        };
        super::send_signal(id, signal).await?;
        tokio::time::timeout(LIMIT, self.server.wait())
            .await
            .context("PostgreSQL does not stop")??;
        self.server = postgres(
            &self.programs,
            &self.folder,
            self.account,
            self.address.port(),
        )?;
        self.wait_until_ready().await
    }

    /// Runs one statement as the superuser, past every proxy; gives what it printed.
    ///
    /// # Errors
    /// When the statement is refused.
    pub async fn run(&self, sql: &str) -> anyhow::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &self.address.port().to_string()])
            .args(["-U", "postgres", "-d", "postgres", "-c", sql])
            .output()
            .await?;
        if !output.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.run("SELECT 1").await.is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("PostgreSQL ended with {status}: {}", self.log());
            }
            if begun.elapsed() > LIMIT {
                bail!("PostgreSQL does not answer: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(id) = self.server.id() {
            let _ = std::process::Command::new("kill")
                .args(["-QUIT", &id.to_string()])
                .status();
            for _ in 0..100 {
                if !matches!(self.server.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn postgres(
    programs: &Path,
    folder: &Path,
    account: Option<(u32, u32)>,
    port: u16,
) -> anyhow::Result<Child> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    command(&programs.join("postgres"), account)
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
        .arg(folder)
        .args(["-c", "max_connections=200"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start postgres")
}

/// The oldest that is supported comes first, as in `cargo xtask`.
fn programs() -> Option<PathBuf> {
    (15..30)
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .chain(std::env::split_paths(&std::env::var_os("PATH")?))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Who runs it when we are root, and now owns `folder`.
async fn account(folder: &Path) -> anyhow::Result<Option<(u32, u32)>> {
    if id("-u", None).await? != 0 {
        return Ok(None);
    }
    let account = (
        id("-u", Some("postgres")).await?,
        id("-g", Some("postgres")).await?,
    );
    std::os::unix::fs::chown(folder, Some(account.0), Some(account.1))?;
    Ok(Some(account))
}

async fn id(what: &str, name: Option<&str>) -> anyhow::Result<u32> {
    let output = Command::new("id").arg(what).args(name).output().await?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("there is no account named postgres")
}

fn command(program: &Path, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = account {
        command.uid(user).gid(group);
    }
    command
}
