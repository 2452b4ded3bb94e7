//! Every measurement, in order.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use serde_json::Value;
use testkit::Connection;
use testkit::person::{Code, Person, registration_body, text};
use tokio::io::AsyncWriteExt as _;

use crate::governed;
use crate::load::{Round, rounds};
use crate::process::Server;
use crate::report::{Figure, Line, mib, ms, table};

pub(crate) const EMAIL: &str = "load@example.com";
pub(crate) const PASSWORD: &str = "a long enough password for a load";

/// The servers run here, the load and the echo upstream there.
pub(crate) const SERVER_CORE: usize = 0;

/// What to measure with.
#[derive(Args, Clone)]
pub struct Options {
    /// The release binary.
    #[arg(long)]
    pub(crate) portcullis: PathBuf,
    /// Connections.
    #[arg(long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Seconds of each round.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Rounds; the median by processor time counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// A shared library that delays each fdatasync by 4 ms, for the line that says so.
    #[arg(long)]
    slow_sync: Option<PathBuf>,
    /// Sign-ins before memory is read again.
    #[arg(long, default_value_t = 1000)]
    sign_ins: usize,
    /// Measure only what has this in its name.
    #[arg(long)]
    only: Option<String>,
}

/// Runs and prints.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    let mut sentences = Vec::new();
    if options.wants("oauth") {
        oauth(&options, &mut lines, &mut sentences).await?;
    }
    if options.wants("gateway") {
        gateway(&options, &mut lines, &mut sentences).await?;
    }
    if options.wants("governed") {
        governed::measure(&options, &mut lines, &mut sentences).await?;
    }
    if options.wants("slow") {
        slow_sync(&options, &mut sentences).await?;
    }
    print!("{}", table(&lines));
    println!();
    for sentence in sentences {
        println!("- {sentence}");
    }
    Ok(())
}

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// A running Portcullis on a fresh data directory.
struct Portcullis {
    server: Server,
    directory: PathBuf,
    ready: Value,
    authority: String,
}

impl Portcullis {
    async fn start(
        options: &Options,
        directory: &Path,
        target: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let mut arguments = vec!["up".to_owned()];
        arguments.extend_from_slice(target);
        for argument in [
            "--data-dir",
            &directory.display().to_string(),
            "--no-open",
            "--ready-json",
        ] {
            arguments.push(argument.to_owned());
        }
        // The address is fixed at the first start.
        if !directory.join("authority.json").exists() {
            arguments.extend(["--port".to_owned(), free_port()?.to_string()]);
        }
        let server =
            Server::start(SERVER_CORE, &options.portcullis, &arguments, environment).await?;
        let ready: Value = serde_json::from_str(&server.first_line).context("the ready line")?;
        let url = url::Url::parse(ready["authority_url"].as_str().context("authority_url")?)?;
        let authority = format!(
            "{}:{}",
            url.host_str().context("host")?,
            url.port().context("port")?
        );
        Ok(Self {
            server,
            directory: directory.to_owned(),
            ready,
            authority,
        })
    }

    async fn add_user(&self, options: &Options) -> anyhow::Result<()> {
        let mut child = tokio::process::Command::new(&options.portcullis)
            .args(["users", "add", EMAIL, "--password-stdin", "--data-dir"])
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        child
            .stdin
            .take()
            .context("standard input")?
            .write_all(PASSWORD.as_bytes())
            .await?;
        ensure!(child.wait().await?.success(), "users add failed");
        Ok(())
    }

    fn issuer(&self) -> anyhow::Result<&str> {
        self.ready["issuer"].as_str().context("issuer")
    }
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

pub(crate) async fn connections(authority: &str, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(Connection::open(authority).await?);
    }
    Ok(all)
}

pub(crate) async fn floor(arguments: &[String]) -> anyhow::Result<Server> {
    Server::start(SERVER_CORE, &std::env::current_exe()?, arguments, &[]).await
}

