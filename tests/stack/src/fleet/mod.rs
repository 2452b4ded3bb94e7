//! Several `serve` nodes on one PostgreSQL behind a proxy that can fail, an honest load over all of them, and a verdict.

mod administrator;
mod database;
mod doors;
mod gateways;
mod governed;
mod ledger;
mod load;
mod node;
mod verdict;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::{Request, StatusCode};
use tempfile::TempDir;
use testkit::echo::{Echo, EchoSettings};
use testkit::{Connection, FaultProxy};
use tokio::process::Command;

use crate::run_beside;

pub use administrator::Administrator;
pub use database::{Database, Shutdown};
pub use governed::Governed;
pub use load::{Load, Pace};
pub use node::{Node, Role};
pub use verdict::Verdict;

/// The one MCP server behind the fleet.
const SERVER: &str = "echo";
const PASSWORD: &str = "correct horse battery staple";

/// How long a change may take until each node feels it.
const FELT: Duration = Duration::from_secs(10);

/// The nodes, their database and what they stand in front of.
pub struct Fleet {
    /// Authorities first.
    pub nodes: Vec<Node>,
    /// The database itself; nodes reach it through `proxy`.
    pub database: Database,
    /// Between the nodes and the database.
    pub proxy: FaultProxy,
    /// Between a gateway alone and its authorities, like a balancer; nothing where no gateway is alone.
    pub feed: Option<FaultProxy>,
    /// `host:port` of the origin that clients know; no node listens there.
    authority: String,
    /// How long the access tokens of its MCP server live.
    tokens_live: Duration,
    folder: TempDir,
    echo: Echo,
}

impl Fleet {
    /// Starts one node of each program that takes every role, adds an MCP server and `people` accounts.
    ///
    /// # Errors
    /// When anything does not start.
    pub async fn start(programs: &[&Path], people: usize) -> anyhow::Result<Self> {
        let nodes: Vec<_> = programs
            .iter()
            .map(|program| (*program, Role::All))
            .collect();
        Self::start_authorities(&nodes, people).await
    }

    /// Two authorities, of which one has a gateway inside and the other has not, and a gateway alone that reaches both through
    /// `feed`.
    ///
    /// # Errors
    /// When anything does not start.
    pub async fn start_apart(program: &Path, people: usize) -> anyhow::Result<Self> {
        let authorities = [(program, Role::All), (program, Role::Authority)];
        let mut fleet = Self::start_authorities(&authorities, people).await?;
        let mut targets = Vec::new();
        for node in &fleet.nodes {
            targets.push(node.door.parse()?);
        }
        let feed = fleet.feed.insert(FaultProxy::before(targets).await?);
        let feed = feed.address();
        let credential = fleet
            .run(program, &["servers", "credential", SERVER], "")
            .await?;
        let kept = fleet.folder.path().join("echo.credential");
        std::fs::write(&kept, credential)?;
        let section = format!(
            "role = \"gateway\"\n[authority]\nurl = \"http://{}\"\nconnect_to = \"http://{feed}\"\n\
             [[authority.servers]]\nslug = \"{SERVER}\"\ncredential_file = {kept:?}\n",
            fleet.authority
        );
        let mut gateway = fleet.node("gateway", Role::Gateway, &section).await?;
        gateway.start(program).await?;
        fleet.nodes.push(gateway);
        fleet.wait_for_server().await?;
        Ok(fleet)
    }

