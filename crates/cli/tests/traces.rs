//! Traces say what happened and nothing that is secret, and a collector that is away or hangs slows nobody.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{EMAIL, Home, PASSWORD};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use testkit::echo::{Echo, EchoSettings};
use testkit::person::Person;
use testkit::{Connection, McpClient, unused_port};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;

/// A caller's own trace.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PARENT_TRACE: [u8; 16] = [
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];

/// Takes everything that is sent to it, heads and bodies, as bytes; or takes it and never answers.
async fn collector(answers: bool) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let mut part = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut part).await {
                    bytes.extend_from_slice(&part[..count]);
                    kept.lock().unwrap().extend_from_slice(&part[..count]);
                    if answers && is_whole(&bytes) {
                        bytes.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    (port, seen)
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    bytes.len() >= end + 4 + length
}

fn holds(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|part| part == words)
}

async fn serve(home: &Home, config: &Path) -> Child {
    let mut command = home.command(&["serve", "--ready-json", "--config"]);
    command.env_remove("PORTCULLIS_DATA_DIR").arg(config);
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let reading = stdout.read_line(&mut line);
    let _ = tokio::time::timeout(Duration::from_secs(60), reading).await;
    if line.is_empty() {
        let output = child.wait_with_output().await.unwrap();
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    }
    child
}

/// Ends it as an operator does, and gives its log.
async fn stop(child: Child) -> String {
    let pid = child.id().unwrap().to_string();
    let killing = tokio::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    killing.await.unwrap();
    let ending = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    String::from_utf8(ending.await.unwrap().unwrap().stderr).unwrap()
}