async fn oauth(
    options: &Options,
    lines: &mut Vec<Line>,
    sentences: &mut Vec<String>,
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let portcullis = Portcullis::start(options, directory.path(), &[], &[]).await?;
    sentences.push(format!(
        "first start, from the process to serving: {}",
        ms(portcullis.server.started_in)
    ));
    tokio::time::sleep(Duration::from_secs(2)).await;
    sentences.push(format!(
        "idle memory: {}",
        mib(portcullis.server.usage()?.resident_bytes)
    ));
    portcullis.add_user(options).await?;
    let mut connection = Connection::open(&portcullis.authority).await?;
    let (person, first) =
        Person::sign_in(&mut connection, portcullis.issuer()?, EMAIL, PASSWORD).await?;
    exchange(&mut connection, &person, &first)
        .await
        .context("the first code exchange")?;

    let floor_directory = tempfile::tempdir()?;
    let base = floor(&[
        "floor-oauth".into(),
        "--directory".into(),
        floor_directory.path().display().to_string(),
    ])
    .await?;
    let floor_authority = base.first_line.clone();

    // Codes live a minute, so each round prepares its own; the count bounds the round instead of the clock.
    let per_round = 400 * options.seconds as usize * 4;
    let (mut ours, mut floors, mut refresh_tokens) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let codes = prepare_codes(&portcullis.authority, &person, per_round).await?;
        let (round, usage, tokens) = exchange_all(
            &portcullis.server,
            &portcullis.authority,
            &person,
            codes,
            options.connections,
        )
        .await?;
        refresh_tokens = tokens;
        ours.push(Figure::new(&round, usage.0, usage.1));
        let codes = (0..per_round)
            .map(|_| Code {
                code: base::random_token(&base::OsRandom, "pcc_"),
                verifier: "x".repeat(43),
            })
            .collect();
        let (round, usage, _) =
            exchange_all(&base, &floor_authority, &person, codes, options.connections).await?;
        floors.push(Figure::new(&round, usage.0, usage.1));
    }
    push(lines, "durable code exchange", ours, floors, Some(2.0));

    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    let mut chains: Vec<String> = refresh_tokens
        .into_iter()
        .take(options.connections)
        .collect();
    let path = format!("{}/token", person.issuer_path);
    for _ in 0..options.rounds {
        let (figure, next) = refresh_round(
            options,
            &portcullis.server,
            &portcullis.authority,
            &path,
            &person,
            chains,
        )
        .await?;
        chains = next;
        ours.push(figure);
        let tokens = (0..options.connections)
            .map(|_| base::random_token(&base::OsRandom, "pcr_"))
            .collect();
        floors.push(
            refresh_round(options, &base, &floor_authority, "/token", &person, tokens)
                .await?
                .0,
        );
    }
    push(lines, "durable refresh", ours, floors, Some(2.0));

    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let path = format!("{}/register", person.issuer_path);
        ours.push(register_round(options, &portcullis.server, &portcullis.authority, &path).await?);
        floors.push(register_round(options, &base, &floor_authority, "/register").await?);
    }
    push(lines, "registration", ours, floors, Some(3.0));

    let metadata = format!(
        "/.well-known/oauth-authorization-server{}",
        person.issuer_path
    );
    for (name, path) in [("metadata", metadata.as_str()), ("JWKS", "/jwks.json")] {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push(get_round(options, &portcullis.server, &portcullis.authority, path).await?);
            floors.push(get_round(options, &base, &floor_authority, "/hello").await?);
        }
        push(
            lines,
            &format!("{name} (floor: hello world)"),
            ours,
            floors,
            Some(1.5),
        );
    }
    sentences.push(format!(
        "memory after this load: {}",
        mib(portcullis.server.usage()?.resident_bytes)
    ));

    // The first one has lain idle for longer than the server keeps such a connection.
    let mut connection = Connection::open(&portcullis.authority).await?;
    let begun = Instant::now();
    for _ in 0..options.sign_ins {
        Person::sign_in(&mut connection, portcullis.issuer()?, EMAIL, PASSWORD).await?;
    }
    sentences.push(format!(
        "memory after {} sign-ins ({:.1} a second, one after the other): {}",
        options.sign_ins,
        options.sign_ins as f64 / begun.elapsed().as_secs_f64(),
        mib(portcullis.server.usage()?.resident_bytes)
    ));
    base.stop().await?;
    portcullis.server.stop().await?;
    let again = Portcullis::start(options, directory.path(), &[], &[]).await?;
    sentences.push(format!(
        "later start, from the process to serving: {}",
        ms(again.server.started_in)
    ));
    again.server.stop().await
}

