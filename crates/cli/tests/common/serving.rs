//! `portcullis serve` as processes of their own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::{Request, StatusCode, header};
use serde_json::Value;
use testkit::Connection;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Home, Ran};

/// The program without a data directory of its own: the configuration names it.
pub fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env_remove("PORTCULLIS_DATA_DIR");
    command
}

pub async fn run(home: &Home, config: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut command = command(home, arguments);
    command.arg("--config").arg(config).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code_seen: None,
    }
}

pub async fn done(home: &Home, config: &Path, arguments: &[&str]) -> String {
    let ran = run(home, config, arguments, "").await;
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    ran.stdout
}

/// A running node.
pub struct Node {
    pub child: Child,
    pub ready: Value,
}

impl Node {
    pub async fn start(home: &Home, config: &Path) -> Self {
        let mut command = command(home, &["serve", "--ready-json", "--config"]);
        command.arg(config);
        Self::spawn(command).await
    }

    /// Waits until what this starts is ready.
    pub async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::time::timeout(Duration::from_secs(60), stdout.read_line(&mut line))
            .await
            .expect("serve becomes ready")
            .unwrap();
        if line.is_empty() {
            let output = child.wait_with_output().await.unwrap();
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Self {
            child,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    pub async fn open(&self, listener: &str) -> Connection {
        Connection::open(self.ready[listener][0].as_str().unwrap())
            .await
            .unwrap()
    }

    pub async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        assert!(ended.unwrap().unwrap().success());
    }
}

pub async fn status(connection: &mut Connection, path: &str) -> StatusCode {
    let request = Request::get(path).header(header::ACCEPT, "text/html");
    connection.send(request, "").await.unwrap().status()
}

pub async fn json(connection: &mut Connection, path: &str) -> Value {
    let answer = connection.send(Request::get(path), "").await.unwrap();
    serde_json::from_slice(answer.body()).unwrap()
}

pub async fn token(connection: &mut Connection, form: &str) -> http::Response<bytes::Bytes> {
    token_of(connection, "todo", form).await
}

/// The same at another MCP server.
pub async fn token_of(
    connection: &mut Connection,
    slug: &str,
    form: &str,
) -> http::Response<bytes::Bytes> {
    let request = Request::post(format!("/servers/{slug}/token"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    connection.send(request, form.to_owned()).await.unwrap()
}

pub fn config(home: &Home, name: &str, public_port: u16, text: &str) -> PathBuf {
    let text = format!("public_url = \"http://localhost:{public_port}\"\n{text}");
    home.write(name, &text)
}

/// Asks until it is so, for as long as a change may take to be felt.
pub async fn felt(connection: &mut Connection, path: &str, wanted: StatusCode) {
    for _ in 0..30 {
        if status(connection, path).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} never was {wanted}");
}

/// The database of the tests, when there is one.
pub fn postgres() -> Option<String> {
    std::env::var("PORTCULLIS_TEST_POSTGRES_URL").ok()
}
