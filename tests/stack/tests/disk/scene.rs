//! `serve` on SQLite on a disk that can fail, with commands beside it on the same disk.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::{Value, json};
use stack_tests::binary;
use stack_tests::fleet::{Node, Role};
use tempfile::TempDir;
use testkit::echo::{Echo, EchoSettings};
use testkit::person::{Code, Person, text};
use testkit::{Connection, unused_port};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::super::support::{EMAIL, PASSWORD};
use super::faults::Disk;

const LIMIT: Duration = Duration::from_secs(120);

/// What a command said.
pub struct Ran {
    pub worked: bool,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub async fn of(command: &mut Command, input: &str) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that ends before it reads is judged by its end.
        let _ = stdin.write_all(format!("{input}\n").as_bytes()).await;
        drop(stdin);
        Self::of_child(child).await
    }

    pub async fn of_child(child: Child) -> Self {
        let output = tokio::time::timeout(LIMIT, child.wait_with_output());
        let output = output.await.unwrap().unwrap();
        Self {
            worked: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The binary, to be run as a command.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub struct Scene {
    pub disk: Disk,
    /// Who is signed in all the time, and their client.
    pub person: Person,
    pub echo: String,
    node: Node,
    config: PathBuf,
    authority: String,
    _echo: Echo,
    _outer: TempDir,
}

impl Scene {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// On the disk that the folder `disk` in `outer` is on.
    pub async fn start_in(outer: TempDir) -> Self {
        let disk = Disk::new(outer.path());
        let port = unused_port().await;
        let config = outer.path().join("portcullis.toml");
        let text = format!(
            "public_url = \"http://localhost:{port}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{port}\"]\n",
            disk.folder.join("data")
        );
        std::fs::write(&config, text).unwrap();
        // The log is on the same disk, as it often is.
        let log = disk.folder.join("log");
        let door = format!("127.0.0.1:{port}");
        let mut node = Node::new(Role::All, config.clone(), log, door, String::new())
            .with_environment(disk.environment());
        node.start(binary()).await.unwrap();
        let echo = Echo::start(EchoSettings::default()).await;
        let mut scene = Self {
            person: Person {
                issuer_path: "/servers/echo".to_owned(),
                client_id: String::new(),
                cookie: String::new(),
            },
            echo: echo.url(),
            disk,
            node,
            config,
            authority: format!("localhost:{port}"),
            _echo: echo,
            _outer: outer,
        };
        scene
            .must_run(&["users", "add", EMAIL, "--password-stdin"], PASSWORD)
            .await;
        let url = scene.echo.clone();
        scene.must_run(&["servers", "add", "echo", &url], "").await;
        scene.is_served().await;
        scene.person = scene.sign_in().await.0;
        scene
    }

    /// Waits until the MCP server is.
    async fn is_served(&self) {
        let mut last = None;
        for _ in 0..200 {
            let looked = async {
                let request = Request::get("/mcp/echo");
                let answer = self.open().await?.send(request, "").await?;
                ensure!(answer.status() == 401, "{}", answer.status());
                Ok(())
            };
            match looked.await {
                Ok(()) => return,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the MCP server is not served: {last:?}: {}",
            self.node.log()
        );
    }

    pub fn data(&self) -> PathBuf {
        self.disk.folder.join("data")
    }

    pub fn issuer(&self) -> String {
        format!("http://{}/servers/echo", self.authority)
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.authority)
    }

    pub async fn open(&self) -> anyhow::Result<Connection> {
        let mut connection = Connection::open(&self.node.door).await?;
        connection.authority.clone_from(&self.authority);
        Ok(connection)
    }

    /// Somebody who signs in anew with a new client, with a code that is not spent yet.
    pub async fn sign_in(&self) -> (Person, Code) {
        let mut connection = self.open().await.unwrap();
        Person::sign_in(&mut connection, &self.issuer(), EMAIL, PASSWORD)
            .await
            .unwrap()
    }

    pub async fn token(&self, form: String) -> anyhow::Result<Response<Bytes>> {
        self.post("token", form).await
    }

    pub async fn post(&self, endpoint: &str, form: String) -> anyhow::Result<Response<Bytes>> {
        let request = Request::post(format!("/servers/echo/{endpoint}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.open().await?.send(request, form).await
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Response<Bytes>> {
        let request = Request::get(path).header(header::COOKIE, &self.person.cookie);
        self.open().await?.send(request, "").await
    }

    /// A new access and refresh token.
    pub async fn tokens(&self) -> (String, String) {
        let mut connection = self.open().await.unwrap();
        let code = self.person.approve(&mut connection).await.unwrap();
        let answer = self.token(self.person.exchange_form(&code)).await.unwrap();
        tokens_in(&answer)
    }

    /// Calls a tool through the gateway.
    pub async fn call(&self, access_token: &str) -> anyhow::Result<()> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"word": "honest"}}});
        let request = Request::post("/mcp/echo")
            .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25");
        let answer = self.open().await?.send(request, call.to_string()).await?;
        ensure!(
            answer.status() == 200 && text(&answer).contains("honest"),
            "a call was answered {}: {}",
            answer.status(),
            text(&answer)
        );
        Ok(())
    }

    /// Runs a command beside the node, on the same disk.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = command(arguments);
        command
            .arg("--config")
            .arg(&self.config)
            .envs(self.disk.environment());
        Ran::of(&mut command, input).await
    }

    pub async fn must_run(&self, arguments: &[&str], input: &str) -> String {
        let ran = self.run(arguments, input).await;
        assert!(ran.worked, "{arguments:?}: {}", ran.err);
        ran.out
    }

    /// SIGKILL, and another start on a disk that is well.
    pub async fn kill_and_start(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    pub async fn kill(&mut self) {
        self.node.kill().await.unwrap();
    }

    pub async fn start_again(&mut self) {
        self.node.start(binary()).await.unwrap();
        self.is_served().await;
    }

    pub async fn stop(&mut self) {
        self.node.stop().await.unwrap();
    }

    pub fn log(&self) -> String {
        self.node.log()
    }
}

pub fn tokens_in(answer: &Response<Bytes>) -> (String, String) {
    assert_eq!(answer.status(), 200, "{}", text(answer));
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let part = |name: &str| body[name].as_str().unwrap().to_owned();
    (part("access_token"), part("refresh_token"))
}

/// Holds the database at `path`, which nobody has open, against its own rules.
pub async fn integrity(path: &Path) -> Vec<String> {
    let store = open_store(path).await;
    let found = store.check_integrity().await.unwrap();
    store.close().await;
    found
}

/// Whether the database at `path`, which nobody has open, has this client.
pub async fn knows_client(path: &Path, client: &str) -> bool {
    let store = open_store(path).await;
    let slug = domain::ServerSlug::parse("echo").unwrap();
    let id = domain::ClientId::from_text(client);
    let found = store.find_client(&slug, &id).await.unwrap();
    store.close().await;
    found.is_some()
}

async fn open_store(path: &Path) -> store::Store {
    let options = store::StoreOptions::new(store::DatabaseUrl::Sqlite(path.to_owned()));
    store::Store::open(options, &base::SystemClock)
        .await
        .unwrap()
}