pub(crate) fn push(
    lines: &mut Vec<Line>,
    what: &str,
    ours: Vec<Figure>,
    floors: Vec<Figure>,
    must: Option<f64>,
) {
    lines.push(Line {
        what: what.to_owned(),
        ours: Figure::median(ours),
        floor: Some(Figure::median(floors)),
        must,
    });
}

async fn exchange(
    connection: &mut Connection,
    person: &Person,
    code: &Code,
) -> anyhow::Result<String> {
    let request = Request::post(format!("{}/token", person.issuer_path))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = connection.send(request, person.exchange_form(code)).await?;
    ensure!(
        answer.status() == StatusCode::OK,
        "the token endpoint answered {}: {}",
        answer.status(),
        text(&answer)
    );
    let answer: Value = serde_json::from_slice(answer.body())?;
    Ok(answer["refresh_token"]
        .as_str()
        .context("refresh_token")?
        .to_owned())
}

async fn prepare_codes(
    authority: &str,
    person: &Person,
    count: usize,
) -> anyhow::Result<Vec<Code>> {
    let workers: Vec<_> = connections(authority, 8)
        .await?
        .into_iter()
        .map(|connection| (connection, Vec::new(), person.clone(), count / 8))
        .collect();
    let (_, workers) = rounds(
        workers,
        Duration::from_secs(50),
        |(mut connection, mut codes, person, wanted)| async move {
            codes.push(person.approve(&mut connection).await?);
            let more = codes.len() < wanted;
            Ok(((connection, codes, person, wanted), more))
        },
    )
    .await?;
    Ok(workers
        .into_iter()
        .flat_map(|(_, codes, _, _)| codes)
        .collect())
}

type Usages = (crate::process::Usage, crate::process::Usage);

async fn exchange_all(
    server: &Server,
    authority: &str,
    person: &Person,
    codes: Vec<Code>,
    count: usize,
) -> anyhow::Result<(Round, Usages, Vec<String>)> {
    let floor_path = server.first_line.starts_with("127.0.0.1");
    let path = if floor_path {
        "/token".to_owned()
    } else {
        format!("{}/token", person.issuer_path)
    };
    let share = codes.len() / count;
    let mut codes = codes.into_iter();
    let workers: Vec<_> = connections(authority, count)
        .await?
        .into_iter()
        .map(|connection| {
            (
                connection,
                codes
                    .by_ref()
                    .take(share)
                    .map(|code| person.exchange_form(&code))
                    .collect::<Vec<_>>(),
                Vec::new(),
                path.clone(),
            )
        })
        .collect();
    let before = server.usage()?;
    let (round, workers) = rounds(
        workers,
        Duration::from_secs(60),
        |(mut connection, mut forms, mut tokens, path)| async move {
            let Some(form) = forms.pop() else {
                return Ok(((connection, forms, tokens, path), false));
            };
            tokens.push(token_request(&mut connection, &path, form).await?);
            Ok(((connection, forms, tokens, path), true))
        },
    )
    .await?;
    let usages = (before, server.usage()?);
    Ok((
        round,
        usages,
        workers
            .into_iter()
            .flat_map(|(_, _, tokens, _)| tokens.into_iter().next_back())
            .collect(),
    ))
}

/// Sends a token request and gives the refresh token of the answer.
async fn token_request(
    connection: &mut Connection,
    path: &str,
    form: String,
) -> anyhow::Result<String> {
    let request =
        Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = connection.send(request, form).await?;
    if answer.status() != StatusCode::OK {
        bail!("{path} answered {}: {}", answer.status(), text(&answer));
    }
    let body = answer.body();
    let name = b"\"refresh_token\":\"";
    let start = body
        .windows(name.len())
        .position(|window| window == name)
        .context("refresh_token")?
        + name.len();
    let end = start
        + body[start..]
            .iter()
            .position(|byte| *byte == b'"')
            .context("its end")?;
    Ok(String::from_utf8(body[start..end].to_vec())?)
}

