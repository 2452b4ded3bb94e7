//! `serve` behind nginx, Caddy and HAProxy, each with the configuration that `deploy/proxies` gives to operators: people
//! sign in through it, answers stream as they come, addresses are right whatever a caller claims, and a node may be away.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "proxies/one_away.rs"]
mod one_away;
mod support;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use support::{EMAIL, PASSWORD, root};
use testkit::echo::{Echo, EchoSettings, tool};
use testkit::person::Person;
use testkit::{Connection, unused_port};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The name in the configurations.
const NAME: &str = "mcp.example.com";
const STEP: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug)]
enum Proxy {
    Nginx,
    Caddy,
    Haproxy,
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_our_configuration_streams_and_tells_addresses() {
    stands_in_front(Proxy::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_with_our_configuration_streams_and_tells_addresses() {
    stands_in_front(Proxy::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_with_our_configuration_streams_and_tells_addresses() {
    stands_in_front(Proxy::Haproxy).await;
}

async fn stands_in_front(proxy: Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path()).await;
    let chain = certificate(folder.path());
    let https = SocketAddr::from(([127, 0, 0, 1], unused_port().await));
    let http = SocketAddr::from(([127, 0, 0, 1], unused_port().await));
    let nodes = Nodes {
        port: node.listen.port(),
        operations: node.operations.port(),
        are_two: false,
    };
    let mut running = proxy.start(folder.path(), &nodes, https, http);
    listens(https, &mut running).await;

    // A person signs in, with cookies that browsers keep only under https, and a client gets its token.
    let issuer = format!("https://{NAME}/servers/echo");
    let mut browser = eventually(async || Connection::open_tls(https, NAME, &chain).await).await;
    let (person, code) = Person::sign_in(&mut browser, &issuer, EMAIL, PASSWORD)
        .await
        .unwrap();
    assert!(person.cookie.contains("__Host-"), "{}", person.cookie);
    let exchange = Request::post("/servers/echo/token")
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = browser
        .send(exchange, person.exchange_form(&code))
        .await
        .unwrap();
    let tokens: Value = serde_json::from_slice(answer.body()).unwrap();
    let token = tokens["access_token"].as_str().unwrap();

    let client = client(&chain, https, None);
    streams(&client, token).await;
    for (from, claimed) in [
        ("127.0.0.2", None),
        ("127.0.0.3", Some("203.0.113.9, 198.51.100.7")),
    ] {
        let client = self::client(&chain, https, Some(from.parse().unwrap()));
        let reason = format!("of {from}");
        refused(&client, &reason, claimed).await;
        assert_eq!(node.logged_address(&reason).await, from, "{proxy:?}");
    }

    // Who types http is sent to https, with path and query.
    let plain = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .resolve(NAME, http)
        .build()
        .unwrap();
    let answer = plain
        .get(format!("http://{NAME}/sign-in?next=1"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 308);
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(
        location.starts_with("https://mcp.example.com"),
        "{location}"
    );
    assert!(location.ends_with("/sign-in?next=1"), "{location}");
    running.kill().await.unwrap();
}

/// Five events 400 ms apart: the first is there long before the last, also inside HTTP/2.
async fn streams(client: &reqwest::Client, token: &str) {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "count", "arguments": {"events": 4, "ms": STEP.as_millis()}}});
    let answer = client
        .post(format!("https://{NAME}/mcp/echo"))
        .bearer_auth(token)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    let begun = Instant::now();
    let mut arrivals = Vec::new();
    let mut text = String::new();
    let mut events = answer.bytes_stream();
    while let Some(bytes) = events.next().await {
        text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        arrivals.resize(text.matches("data:").count(), begun.elapsed());
    }
    assert_eq!(arrivals.len(), 5, "{text}");
    let between = arrivals[4] - arrivals[0];
    assert!(between >= STEP * 3, "all came together: {arrivals:?}");
}

/// A request that is refused with a reason of its own, from an address that claims to be another.
async fn refused(client: &reqwest::Client, client_id: &str, claimed: Option<&str>) {
    let mut request = client
        .post(format!("https://{NAME}/servers/echo/token"))
        .form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
            ("client_id", client_id),
        ]);
    if let Some(claimed) = claimed {
        request = request
            .header("x-forwarded-for", claimed)
            .header("forwarded", format!("for={claimed:?}"))
            .header("x-real-ip", "203.0.113.10");
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 401, "{:?}", answer.text().await);
}

