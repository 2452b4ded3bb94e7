//! The gateway in front of a server with many tools, whose policy has many rules: calls, lists, streams.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::{Request, StatusCode, header};
use serde_json::Value;
use testkit::Connection;
use testkit::person::{Person, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::echo::{EVENTS, name_of};
use crate::load::{paced, rounds};
use crate::process::Server;
use crate::report::{Figure, Line, mib};
use crate::run::{
    EMAIL, Options, PASSWORD, SERVER_CORE, call_round, connections, floor, free_port, push,
};

const TOOLS: usize = 200;

/// Half of them take a tool from clients that registered themselves, as the load's did; half give one to its person.
const RULES: usize = 50;

const VISIBLE: usize = TOOLS - RULES / 2;

const STREAMS: usize = 5_000;

const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;

const STREAM: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"stream","arguments":{}}}"#;

/// What is measured, and what stands in front of the same upstream beside it.
struct Scene {
    echo: Server,
    portcullis: Server,
    authority: String,
    token: String,
    proxy: Server,
    haproxy: Option<Server>,
    _directory: tempfile::TempDir,
}

const MCP_PATH: &str = "/mcp/echo";

/// Measures and adds to both.
pub async fn measure(
    options: &Options,
    lines: &mut Vec<Line>,
    sentences: &mut Vec<String>,
) -> anyhow::Result<()> {
    let scene = Scene::start(options).await?;
    calls(options, &scene, lines, sentences).await?;
    lists(options, &scene, lines, sentences).await?;
    long_answers(options, &scene, lines).await?;
    idle_streams(&scene, sentences).await?;
    scene.stop().await
}

impl Scene {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let echo = Server::start(
            1 - SERVER_CORE,
            &std::env::current_exe()?,
            &["echo".into(), "--tools".into(), TOOLS.to_string()],
            &[],
        )
        .await?;
        let upstream = echo.first_line.clone();
        let port = free_port()?;
        let authority = format!("localhost:{port}");
        let config = directory.path().join("portcullis.toml");
        // Everybody here comes from one address, and is one person.
        let written = format!(
            "public_url = \"http://{authority}\"\ndata_dir = {:?}\n\
             [listen]\naddresses = [\"127.0.0.1:{port}\"]\n\
             [limits]\nconnections = 20000\nconnections_per_address = 20000\nopen_calls = 20000\n\
             [log]\nfilter = \"warn\"\n",
            directory.path().join("data")
        );
        std::fs::write(&config, written)?;
        let portcullis = Server::start(
            SERVER_CORE,
            &options.portcullis,
            &[
                "serve".into(),
                "--ready-json".into(),
                "--config".into(),
                config.display().to_string(),
            ],
            &[],
        )
        .await?;
        let told = |arguments: Vec<String>, input: &'static str| {
            command(&options.portcullis, &config, arguments, input)
        };
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        told(
            words(&format!("users add {EMAIL} --password-stdin")),
            PASSWORD,
        )
        .await?;
        told(
            words(&format!("servers add echo http://{upstream}/mcp")),
            "",
        )
        .await?;
        // What it offers is read at once, but not in no time; enforcing is refused before.
        let begun = Instant::now();
        while let Err(error) = told(words("servers set echo --mode enforce"), "").await {
            ensure!(begun.elapsed() < Duration::from_secs(20), "{error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for index in 0..RULES {
            let tool = name_of(2 + index);
            let rule = match index % 2 {
                0 => format!("rules add echo deny --unverified --tool {tool}"),
                _ => format!("rules add echo allow --person {EMAIL} --tool {tool}"),
            };
            told(words(&rule), "").await?;
        }
        let token = sign_in(&authority).await?;
        let proxy = floor(&["floor-proxy".into(), "--upstream".into(), upstream.clone()]).await?;
        let haproxy = haproxy(directory.path(), &upstream).await?;
        let scene = Self {
            echo,
            portcullis,
            authority,
            token,
            proxy,
            haproxy,
            _directory: directory,
        };
        scene.check_list().await?;
        Ok(scene)
    }

    /// That what is measured is a list with less in it.
    async fn check_list(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let mut connection = Connection::open(&self.authority).await?;
            let answer = connection.send(mcp(MCP_PATH, &self.token), LIST).await?;
            let listed: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let count = listed["result"]["tools"].as_array().map_or(0, Vec::len);
            if count == VISIBLE {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "{count} tools are listed and not {VISIBLE}: {}",
                text(&answer)
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        if let Some(haproxy) = self.haproxy {
            haproxy.stop().await?;
        }
        self.proxy.stop().await?;
        self.portcullis.stop().await?;
        self.echo.stop().await
    }
}