async fn done(home: &Home, config: &Path, arguments: &[&str], input: &str) {
    let mut command = home.command(arguments);
    command.env_remove("PORTCULLIS_DATA_DIR");
    command.arg("--config").arg(config).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A node with an echo upstream and a person.
async fn node(home: &Home, traces: &str, echo: &Echo) -> (u16, Child) {
    let port = unused_port().await;
    let text = format!(
        "public_url = \"http://localhost:{port}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{port}\"]\n{traces}",
        home.data()
    );
    let config = home.write("portcullis.toml", &text);
    let child = serve(home, &config).await;
    let add = ["users", "add", EMAIL, "--password-stdin"];
    done(home, &config, &add, PASSWORD).await;
    done(home, &config, &["servers", "add", "echo", &echo.url()], "").await;
    (port, child)
}

/// Signs in and calls a tool; gives what is secret about it.
async fn sign_in_and_call(port: u16) -> Vec<String> {
    let mut web = Connection::open(&format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    web.authority = format!("localhost:{port}");
    let issuer = format!("http://localhost:{port}/servers/echo");
    for _ in 0..60 {
        let path = "/.well-known/oauth-authorization-server/servers/echo";
        let answer = web.send(Request::get(path), "").await.unwrap();
        if answer.status() == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (person, code) = Person::sign_in(&mut web, &issuer, EMAIL, PASSWORD)
        .await
        .unwrap();
    let request = Request::post("/servers/echo/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = web
        .send(request, person.exchange_form(&code))
        .await
        .unwrap();
    let tokens: Value = serde_json::from_slice(answer.body()).unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    let mut client = McpClient::new(format!("http://localhost:{port}/mcp/echo"))
        .with_bearer(token)
        .with_header("traceparent", PARENT)
        .with_header("tracestate", "congo=t61rcWkgMzE");
    client.initialize().await;
    let names = client.tool_names().await;
    client
        .call_tool(&names[0], json!({"text": "canary-argument"}))
        .await;
    let hostile = "canary-tool";
    client.call_tool(hostile, json!({"canary-key": 1})).await;
    let refused = Request::get("/canary-path?canary-query=1").header("canary-header", "x");
    web.send(refused, "").await.unwrap();
    vec![
        code.code,
        code.verifier,
        person.cookie,
        token.to_owned(),
        tokens["refresh_token"]
            .as_str()
            .unwrap_or("canary")
            .to_owned(),
        EMAIL.to_owned(),
        PASSWORD.to_owned(),
        "canary".to_owned(),
        "congo=".to_owned(),
    ]
}

fn parents(echo: &Echo) -> Vec<String> {
    let requests = echo.requests();
    let values = requests
        .iter()
        .filter(|request| {
            holds(&request.body, b"tools/list")
                && request.headers.contains_key("portcullis-identity")
        })
        .filter_map(|request| request.headers.get("traceparent"));
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

fn recording() -> EchoSettings {
    EchoSettings {
        record: true,
        ..EchoSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_gets_spans_with_their_names_and_no_secret_and_no_strangers_parent() {
    let (home, echo) = (Home::new(), Echo::start(recording()).await);
    let (collector, seen) = collector(true).await;
    let headers = home.write("headers", "api-key: key-of-the-collector\n");
    let traces = format!(
        "[log]\nformat = \"json\"\n[traces]\nendpoint = \"http://127.0.0.1:{collector}\"\nheaders_file = {headers:?}\n\
         service_name = \"gate-7\"\n"
    );
    let (port, child) = node(&home, &traces, &echo).await;
    let secrets = sign_in_and_call(port).await;
    let log = stop(child).await;
    let seen = seen.lock().unwrap().clone();
    for there in [
        "POST /v1/traces",
        "api-key: key-of-the-collector",
        "gate-7",
        "judge",
        "upstream",
        "store write",
        "tools/call",
        "/servers/{slug}/token",
        "http.route",
        "http.response.status_code",
        "portcullis.request.id",
        "portcullis.server",
    ] {
        assert!(holds(&seen, there.as_bytes()), "{there} is in no span");
    }
    for secret in &secrets {
        assert!(secret.len() >= 4, "{secret:?}");
        assert!(!holds(&seen, secret.as_bytes()), "{secret} was sent");
    }
    assert!(!log.contains("key-of-the-collector"), "{log}");
    assert!(
        !log.contains("portcullis_trace"),
        "spans are no part of the log: {log}"
    );
    // The caller is no proxy of ours: its trace is not gone on with, and the upstream is told of ours.
    assert!(!holds(&seen, &PARENT_TRACE));
    let parents = parents(&echo);
    assert!(!parents.is_empty());
    for parent in parents {
        assert!(
            !parent.contains("0af7651916cd43dd8448eb211c80319c"),
            "{parent}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_trace_goes_on_and_without_traces_a_callers_header_passes_as_it_came() {
    let (home, echo) = (Home::new(), Echo::start(recording()).await);
    let (collector, seen) = collector(true).await;
    let traces = format!(
        "[proxy]\ntrusted = [\"127.0.0.1\"]\n[traces]\nendpoint = \"http://127.0.0.1:{collector}\"\n"
    );
    let (port, child) = node(&home, &traces, &echo).await;
    sign_in_and_call(port).await;
    stop(child).await;
    assert!(holds(&seen.lock().unwrap(), &PARENT_TRACE));
    for parent in parents(&echo) {
        assert!(
            parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
            "{parent}"
        );
        assert_ne!(parent, PARENT, "the span is ours");
    }

    let (home, echo) = (Home::new(), Echo::start(recording()).await);
    let (port, child) = node(&home, "", &echo).await;
    sign_in_and_call(port).await;
    stop(child).await;
    assert_eq!(parents(&echo), [PARENT]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_hangs_slows_no_request_and_is_told_once() {
    let (hanging, _seen) = collector(false).await;
    for collector in [hanging, unused_port().await] {
        let (home, echo) = (Home::new(), Echo::start(recording()).await);
        let traces = format!("[traces]\nendpoint = \"http://127.0.0.1:{collector}\"\n");
        let (port, child) = node(&home, &traces, &echo).await;
        sign_in_and_call(port).await;
        let mut web = Connection::open(&format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        web.authority = format!("localhost:{port}");
        // More spans than may wait, over more than one time limit of the sender.
        let mut slowest = Duration::ZERO;
        let until = Instant::now() + Duration::from_secs(9);
        let mut asked = 0;
        while Instant::now() < until || asked < 3000 {
            let began = Instant::now();
            let answer = web.send(Request::get("/jwks.json"), "").await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            slowest = slowest.max(began.elapsed());
            asked += 1;
            if asked % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        let began = Instant::now();
        let log = stop(child).await;
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
        let told = log.matches("traces cannot be sent").count();
        assert_eq!(told, 1, "{log}");
    }
}
