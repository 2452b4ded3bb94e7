//! A private PostgreSQL cluster: its own folder, a free port, loopback only, gone afterwards.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::command;
use crate::project;
use crate::stack::free_port;
use crate::tools;

/// The environment variable that tests read its address from.
pub const URL: &str = "PORTCULLIS_TEST_POSTGRES_URL";

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster. Stopped and deleted when dropped.
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    port: u16,
    /// What the server says it is.
    pub version: String,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> anyhow::Result<Self> {
        let programs = tools::postgres()?;
        // Outside the project: PostgreSQL refuses to run as root, and its own account may not reach our folders.
        let folder =
            std::env::temp_dir().join(format!("portcullis-postgres-{}", std::process::id()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder)?;
        let account = Account::of_the_server(&folder)?;

        let mut initdb = account.command(&programs.join("initdb"));
        initdb
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-instructions", "--pgdata"])
            .arg(folder.join("data"))
            .current_dir(&folder);
        command::run("initdb", &mut initdb, START_LIMIT)?.check("initdb")?;

        let port = free_port()?;
        std::fs::create_dir_all(project::logs())?;
        let log = std::fs::File::create(project::logs().join("postgres.log"))?;
        let mut postgres = account.command(&programs.join("postgres"));
        postgres
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(&folder)
            .args(["-c", "max_connections=200"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let server = postgres.spawn().context("cannot start postgres")?;
        let version = Command::new(programs.join("postgres"))
            .arg("--version")
            .output()?;
        let mut started = Self {
            server,
            folder,
            port,
            version: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
        };
        started.wait_until_ready(&programs)?;
        Ok(started)
    }

    /// Where tests find it, as its superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn wait_until_ready(&mut self, programs: &Path) -> anyhow::Result<()> {
        let until = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.server.try_wait()? {
                bail!("postgres ended with {status}; see target/xtask/postgres.log");
            }
            let ready = Command::new(programs.join("pg_isready"))
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q"])
                .status()?;
            if ready.success() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("postgres does not answer; see target/xtask/postgres.log");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        let _ = Command::new("kill")
            .args(["-INT", &self.server.id().to_string()])
            .status();
        let _ = command::wait(&mut self.server, Duration::from_secs(30));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Who runs the server: PostgreSQL refuses to be root.
enum Account {
    Ours,
    Other { user: u32, group: u32 },
}

impl Account {
    fn of_the_server(folder: &Path) -> anyhow::Result<Self> {
        if !tools::is_root()? {
            return Ok(Self::Ours);
        }
        let (user, group) = (id("-u")?, id("-g")?);
        std::os::unix::fs::chown(folder, Some(user), Some(group))?;
        Ok(Self::Other { user, group })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { user, group } = self {
            command.uid(*user).gid(*group);
        }
        command
    }
}

fn id(what: &str) -> anyhow::Result<u32> {
    let id = Command::new("id").args([what, "postgres"]).output()?;
    String::from_utf8_lossy(&id.stdout)
        .trim()
        .parse()
        .context("there is no account named postgres")
}
