//! `serve` on SQLite with one MCP server and one person.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use http::Request;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use testkit::echo::{Echo, EchoSettings};
use testkit::{Connection, unused_port};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::support::{EMAIL, PASSWORD};

/// Where a node is and what it is called.
#[derive(Clone)]
pub struct Door {
    listen: SocketAddr,
    authority: String,
}

/// Whose word about addresses the node takes.
pub const PROXY: &str = "127.0.3.1";

pub struct Node {
    pub listen: SocketAddr,
    door: Door,
    child: Child,
    _echo: Echo,
    _folder: tempfile::TempDir,
}

impl Node {
    /// With room for `connections`.
    pub async fn start(connections: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = unused_port().await;
        let config = folder.path().join("portcullis.toml");
        let text = format!(
            "public_url = \"http://localhost:{port}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{port}\"]\n\
             [proxy]\ntrusted = [\"{PROXY}\"]\n[limits]\nconnections = {connections}\n",
            folder.path().join("data")
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(stack_tests::binary())
            .args(["serve", "--ready-json", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        let ready: Value = serde_json::from_str(&ready.unwrap().unwrap().unwrap()).unwrap();
        let echo = Echo::start(EchoSettings::default()).await;
        let add = ["users", "add", EMAIL, "--password-stdin"];
        run(&config, &add, PASSWORD).await;
        run(&config, &["servers", "add", "echo", &echo.url()], "").await;
        let listen = ready["listen"][0].as_str().unwrap().parse().unwrap();
        let node = Self {
            listen,
            door: Door {
                listen,
                authority: format!("localhost:{port}"),
            },
            child,
            _echo: echo,
            _folder: folder,
        };
        let mut last = None;
        for _ in 0..200 {
            match node.serves().await {
                Ok(()) => return node,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the MCP server is not served: {last:?}");
    }

    async fn serves(&self) -> anyhow::Result<()> {
        let answer = self
            .open()
            .await?
            .send(Request::get("/mcp/echo"), "")
            .await?;
        ensure!(answer.status() == 401, "{}", answer.status());
        Ok(())
    }

    pub fn issuer(&self) -> String {
        format!("http://{}/servers/echo", self.door.authority)
    }

    pub fn resource(&self) -> String {
        format!("http://{}/mcp/echo", self.door.authority)
    }

    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// A connection of an honest person.
    pub async fn open(&self) -> anyhow::Result<Connection> {
        self.open_from("127.0.0.1").await
    }

    /// A connection from another address of this machine.
    pub async fn open_from(&self, address: &str) -> anyhow::Result<Connection> {
        self.door.open_from(address).await
    }

    /// The most memory that it ever had, in bytes; 0 where the system does not tell.
    pub fn memory_peak(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().expect("it runs"));
        let Ok(status) = std::fs::read_to_string(status) else {
            return 0;
        };
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
        kibibytes.unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Door {
    /// A connection from another address of this machine.
    pub async fn open_from(&self, address: &str) -> anyhow::Result<Connection> {
        let mut connection = Connection::open_from(address.parse()?, self.listen).await?;
        connection.authority.clone_from(&self.authority);
        Ok(connection)
    }
}

async fn run(config: &Path, arguments: &[&str], input: &str) {
    let binary = stack_tests::binary();
    stack_tests::run_beside(binary, config, arguments, input)
        .await
        .unwrap();
}

/// Asks for `wanted` open files, for this process and those it starts; how many there may be.
pub fn raise_file_limit(wanted: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted.min(most));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    limit.current.unwrap_or(u64::MAX)
}