async fn refresh_round(
    options: &Options,
    server: &Server,
    authority: &str,
    path: &str,
    person: &Person,
    tokens: Vec<String>,
) -> anyhow::Result<(Figure, Vec<String>)> {
    let workers: Vec<_> = connections(authority, tokens.len())
        .await?
        .into_iter()
        .zip(tokens)
        .map(|(connection, token)| (connection, token, person.clone(), path.to_owned()))
        .collect();
    let before = server.usage()?;
    let (round, workers) = rounds(
        workers,
        Duration::from_secs(options.seconds),
        |(mut connection, token, person, path)| async move {
            let form = person.refresh_form(&token);
            let token = token_request(&mut connection, &path, form).await?;
            Ok(((connection, token, person, path), true))
        },
    )
    .await?;
    let figure = Figure::new(&round, before, server.usage()?);
    Ok((
        figure,
        workers.into_iter().map(|(_, token, _, _)| token).collect(),
    ))
}

async fn register_round(
    options: &Options,
    server: &Server,
    authority: &str,
    path: &str,
) -> anyhow::Result<Figure> {
    let workers: Vec<_> = connections(authority, options.connections)
        .await?
        .into_iter()
        .map(|connection| (connection, path.to_owned()))
        .collect();
    let before = server.usage()?;
    let (round, _) = rounds(
        workers,
        Duration::from_secs(options.seconds),
        |(mut connection, path)| async move {
            let name = base::random_token(&base::OsRandom, "Load ");
            let request = Request::post(&path).header(header::CONTENT_TYPE, "application/json");
            let answer = connection.send(request, registration_body(&name)).await?;
            ensure!(
                answer.status() == StatusCode::CREATED,
                "{path} answered {}: {}",
                answer.status(),
                text(&answer)
            );
            Ok(((connection, path), true))
        },
    )
    .await?;
    Ok(Figure::new(&round, before, server.usage()?))
}

async fn get_round(
    options: &Options,
    server: &Server,
    authority: &str,
    path: &str,
) -> anyhow::Result<Figure> {
    let workers: Vec<_> = connections(authority, options.connections)
        .await?
        .into_iter()
        .map(|connection| (connection, path.to_owned()))
        .collect();
    let before = server.usage()?;
    let (round, _) = rounds(
        workers,
        Duration::from_secs(options.seconds),
        |(mut connection, path)| async move {
            let answer = connection.send(Request::get(&path), Bytes::new()).await?;
            ensure!(
                answer.status() == StatusCode::OK,
                "{path} answered {}",
                answer.status()
            );
            Ok(((connection, path), true))
        },
    )
    .await?;
    Ok(Figure::new(&round, before, server.usage()?))
}

