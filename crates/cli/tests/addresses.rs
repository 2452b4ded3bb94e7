//! Other addresses of an MCP server: aliases that are proven, and a move that breaks nobody.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock as _, SystemClock, base64url_decode};
use bytes::Bytes;
use common::{EMAIL, Home, PASSWORD};
use http::{Method, Request, header};
use portcullis_cli::{Stack, UpOptions};
use serde_json::{Value, json};
use testkit::person::Person;
use testkit::{Answer, Connection, McpClient, MovableClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
const PROOF: &str = "/.well-known/portcullis-alias/";
const HOUR: Duration = Duration::from_secs(3600);
/// The change row is read four times a second, and aliases twice.
const FELT_WITHIN: Duration = Duration::from_secs(1);
/// What is due is looked for each second.
const TRIED_WITHIN: Duration = Duration::from_secs(10);

/// What is at another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To the stack, as a proxy that passes the name on.
    Here,
    /// To somebody who sends back what the path says.
    ToAnEcho,
    /// To an error.
    Nowhere,
}

/// A host of another name.
struct OtherHost {
    name: String,
    leads: Arc<Mutex<Leads>>,
}

impl OtherHost {
    async fn start(stack: &Stack, leads: Leads) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = listener.local_addr().unwrap().to_string();
        let leads = Arc::new(Mutex::new(leads));
        let (now, port) = (Arc::clone(&leads), stack.port);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let leads = *now.lock().unwrap();
                tokio::spawn(answer(stream, leads, port));
            }
        });
        Self { name, leads }
    }

    fn lead(&self, leads: Leads) {
        *self.leads.lock().unwrap() = leads;
    }

    fn url(&self) -> String {
        format!("http://{}/mcp/todo", self.name)
    }
}

async fn answer(mut stream: TcpStream, leads: Leads, port: u16) {
    if leads == Leads::Here {
        let mut stack = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut stack).await;
        return;
    }
    let mut head = vec![0; 4096];
    let length = stream.read(&mut head).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let last = head.split(' ').nth(1).unwrap_or_default();
    let last = last.rsplit('/').next().unwrap_or_default();
    let (status, body) = match leads {
        Leads::ToAnEcho => ("200 OK", last),
        _ => ("503 Service Unavailable", ""),
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

/// A stack on a clock that a test moves, and a client that is signed in.
struct World {
    home: Home,
    stack: Stack,
    clock: MovableClock,
    web: Connection,
    person: Person,
    access: String,
    refresh: String,
}

impl World {
    async fn new() -> Self {
        let home = Home::new();
        let clock = MovableClock::at(SystemClock.now());
        let stack = Stack::start(UpOptions {
            clock: Arc::new(clock.clone()),
            ..UpOptions::new(home.data())
        })
        .await
        .unwrap();
        home.add_user().await;
        let address = format!("localhost:{}", stack.port);
        let mut web = Connection::open(&address).await.unwrap();
        let (person, code) = Person::sign_in(&mut web, &stack.issuer, EMAIL, PASSWORD)
            .await
            .unwrap();
        let form = person.exchange_form(&code);
        let mut world = Self {
            home,
            stack,
            clock,
            web,
            person,
            access: String::new(),
            refresh: String::new(),
        };
        assert_eq!(world.token(form).await, Ok(()));
        world
    }

    /// Takes new tokens, or tells the error.
    async fn token(&mut self, form: String) -> Result<(), String> {
        let request = Request::post(format!("{}/token", self.person.issuer_path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.web.send(request, form).await.unwrap();
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => {
                self.access = answer["access_token"].as_str().unwrap().to_owned();
                self.refresh = answer["refresh_token"].as_str().unwrap().to_owned();
                Ok(())
            }
        }
    }

    /// A refresh that names `resource`.
    async fn refresh_for(&mut self, resource: &str) -> Result<(), String> {
        let form = self.person.refresh_form(&self.refresh);
        let resource: String = url::form_urlencoded::byte_serialize(resource.as_bytes()).collect();
        self.token(format!("{form}&resource={resource}")).await
    }

    fn audience(&self) -> String {
        self.claim("aud")
    }

    fn claim(&self, name: &str) -> String {
        let claims = self.access.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&base64url_decode(claims).unwrap()).unwrap();
        claims[name].as_str().unwrap().to_owned()
    }

    /// The same after a stop, a command and a start.
    async fn restarted_after(self, arguments: &[&str]) -> Self {
        self.stack.shutdown().await;
        let ran = self.home.run(arguments).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        let stack = Stack::start(UpOptions {
            clock: Arc::new(self.clock.clone()),
            ..UpOptions::new(self.home.data())
        })
        .await
        .unwrap();
        let web = Connection::open(&format!("localhost:{}", stack.port)).await;
        Self {
            stack,
            web: web.unwrap(),
            ..self
        }
    }

    /// The status of a call with the access token at our own port, by the name `host`.
    async fn call_at(&self, host: &str) -> u16 {
        let client = McpClient::new(format!("http://127.0.0.1:{}/mcp/todo", self.stack.port));
        let client = client.with_header("host", host).with_bearer(&self.access);
        let answer = client.modern("tools/list", json!({})).await;
        answer.status.as_u16()
    }

    /// What `path` answers to whoever calls our own port by the name `host`.
    async fn get(&self, host: &str, path: &str) -> (u16, Value) {
        let client = McpClient::new(format!("http://127.0.0.1:{}{path}", self.stack.port));
        let client = client.with_header("host", host);
        let answer = Answer::read(client.send(Method::GET, Bytes::new()).await).await;
        let json = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status.as_u16(), json)
    }

    /// The status of a call at `url` with the access token.
    async fn call(&self, url: &str) -> u16 {
        let client = McpClient::new(url).with_bearer(&self.access);
        let answer = client.modern("tools/list", json!({})).await;
        answer.status.as_u16()
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let ran = self.home.run(arguments).await;
        (ran.code, format!("{}{}", ran.stdout, ran.stderr))
    }

    fn in_words(&self, from_now: Duration) -> String {
        let at = self.clock.now().after(from_now).unix_ms();
        jiff::Timestamp::from_millisecond(at).unwrap().to_string()
    }
}