fn client(root: &str, proxy: SocketAddr, from: Option<IpAddr>) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(root.as_bytes()).unwrap()])
        .resolve(NAME, proxy)
        .local_address(from)
        .build()
        .unwrap()
}

/// Writes a certificate where the proxies look for it.
fn certificate(folder: &Path) -> String {
    let certificate = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let chain = certificate.cert.pem();
    let key = certificate.signing_key.serialize_pem();
    std::fs::write(folder.join("fullchain.pem"), &chain).unwrap();
    std::fs::write(folder.join("privkey.pem"), &key).unwrap();
    std::fs::write(folder.join("both.pem"), format!("{chain}{key}")).unwrap();
    chain
}

/// What is behind the proxy: one node at 127.0.0.1, or another one at 127.0.0.2 too, on the same ports.
struct Nodes {
    port: u16,
    operations: u16,
    are_two: bool,
}

impl Proxy {
    /// Starts it with the operators' configuration, in which only places of this machine are replaced.
    fn start(self, folder: &Path, nodes: &Nodes, https: SocketAddr, http: SocketAddr) -> Child {
        let file = match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
            Self::Haproxy => "haproxy.cfg",
        };
        let given = std::fs::read_to_string(root().join("deploy/proxies").join(file)).unwrap();
        let at = folder.display();
        let port = format!(":{}", nodes.port);
        let operations = format!("port {}", nodes.operations);
        let health = format!("health_port {}", nodes.operations);
        let second = match nodes.are_two {
            true => "    server 127.0.0.2",
            false => "    # server 127.0.0.2",
        };
        let tls = format!("\n\ttls {at}/fullchain.pem {at}/privkey.pem\n\treverse_proxy ");
        let (https_line, http_line) = match self {
            Self::Nginx => (format!("listen {https} ssl"), format!("listen {http};")),
            Self::Caddy => (NAME.to_owned(), String::new()),
            Self::Haproxy => (format!("bind {https} ssl"), format!("bind {http}\n")),
        };
        let places: &[(&str, &str)] = match self {
            Self::Nginx => &[
                (":4180", &port),
                ("    # server 127.0.0.2", second),
                ("listen 443 ssl", &https_line),
                ("listen 80;", &http_line),
                ("/etc/ssl/mcp.example.com", &at.to_string()),
            ],
            Self::Caddy => &[
                (":4180", &port),
                ("health_port 9464", &health),
                ("\n\treverse_proxy ", &tls),
            ],
            Self::Haproxy => &[
                (":4180", &port),
                ("port 9464", &operations),
                ("bind :443 ssl", &https_line),
                ("bind :80\n", &http_line),
                (
                    "/etc/haproxy/mcp.example.com.pem",
                    &format!("{at}/both.pem"),
                ),
            ],
        };
        let mut text = given;
        for (old, new) in places {
            assert!(text.contains(old), "{old:?} is in {file}");
            text = text.replace(old, new);
        }
        let mut command = match self {
            Self::Nginx => {
                std::fs::write(folder.join("site.conf"), text).unwrap();
                text = format!(
                    "daemon off;\nmaster_process off;\npid {at}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
                     client_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/f;\n\
                     uwsgi_temp_path {at}/u;\nscgi_temp_path {at}/s;\ninclude {at}/site.conf;\n}}\n"
                );
                let mut command = Command::new("/usr/sbin/nginx");
                command.arg("-c");
                command
            }
            Self::Caddy => {
                text = format!(
                    "{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port {}\n\thttps_port {}\n}}\n{text}",
                    http.port(),
                    https.port()
                );
                let mut command = Command::new("caddy");
                if nodes.are_two {
                    let names = format!("127.0.0.1{port} 127.0.0.2{port}");
                    command.env("PORTCULLIS_NODES", names);
                }
                command
                    .env("HOME", folder)
                    .args(["run", "--adapter", "caddyfile", "--config"]);
                command
            }
            Self::Haproxy => {
                let mut command = Command::new("/usr/sbin/haproxy");
                command.args(["-db", "-f"]);
                command
            }
        };
        let config = folder.join(file);
        std::fs::write(&config, text).unwrap();
        command
            .arg(config)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo xtask test installs it")
    }
}