/// Works beside the running node.
async fn command(
    program: &Path,
    config: &Path,
    arguments: Vec<String>,
    input: &str,
) -> anyhow::Result<()> {
    let mut child = tokio::process::Command::new(program)
        .args(&arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

async fn sign_in(authority: &str) -> anyhow::Result<String> {
    let issuer = format!("http://{authority}/servers/echo");
    let mut connection = Connection::open(authority).await?;
    let (person, code) = Person::sign_in(&mut connection, &issuer, EMAIL, PASSWORD).await?;
    let request = Request::post(format!("{}/token", person.issuer_path))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = connection
        .send(request, person.exchange_form(&code))
        .await?;
    let answer: Value = serde_json::from_slice(answer.body())?;
    let token = answer["access_token"].as_str().context("access_token")?;
    Ok(token.to_owned())
}

/// HAProxy with one thread; nothing where it is not installed.
async fn haproxy(directory: &Path, upstream: &str) -> anyhow::Result<Option<Server>> {
    const PROGRAM: &str = "/usr/sbin/haproxy";
    if !Path::new(PROGRAM).exists() {
        return Ok(None);
    }
    let address = format!("127.0.0.1:{}", free_port()?);
    let config = directory.join("haproxy.cfg");
    let written = format!(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend in\n  bind {address}\n  default_backend out\nbackend out\n  server echo {upstream}\n"
    );
    std::fs::write(&config, written)?;
    let arguments = ["-db".into(), "-f".into(), config.display().to_string()];
    Server::start_quiet(SERVER_CORE, PROGRAM, &arguments, &address)
        .await
        .map(Some)
}

fn mcp(path: &str, token: &str) -> http::request::Builder {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
}

async fn calls(
    options: &Options,
    scene: &Scene,
    lines: &mut Vec<Line>,
    sentences: &mut Vec<String>,
) -> anyhow::Result<()> {
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (token, count) = (&scene.token, options.connections);
        let proxy = &scene.proxy;
        floors.push(call_round(options, proxy, &proxy.first_line, "/mcp", token, count).await?);
        ours.push(
            call_round(
                options,
                &scene.portcullis,
                &scene.authority,
                MCP_PATH,
                token,
                count,
            )
            .await?,
        );
    }
    let per_second = Figure::median(ours.clone()).per_second / 2.0;
    push(
        lines,
        &format!("gateway call, {TOOLS} tools, {RULES} rules (floor: hyper proxy, cached token)"),
        ours,
        floors,
        Some(2.5),
    );
    let mut p99 = Vec::new();
    for _ in 0..options.rounds {
        let through = half_load(options, scene, &scene.authority, MCP_PATH, per_second).await?;
        let plain = half_load(options, scene, &scene.proxy.first_line, "/mcp", per_second).await?;
        p99.push((through - plain, through, plain));
    }
    p99.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (added, through, plain) = p99[p99.len() / 2];
    sentences.push(format!(
        "the same at half load ({per_second:.0} calls/s): p99 {through:.2} ms, through the plain proxy {plain:.2} ms: {added:.2} ms more (at most 2 ms)"
    ));
    Ok(())
}

/// The 99th percentile in milliseconds.
async fn half_load(
    options: &Options,
    scene: &Scene,
    authority: &str,
    path: &str,
    per_second: f64,
) -> anyhow::Result<f64> {
    let workers = connections(authority, options.connections)
        .await?
        .into_iter()
        .map(|connection| (connection, path.to_owned(), scene.token.clone()))
        .collect();
    let seconds = Duration::from_secs(options.seconds);
    let round = paced(workers, per_second, seconds, |(mut connection, path, token)| async move {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}"#;
        let answer = connection.send(mcp(&path, &token), body).await?;
        ensure!(answer.status() == StatusCode::OK, "{}", text(&answer));
        Ok((connection, path, token))
    })
    .await?;
    Ok(round.percentile_ms(0.99))
}

