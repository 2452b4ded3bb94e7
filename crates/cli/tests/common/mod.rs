//! The binary, run as a person or a script would.
#![allow(dead_code, clippy::unwrap_used)]

pub mod serving;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use portcullis_cli::{Stack, UpOptions};
use testkit::Connection;
use testkit::person::Person;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

pub const EMAIL: &str = "alice@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// A data directory that does not exist yet, in a folder that goes away.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with `text`.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, with an environment of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("PORTCULLIS_DATA_DIR", self.data())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    /// Runs the program to its end with `input` on stdin.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that does not read its input closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        ended(child).await
    }

    /// Adds the person of the tests.
    pub async fn add_user(&self) {
        let ran = self
            .run_with(&["users", "add", EMAIL, "--password-stdin"], PASSWORD)
            .await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    /// A stack on this directory, in this process.
    pub async fn stack(&self) -> Stack {
        Stack::start(UpOptions::new(self.data())).await.unwrap()
    }

    /// Runs a command of the built-in client and does in a browser what it asks for.
    pub async fn run_signing_in(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.arg("--no-open").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let authorize = loop {
            let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line())
                .await
                .expect("the address to open is printed");
            let Some(line) = line.unwrap() else {
                let ran = ended(child).await;
                return Ran {
                    stderr: told,
                    ..ran
                };
            };
            told.push_str(&line);
            told.push('\n');
            if let Ok(url) = Url::parse(line.trim()) {
                break url;
            }
        };
        let mut authority = Connection::open(&address(&authorize)).await.unwrap();
        let callback = Person::visit(&mut authority, &authorize, EMAIL, PASSWORD)
            .await
            .unwrap();
        let mut client = Connection::open(&address(&callback)).await.unwrap();
        let path = format!(
            "{}?{}",
            callback.path(),
            callback.query().unwrap_or_default()
        );
        let answer = client.send(http::Request::get(path), "").await.unwrap();
        assert_eq!(answer.status(), 200);
        while let Ok(Some(line)) = lines.next_line().await {
            told.push_str(&line);
            told.push('\n');
        }
        let ran = ended(child).await;
        let code = callback.query_pairs().find(|(name, _)| name == "code");
        Ran {
            stderr: told,
            code_seen: code.map(|(_, code)| code.into_owned()),
            ..ran
        }
    }
}

fn address(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap(),
        url.port_or_known_default().unwrap()
    )
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The code that came back through the browser, when there was one.
    pub code_seen: Option<String>,
}

async fn ended(child: Child) -> Ran {
    let output: Output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .expect("the program ends")
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code_seen: None,
    }
}

/// A running `up` as a process of its own.
pub struct Up {
    child: Child,
    pub ready: serde_json::Value,
    rest: BufReader<tokio::process::ChildStdout>,
}

impl Up {
    pub async fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut command = home.command(&["up", "--ready-json", "--no-open"]);
        let mut child = command.args(arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::time::timeout(Duration::from_secs(60), stdout.read_line(&mut line))
            .await
            .expect("up becomes ready")
            .unwrap();
        if line.is_empty() {
            let ran = ended(child).await;
            panic!("up did not start: {}", ran.stderr);
        }
        Self {
            child,
            ready: serde_json::from_str(&line).unwrap(),
            rest: stdout,
        }
    }

    pub fn url(&self, member: &str) -> &str {
        self.ready.get(member).and_then(|url| url.as_str()).unwrap()
    }

    /// SIGTERM; answers with exit code, what else came on stdout, and stderr.
    pub async fn stop(mut self) -> Ran {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        let mut stdout = String::new();
        while self.rest.read_line(&mut stdout).await.unwrap() > 0 {}
        let ran = ended(self.child).await;
        Ran { stdout, ..ran }
    }
}

/// A stdio MCP server that needs nothing but a shell.
pub fn stdio_server(folder: &Home) -> PathBuf {
    folder.write("weather/server.sh", STDIO_SERVER)
}

const STDIO_SERVER: &str = r#"
echo "warming up" >&2
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}; id=${id%%\}*}
  case $line in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"get_weather","description":"Tells the weather.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}' ;;
    *'"method":"tools/call"'*) result='{"content":[{"type":"text","text":"sunny in '"$CITY"'"}]}' ;;
    *'"id":'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32601,"message":"Method not found"}}'; continue ;;
    *) continue ;;
  esac
  printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}'
done
"#;

/// The words of a file, for comparing it before and after.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