/// `serve` for the address of the configurations, with one MCP server and one person.
struct Node {
    listen: SocketAddr,
    operations: SocketAddr,
    log: std::path::PathBuf,
    _echo: Echo,
    _child: Child,
}

/// Starts a node that listens at these addresses; gives the process and what it says when it is ready.
async fn serve(folder: &Path, listen: SocketAddr, operations: SocketAddr) -> (Child, Value) {
    let config = folder.join("portcullis.toml");
    let text = format!(
        "public_url = \"https://{NAME}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"{listen}\"]\n\
         [operations]\nlisten = [\"{operations}\"]\nnotice = \"3s\"\n[proxy]\ntrusted = [\"127.0.0.1\"]\n[log]\nformat = \"json\"\n",
        folder.join("data")
    );
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new(stack_tests::binary())
        .args(["serve", "--ready-json", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
    let ready = serde_json::from_str(&ready.unwrap().unwrap().unwrap()).unwrap();
    (child, ready)
}

impl Node {
    async fn start(folder: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, ready) = serve(folder, any, any).await;
        let config = folder.join("portcullis.toml");
        let address = |name: &str| ready[name][0].as_str().unwrap().parse().unwrap();
        let mut settings = EchoSettings::default();
        settings.tools.push(tool(
            "count",
            "Counts aloud.",
            json!({"readOnlyHint": true}),
        ));
        let echo = Echo::start(settings).await;
        run(
            &config,
            &["users", "add", EMAIL, "--password-stdin"],
            PASSWORD,
        )
        .await;
        run(&config, &["servers", "add", "echo", &echo.url()], "").await;
        let node = Self {
            listen: address("listen"),
            operations: address("operations_listen"),
            log: folder.join("log"),
            _echo: echo,
            _child: child,
        };
        eventually(async || {
            let mut connection = Connection::open(&node.listen.to_string()).await?;
            connection.authority = NAME.to_owned();
            let answer = connection.send(Request::get("/mcp/echo"), "").await?;
            anyhow::ensure!(answer.status() == 401, "{}", answer.status());
            Ok(())
        })
        .await;
        node
    }

    /// The address in the line of the refusal that names this client.
    async fn logged_address(&self, client_id: &str) -> String {
        eventually(async || {
            let log = std::fs::read_to_string(&self.log)?;
            let line = log.lines().find(|line| line.contains(client_id));
            let line: Value = serde_json::from_str(line.unwrap_or("null"))?;
            let address = line["client.address"].as_str();
            address
                .map(str::to_owned)
                .ok_or_else(|| anyhow::anyhow!("no such line in {log}"))
        })
        .await
    }
}

async fn run(config: &Path, arguments: &[&str], input: &str) {
    let binary = stack_tests::binary();
    stack_tests::run_beside(binary, config, arguments, input)
        .await
        .unwrap();
}

async fn listens(address: SocketAddr, proxy: &mut Child) {
    eventually(async || {
        anyhow::ensure!(proxy.try_wait()?.is_none(), "the proxy ended");
        Ok(tokio::net::TcpStream::connect(address).await.map(drop)?)
    })
    .await;
}

/// Tries for ten seconds.
async fn eventually<T>(mut attempt: impl AsyncFnMut() -> anyhow::Result<T>) -> T {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if begun.elapsed() > Duration::from_secs(10) => panic!("{error:#}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