/// One message again and again, whose answer is long.
async fn same_round(
    options: &Options,
    (server, authority, path): (&Server, &str, &str),
    scene: &Scene,
    (body, count): (&'static str, usize),
) -> anyhow::Result<Figure> {
    let workers = connections(authority, count)
        .await?
        .into_iter()
        .map(|connection| (connection, path.to_owned(), scene.token.clone()))
        .collect();
    let before = server.usage()?;
    let seconds = Duration::from_secs(options.seconds);
    let (round, _) = rounds(
        workers,
        seconds,
        move |(mut connection, path, token)| async move {
            let answer = connection.send(mcp(&path, &token), body).await?;
            ensure!(
                answer.status() == StatusCode::OK && answer.body().len() > 20_000,
                "{path} answered {} with {} bytes",
                answer.status(),
                answer.body().len()
            );
            Ok(((connection, path, token), true))
        },
    )
    .await?;
    Ok(Figure::new(&round, before, server.usage()?))
}

async fn lists(
    options: &Options,
    scene: &Scene,
    lines: &mut Vec<Line>,
    sentences: &mut Vec<String>,
) -> anyhow::Result<()> {
    let ours = (&scene.portcullis, scene.authority.as_str(), MCP_PATH);
    let proxy = (&scene.proxy, scene.proxy.first_line.as_str(), "/mcp");
    let (mut through, mut plain) = (Vec::new(), Vec::new());
    let (mut one_through, mut one_plain) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        plain.push(same_round(options, proxy, scene, (LIST, options.connections)).await?);
        through.push(same_round(options, ours, scene, (LIST, options.connections)).await?);
        one_plain.push(same_round(options, proxy, scene, (LIST, 1)).await?);
        one_through.push(same_round(options, ours, scene, (LIST, 1)).await?);
    }
    let (one_through, one_plain) = (Figure::median(one_through), Figure::median(one_plain));
    sentences.push(format!(
        "tools/list of {TOOLS} tools, of which {VISIBLE} may be called: {:.0} µs of processor more than the plain proxy; one connection: p50 {:.2} ms, {:.2} ms through the plain proxy (filtered in under 1 ms)",
        one_through.cpu_us - one_plain.cpu_us,
        one_through.p50_ms,
        one_plain.p50_ms
    ));
    let what = format!("tools/list of {TOOLS} tools, filtered (floor: hyper proxy, unfiltered)");
    push(lines, &what, through, plain, None);
    Ok(())
}

async fn long_answers(
    options: &Options,
    scene: &Scene,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let what = format!("SSE answer of {EVENTS} events");
    let Some(haproxy) = &scene.haproxy else {
        bail!("{what}: its floor is HAProxy, which is not installed (Debian package haproxy)");
    };
    let ours = (&scene.portcullis, scene.authority.as_str(), MCP_PATH);
    let floor = (haproxy, haproxy.first_line.as_str(), "/mcp");
    let (mut through, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        floors.push(same_round(options, floor, scene, (STREAM, options.connections)).await?);
        through.push(same_round(options, ours, scene, (STREAM, options.connections)).await?);
    }
    push(
        lines,
        &format!("{what} (floor: HAProxy)"),
        through,
        floors,
        Some(1.5),
    );
    Ok(())
}

async fn idle_streams(scene: &Scene, sentences: &mut Vec<String>) -> anyhow::Result<()> {
    let before = scene.portcullis.usage()?.resident_bytes;
    let mut open = Vec::with_capacity(STREAMS);
    for index in 0..STREAMS {
        let stream = idle_stream(scene).await;
        open.push(stream.with_context(|| format!("stream {index}"))?);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = scene.portcullis.usage()?.resident_bytes;
    for (index, stream) in open.iter().enumerate() {
        let ended = stream.try_read(&mut [0; 64]);
        let waits = matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        ensure!(
            waits,
            "stream {index} of {STREAMS} did not stay open: {ended:?}"
        );
    }
    sentences.push(format!(
        "{STREAMS} idle SSE streams: {} ({} before; under 1 GB)",
        mib(after),
        mib(before)
    ));
    Ok(())
}

/// Opens a listening stream and waits for what comes first on it.
async fn idle_stream(scene: &Scene) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(&scene.authority).await?;
    let request = format!(
        "GET {MCP_PATH} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer {}\r\n\r\n",
        scene.authority, scene.token
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let mut piece = [0; 2048];
    while !head.windows(6).any(|window| window == b": open") {
        let count =
            tokio::time::timeout(Duration::from_secs(20), stream.read(&mut piece)).await??;
        ensure!(
            count > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&head)
        );
        head.extend_from_slice(&piece[..count]);
    }
    let ok = head.starts_with(b"HTTP/1.1 200");
    ensure!(ok, "answered {:?}", String::from_utf8_lossy(&head));
    Ok(stream)
}