async fn gateway(
    options: &Options,
    lines: &mut Vec<Line>,
    sentences: &mut Vec<String>,
) -> anyhow::Result<()> {
    let echo = Server::start(
        1 - SERVER_CORE,
        &std::env::current_exe()?,
        &["echo".into()],
        &[],
    )
    .await?;
    let upstream = echo.first_line.clone();
    let directory = tempfile::tempdir()?;
    let portcullis = Portcullis::start(
        options,
        directory.path(),
        &[format!("http://{upstream}/mcp")],
        &[],
    )
    .await?;
    portcullis.add_user(options).await?;
    let mut connection = Connection::open(&portcullis.authority).await?;
    let (person, code) =
        Person::sign_in(&mut connection, portcullis.issuer()?, EMAIL, PASSWORD).await?;
    let request = Request::post(format!("{}/token", person.issuer_path))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = connection
        .send(request, person.exchange_form(&code))
        .await?;
    let answer: Value = serde_json::from_slice(answer.body())?;
    let token = answer["access_token"]
        .as_str()
        .context("access_token")?
        .to_owned();
    let mcp_path = url::Url::parse(portcullis.ready["mcp_url"].as_str().context("mcp_url")?)?
        .path()
        .to_owned();

    let proxy = floor(&["floor-proxy".into(), "--upstream".into(), upstream.clone()]).await?;
    let (mut direct, mut ours, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        direct.push(
            call_round(
                options,
                &echo,
                &upstream,
                "/mcp",
                &token,
                options.connections,
            )
            .await?,
        );
        floors.push(
            call_round(
                options,
                &proxy,
                &proxy.first_line,
                "/mcp",
                &token,
                options.connections,
            )
            .await?,
        );
        ours.push(
            call_round(
                options,
                &portcullis.server,
                &portcullis.authority,
                &mcp_path,
                &token,
                options.connections,
            )
            .await?,
        );
    }
    let (direct, one) = (Figure::median(direct), Figure::median(ours.clone()));
    sentences.push(format!(
        "gateway call, {} connections: added p50 {:.2} ms, p99 {:.2} ms over the upstream directly ({:.0} calls/s, {:.2} / {:.2} ms)",
        options.connections,
        one.p50_ms - direct.p50_ms,
        one.p99_ms - direct.p99_ms,
        direct.per_second,
        direct.p50_ms,
        direct.p99_ms
    ));
    push(
        lines,
        "gateway call (floor: hyper proxy, cached token)",
        ours,
        floors,
        Some(2.5),
    );
    let single_direct = call_round(options, &echo, &upstream, "/mcp", &token, 1).await?;
    let single = call_round(
        options,
        &portcullis.server,
        &portcullis.authority,
        &mcp_path,
        &token,
        1,
    )
    .await?;
    sentences.push(format!(
        "one connection: p50 {:.3} ms through the gateway, {:.3} ms directly",
        single.p50_ms, single_direct.p50_ms
    ));
    sentences.push(format!(
        "memory after the gateway load: {}",
        mib(portcullis.server.usage()?.resident_bytes)
    ));
    proxy.stop().await?;
    portcullis.server.stop().await?;
    echo.stop().await
}

pub(crate) async fn call_round(
    options: &Options,
    server: &Server,
    authority: &str,
    path: &str,
    token: &str,
    count: usize,
) -> anyhow::Result<Figure> {
    let bearer = format!("Bearer {token}");
    let workers: Vec<_> = connections(authority, count)
        .await?
        .into_iter()
        .map(|connection| (connection, path.to_owned(), bearer.clone(), 0_u64))
        .collect();
    let before = server.usage()?;
    let (round, _) = rounds(workers, Duration::from_secs(options.seconds), |(mut connection, path, bearer, id)| async move {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"hello"}}}}}}"#);
        let request = Request::post(&path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .header(header::AUTHORIZATION, &bearer);
        let answer = connection.send(request, body).await?;
        ensure!(answer.status() == StatusCode::OK, "{path} answered {}: {}", answer.status(), text(&answer));
        Ok(((connection, path, bearer, id + 1), true))
    })
    .await?;
    Ok(Figure::new(&round, before, server.usage()?))
}

/// Throughput comes from grouping: with each sync at 4 ms, 64 clients still exchange thousands of codes a second.
async fn slow_sync(options: &Options, sentences: &mut Vec<String>) -> anyhow::Result<()> {
    let Some(library) = &options.slow_sync else {
        sentences.push("slow disk: not measured (no --slow-sync library)".to_owned());
        return Ok(());
    };
    let directory = tempfile::tempdir()?;
    let environment = [
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("PORTCULLIS_SYNC_DELAY_MS".to_owned(), "4".to_owned()),
    ];
    let portcullis = Portcullis::start(options, directory.path(), &[], &environment).await?;
    portcullis.add_user(options).await?;
    let mut connection = Connection::open(&portcullis.authority).await?;
    let (person, _) =
        Person::sign_in(&mut connection, portcullis.issuer()?, EMAIL, PASSWORD).await?;
    let codes = prepare_codes(&portcullis.authority, &person, 6400).await?;
    let (round, usage, _) = exchange_all(
        &portcullis.server,
        &portcullis.authority,
        &person,
        codes,
        64,
    )
    .await?;
    let figure = Figure::new(&round, usage.0, usage.1);
    sentences.push(format!("fdatasync delayed to 4 ms, 64 clients: {:.0} code exchanges/s, p50 {:.1} ms, p99 {:.1} ms (at least 2,000/s)", figure.per_second, figure.p50_ms, figure.p99_ms));
    portcullis.server.stop().await
}