async fn until(what: &str, within: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + within;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < end, "never felt: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_from_before_a_move_goes_on_at_both_addresses_until_the_date_and_then_at_the_new_one()
 {
    let mut world = World::new().await;
    let own = format!("localhost:{}", world.stack.port);
    let old = world.stack.mcp_url.clone();
    let new = format!("http://{own}/work/todos");
    assert_eq!(world.call(&old).await, 200);
    assert_eq!(world.call(&new).await, 404);

    let (code, told) = world.run(&["move", "todo", &new]).await;
    assert_eq!(code, 2, "{told}");
    for said in ["1 sign-in of 1 person", "1 client ", "--yes"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert_eq!(world.call(&new).await, 404, "nobody said yes");
    let date = world.in_words(48 * HOUR);
    let moved = ["move", "todo", &new, "--keep-until", &date, "--yes"];
    let (code, told) = world.run(&moved).await;
    assert_eq!(code, 0, "{told}");
    until("the new address", FELT_WITHIN, async || {
        world.get(&own, &format!("{WELL_KNOWN}/work/todos")).await.1["resource"] == *new
    })
    .await;

    let (_, metadata) = world.get(&own, &format!("{WELL_KNOWN}/mcp/todo")).await;
    assert_eq!(metadata["resource"], *old, "the one that was asked");
    assert_eq!(world.audience(), old);
    for url in [&old, &new] {
        assert_eq!(world.call(url).await, 200, "the old token at {url}");
    }
    assert_eq!(world.refresh_for(&old).await, Ok(()));
    assert_eq!(world.audience(), new);
    for url in [&old, &new] {
        assert_eq!(world.call(url).await, 200, "the new token at {url}");
    }

    world.clock.advance(49 * HOUR);
    until("the date", FELT_WITHIN, async || {
        world.call(&old).await == 404
    })
    .await;
    assert_eq!(
        world.refresh_for(&old).await,
        Err("invalid_target".to_owned())
    );
    assert_eq!(world.refresh_for(&new).await, Ok(()));
    until("the feed", FELT_WITHIN, async || {
        world.call(&new).await == 200
    })
    .await;
    assert_eq!(world.call(&old).await, 404);
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proven_alias_answers_under_its_own_name_and_loses_that_when_another_answers_there() {
    let mut world = World::new().await;
    let other = OtherHost::start(&world.stack, Leads::Here).await;
    let (alias, canonical) = (other.url(), world.stack.mcp_url.clone());
    assert_eq!(world.get(&other.name, "/mcp/todo").await.0, 421);
    assert_eq!(
        world.refresh_for(&alias).await,
        Err("invalid_target".to_owned())
    );

    let (code, told) = world
        .run(&["servers", "alias", "add", "todo", &alias])
        .await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(&format!("todo answers at {alias}")), "{told}");
    until("the alias", FELT_WITHIN, async || {
        world.call(&alias).await == 200
    })
    .await;
    let (_, metadata) = world
        .get(&other.name, &format!("{WELL_KNOWN}/mcp/todo"))
        .await;
    assert_eq!(metadata["resource"], *alias);
    let client = McpClient::new(&alias);
    let refused = client.modern("tools/list", json!({})).await;
    let challenge = refused.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains(&format!("http://{}{WELL_KNOWN}/mcp/todo", other.name)));
    assert_eq!(world.refresh_for(&alias).await, Ok(()));
    assert_eq!(world.audience(), canonical, "never the alias");
    // The authority is at its own host alone.
    assert_eq!(world.get(&other.name, "/jwks.json").await.0, 404);

    // A bad hour costs it nothing.
    other.lead(Leads::Nowhere);
    world.clock.advance(2 * HOUR);
    until("the failure", TRIED_WITHIN, async || {
        let (_, told) = world.run(&["servers", "alias", "list"]).await;
        told.contains("answers still, but")
    })
    .await;
    assert_eq!(world.get(&other.name, "/mcp/todo").await.0, 401);
    // Somebody else in its place does, at once.
    other.lead(Leads::ToAnEcho);
    world.clock.advance(HOUR);
    until("the loss", TRIED_WITHIN, async || {
        world.get(&other.name, "/mcp/todo").await.0 == 421
    })
    .await;
    assert_eq!(
        world.refresh_for(&alias).await,
        Err("invalid_target".to_owned())
    );
    // And it comes back with the host.
    other.lead(Leads::Here);
    world.clock.advance(HOUR);
    until("the proof", TRIED_WITHIN, async || {
        world.get(&other.name, "/mcp/todo").await.0 == 401
    })
    .await;
    // After a day in which nobody answered it ends.
    other.lead(Leads::Nowhere);
    world.clock.advance(25 * HOUR);
    until("the day", TRIED_WITHIN, async || {
        world.get(&other.name, "/mcp/todo").await.0 == 421
    })
    .await;
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_is_not_proven_never_answers_and_never_becomes_an_audience() {
    let mut world = World::new().await;
    let other = OtherHost::start(&world.stack, Leads::ToAnEcho).await;
    let alias = other.url();
    let (code, told) = world
        .run(&["servers", "alias", "add", "todo", &alias])
        .await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("answers with something else"), "{told}");
    for path in ["/mcp/todo".to_owned(), format!("{WELL_KNOWN}/mcp/todo")] {
        assert_eq!(world.get(&other.name, &path).await.0, 421, "{path}");
    }
    assert_eq!(
        world.refresh_for(&alias).await,
        Err("invalid_target".to_owned())
    );
    // Nonces that nobody made are answered nowhere, and nothing of them comes back.
    let own = format!("localhost:{}", world.stack.port);
    for host in [&own, &other.name, &"evil.example".to_owned()] {
        for nonce in ["A".repeat(43), "%3Cscript%3E".to_owned(), "x".repeat(500)] {
            let (status, answer) = world.get(host, &format!("{PROOF}{nonce}")).await;
            assert_eq!(status, 404, "{host} {nonce}");
            assert!(!answer.to_string().contains(&nonce));
        }
    }
    let (_, told) = world.run(&["servers", "alias", "list", "todo"]).await;
    assert!(told.contains("not proven"), "{told}");
    let (code, _) = world
        .run(&["servers", "alias", "remove", "todo", &alias])
        .await;
    assert_eq!(code, 0);
    let (code, told) = world
        .run(&["servers", "alias", "add", "todo", &world.stack.mcp_url])
        .await;
    assert_eq!(code, 2, "{told}");
    world.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_moved_is_answered_at_both_origins_until_the_date_and_then_at_the_new_one()
 {
    const NEW: &str = "https://mcp.example.com";
    const NEW_HOST: &str = "mcp.example.com";
    let world = World::new().await;
    let old = world.stack.mcp_url.clone();
    let old_host = format!("localhost:{}", world.stack.port);
    let date = world.in_words(48 * HOUR);
    let asked = ["move", "--public-url", NEW, "--keep-until", &date, "--yes"];
    let (code, told) = world.run(&asked).await;
    assert_eq!(code, 2, "{told}");
    for said in ["1 sign-in of 1 person", "1 client ", "stop it, move it"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert_eq!(world.call(&old).await, 200);

    let mut world = world.restarted_after(&asked).await;
    assert_eq!(world.stack.mcp_url, format!("{NEW}/mcp/todo"));
    let issuer = format!("{NEW}/servers/todo");
    for host in [NEW_HOST, &old_host] {
        let (_, metadata) = world
            .get(host, "/.well-known/oauth-authorization-server/servers/todo")
            .await;
        assert_eq!(metadata["issuer"], *issuer, "{host}");
        let (_, metadata) = world.get(host, &format!("{WELL_KNOWN}/mcp/todo")).await;
        assert_eq!(metadata["authorization_servers"], json!([issuer]), "{host}");
        assert_eq!(world.call_at(host).await, 200, "the old token at {host}");
    }
    let (_, metadata) = world
        .get(&old_host, &format!("{WELL_KNOWN}/mcp/todo"))
        .await;
    assert_eq!(metadata["resource"], *old, "the one that was asked");
    // Pages are at the new origin alone.
    for page in ["/admin", "/servers/todo/authorize?client_id=x"] {
        let answer = world.web.send(Request::get(page), "").await.unwrap();
        assert_eq!(answer.status(), 303, "{page}");
        assert_eq!(
            answer.headers()["location"],
            format!("{NEW}{page}").as_str()
        );
    }
    // Whoever had a token renews it where that was told.
    assert_eq!(world.refresh_for(&old).await, Ok(()));
    assert_eq!(world.claim("iss"), issuer);
    assert_eq!(world.claim("aud"), format!("{NEW}/mcp/todo"));
    for host in [NEW_HOST, &old_host] {
        assert_eq!(world.call_at(host).await, 200, "the new token at {host}");
    }

    // Longer than a proof holds, and still before the date.
    for passed in [25 * HOUR, 22 * HOUR] {
        world.clock.advance(passed);
        until("the feed", FELT_WITHIN, async || {
            world.call_at(&old_host).await != 503
        })
        .await;
        // Each try of a proof has had its time.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.refresh_for(&old).await, Ok(()));
        assert_eq!(world.call_at(&old_host).await, 200);
    }
    world.clock.advance(2 * HOUR);
    assert_eq!(
        world
            .get(
                &old_host,
                "/.well-known/oauth-authorization-server/servers/todo"
            )
            .await
            .0,
        421
    );
    let (_, metadata) = world
        .get(
            NEW_HOST,
            "/.well-known/oauth-authorization-server/servers/todo",
        )
        .await;
    assert_eq!(metadata["issuer"], *issuer);
    until("the date", FELT_WITHIN, async || {
        world.call_at(&old_host).await == 421
    })
    .await;
    world.stack.shutdown().await;
}