    /// An authority that runs.
    fn authority(&self) -> anyhow::Result<&Node> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|node| node.role.is_authority() && node.id().is_some());
        found.context("no authority runs")
    }

    async fn start_authorities(nodes: &[(&Path, Role)], people: usize) -> anyhow::Result<Self> {
        let database = Database::start().await?;
        let proxy = FaultProxy::start(database.address()).await?;
        let folder = tempfile::tempdir()?;
        let master_key = folder.path().join("master.key");
        let mut file = std::fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&master_key)?;
        std::io::Write::write_all(&mut file, base::base64url([7; 32]).as_bytes())?;
        let authority = format!("localhost:{}", testkit::unused_port().await);
        let mut fleet = Self {
            nodes: Vec::new(),
            database,
            proxy,
            feed: None,
            authority,
            tokens_live: Duration::from_secs(3600),
            folder,
            echo: Echo::start(EchoSettings::default()).await,
        };
        for (index, (program, role)) in nodes.iter().enumerate() {
            let name = format!("node{index}");
            let section = fleet.of_authority(&name, *role, &master_key);
            let mut node = fleet.node(&name, *role, &section).await?;
            node.start(program).await?;
            fleet.nodes.push(node);
        }
        let (program, _) = nodes.first().context("a fleet has a node")?;
        for person in 0..people {
            let add = ["users", "add", &email(person), "--password-stdin"];
            fleet.run(program, &add, PASSWORD).await?;
        }
        let url = fleet.echo.url();
        fleet
            .run(program, &["servers", "add", SERVER, &url], "")
            .await?;
        fleet.wait_for_server().await?;
        Ok(fleet)
    }

    /// What an authority is told in its configuration.
    fn of_authority(&self, name: &str, role: Role, master_key: &Path) -> String {
        // An earlier release knows no roles.
        let role = match role {
            Role::Authority => "role = \"authority\"\n",
            Role::All | Role::Gateway => "",
        };
        format!(
            "public_url = \"http://{}\"\n{role}data_dir = {:?}\n[database]\nurl = \"postgres://postgres@{}/postgres\"\n\
             [keys]\nmaster_key_file = {master_key:?}\n[limits]\nregistrations = 1000000\n",
            self.authority,
            self.folder.path().join(name),
            self.proxy.address()
        )
    }

    /// Writes the configuration of a node, which has its addresses for all its lives.
    async fn node(&self, name: &str, role: Role, section: &str) -> anyhow::Result<Node> {
        let door = format!("127.0.0.1:{}", testkit::unused_port().await);
        let operations = format!("127.0.0.1:{}", testkit::unused_port().await);
        let text = format!(
            "{section}[listen]\naddresses = [\"{door}\"]\n[operations]\nlisten = [\"{operations}\"]\n\
             [log]\nfilter = \"warn\"\n"
        );
        let config = self.config(name);
        std::fs::write(&config, text)?;
        let log = self.folder.path().join(format!("{name}.log"));
        Ok(Node::new(role, config, log, door, operations))
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.toml"))
    }

    /// Runs a command of `program` beside the nodes; gives what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        input: &str,
    ) -> anyhow::Result<String> {
        run_beside(program, &self.config("node0"), arguments, input).await
    }

    /// Lets access tokens live for `minutes` from now on: before there is a load.
    ///
    /// # Errors
    /// When it cannot be set.
    pub async fn let_tokens_live(&mut self, program: &Path, minutes: u32) -> anyhow::Result<()> {
        let life = format!("{minutes}m");
        let set = ["servers", "set", "--access-token", &life];
        self.run(program, &set, "").await?;
        self.tokens_live = Duration::from_secs(60) * minutes;
        Ok(())
    }

    /// Waits until each gateway knows the MCP server: it asks for a token.
    ///
    /// # Errors
    /// When one does not within ten seconds.
    pub async fn wait_for_server(&self) -> anyhow::Result<()> {
        for node in self.nodes.iter().filter(|node| node.role.is_gateway()) {
            let begun = Instant::now();
            loop {
                let mut connection = Connection::open(&node.door).await?;
                connection.authority.clone_from(&self.authority);
                let path = format!("/mcp/{SERVER}");
                let answer = connection.send(Request::get(path), "").await?;
                if answer.status() == StatusCode::UNAUTHORIZED {
                    break;
                }
                ensure!(
                    begun.elapsed() < FELT,
                    "{} at {}: {}",
                    answer.status(),
                    node.door,
                    node.log()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // What the nodes said is worth having when a test fails.
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
        }
    }
}

fn email(person: usize) -> String {
    format!("person{person}@example.com")
}

/// Sends a signal, such as `-TERM`, to one process.
///
/// # Errors
/// When there is no such process.
pub async fn send_signal(id: u32, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill")
        .args([signal, &id.to_string()])
        .status()
        .await?;
    ensure!(sent.success(), "kill {signal} {id}");
    Ok(())
}
