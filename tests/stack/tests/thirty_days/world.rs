//! The stack on a clock that is moved by hand: it is restarted, cut off and moved through the month.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, OsRandom, Secret, Timestamp};
use bytes::Bytes;
use cli::{Stack, UpOptions};
use domain::{AuditEventKind, EmailAddress, KeyPurpose, McpServer, UserRole};
use http::{Request, Response, StatusCode, header};
use oauth::keys::{self, Rotation};
use oauth::{KeySealer, MasterKey};
use store::{DatabaseUrl, Store, StoreOptions};
use testkit::{Connection, DocumentHost, MovableClock};
use tokio::io::AsyncWriteExt as _;

pub const EMAIL: &str = "ada@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// How long, in real time, the stack may need to notice that the clock was moved.
const SETTLING: Duration = Duration::from_secs(10);

/// How long, in real time, a change by another process may take to be in force.
pub const NOTICED: Duration = Duration::from_millis(750);

/// Everything that is there besides the clients.
pub struct World {
    pub clock: MovableClock,
    folder: PathBuf,
    data: PathBuf,
    stack: Option<Stack>,
    /// Where clients keep their metadata documents.
    pub documents: DocumentHost,
    pub mcp_url: String,
    pub issuer: String,
    /// `host:port`.
    pub address: String,
    pub restarts: usize,
}

impl World {
    /// The first start, with one person who may sign in.
    pub async fn begin(data: &Path) -> anyhow::Result<Self> {
        let clock = MovableClock::default();
        let documents = DocumentHost::start().await;
        let stack = Stack::start(options(data, &clock, &documents)).await?;
        let world = Self {
            folder: data.to_owned(),
            data: data.join("data"),
            mcp_url: stack.mcp_url.clone(),
            issuer: stack.issuer.clone(),
            address: format!("localhost:{}", stack.port),
            stack: Some(stack),
            documents,
            clock,
            restarts: 0,
        };
        let store = world.store().await?;
        oauth::users::add(
            &store,
            &world.clock,
            &OsRandom,
            EmailAddress::parse(EMAIL)?,
            &Secret::new(PASSWORD.to_owned()),
            UserRole::Owner,
        )
        .await?;
        store.close().await;
        Ok(world)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass; the machine may have been asleep meanwhile.
    pub async fn sleep_until(&self, then: Timestamp) -> anyhow::Result<()> {
        self.clock.set(then);
        let Some(stack) = &self.stack else {
            return Ok(());
        };
        // A gateway that has heard nothing of the authority for five minutes answers 503 until it has. A client would
        // wait for `Retry-After`.
        stack.look_now();
        let until = tokio::time::Instant::now() + SETTLING;
        while self.call(None).await?.status() != StatusCode::UNAUTHORIZED {
            anyhow::ensure!(
                tokio::time::Instant::now() < until,
                "still not awake at {then:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub async fn stop(&mut self) {
        if let Some(stack) = self.stack.take() {
            stack.shutdown().await;
        }
    }

    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let stack = Stack::start(options(&self.folder, &self.clock, &self.documents)).await?;
        anyhow::ensure!(stack.mcp_url == self.mcp_url, "the resource has moved");
        let (checks, findings) = stack.self_check();
        anyhow::ensure!(
            checks > 0 && findings.is_empty(),
            "a restart finds {findings:?}"
        );
        self.stack = Some(stack);
        self.restarts += 1;
        Ok(())
    }

    /// Changes the settings of the MCP server, as an admin does.
    pub async fn change(&self, edit: impl FnOnce(&mut McpServer)) -> anyhow::Result<()> {
        let store = self.store().await?;
        let mut server = self.server(&store).await?;
        edit(&mut server);
        let event = domain::AuditEvent {
            at: self.now(),
            kind: AuditEventKind::ServerChanged,
            server: Some(server.slug.clone()),
            user: None,
            client: None,
            grant: None,
            detail: "settings".into(),
        };
        store.update_server(&server, event).await?;
        store.close().await;
        tokio::time::sleep(NOTICED).await;
        Ok(())
    }

    /// The next signing key, in good order (published now, signing later) or at once, with the old one withdrawn.
    pub async fn change_keys(&self, rotation: Rotation) -> anyhow::Result<()> {
        let master = MasterKey::load(&self.data.join("keys/master.key"))?;
        let sealer = KeySealer::new(&master);
        let store = self.store().await?;
        keys::rotate(
            &store,
            &sealer,
            &OsRandom,
            self.now(),
            KeyPurpose::AccessToken,
            rotation,
        )
        .await?;
        store.close().await;
        // A change by another hand is noticed a quarter of a second later.
        tokio::time::sleep(NOTICED).await;
        Ok(())
    }

    /// How often each kind of thing was written down.
    pub async fn audited(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let store = self.store().await?;
        let mut counts = BTreeMap::new();
        let mut after = 0;
        loop {
            let events = store.list_audit_events(after, 500).await?;
            let Some(last) = events.last() else { break };
            after = last.id;
            for event in &events {
                *counts
                    .entry(event.event.kind.as_str().to_owned())
                    .or_default() += 1;
            }
        }
        let broken = store.check_integrity().await?;
        anyhow::ensure!(broken.is_empty(), "{broken:?}");
        store.close().await;
        Ok(counts)
    }

    /// A second door to the database, as a command beside the running server has.
    pub async fn store(&self) -> anyhow::Result<Store> {
        let file = self.data.join("portcullis.db");
        let options = StoreOptions::new(DatabaseUrl::Sqlite(file));
        Ok(Store::open(options, &self.clock).await?)
    }

    pub async fn server(&self, store: &Store) -> anyhow::Result<McpServer> {
        let servers = store.list_servers().await?;
        servers
            .into_iter()
            .next()
            .ok_or_else(|| anyhow::anyhow!("there is a server"))
    }

    /// One tool call, with or without a token.
    pub async fn call(&self, token: Option<&str>) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::post(self.path_of(&self.mcp_url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "list_todos", "arguments": {}},
        });
        self.send(request, body.to_string()).await
    }

    /// Posts a form below the issuer.
    pub async fn post(&self, endpoint: &str, form: &Form) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::post(self.endpoint(endpoint))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(basic) = &form.basic {
            request = request.header(header::AUTHORIZATION, basic);
        }
        self.send(request, form.body.clone()).await
    }

    /// Posts a form and is gone before the answer can be read. The server has all of the request.
    pub async fn post_and_vanish(&self, endpoint: &str, form: &Form) -> anyhow::Result<()> {
        let mut stream = tokio::net::TcpStream::connect(&self.address).await?;
        let basic = form
            .basic
            .as_ref()
            .map_or(String::new(), |value| format!("authorization: {value}\r\n"));
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n{basic}content-length: {}\r\n\r\n{}",
            self.endpoint(endpoint),
            self.address,
            form.body.len(),
            form.body
        );
        stream.write_all(request.as_bytes()).await?;
        // The answer is made while nobody waits for it.
        tokio::time::sleep(Duration::from_millis(150)).await;
        Ok(())
    }

    pub async fn send(
        &self,
        request: http::request::Builder,
        body: String,
    ) -> anyhow::Result<Response<Bytes>> {
        Connection::open(&self.address)
            .await?
            .send(request, body)
            .await
    }

    pub fn endpoint(&self, name: &str) -> String {
        format!("{}/{name}", self.path_of(&self.issuer))
    }

    fn path_of(&self, url: &str) -> String {
        url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.path().to_owned())
    }
}

/// A form, and how the client shows who it is.
pub struct Form {
    pub body: String,
    pub basic: Option<String>,
}

fn options(data: &Path, clock: &MovableClock, documents: &DocumentHost) -> UpOptions {
    let mut options = UpOptions::new(data.join("data"));
    options.ca_file = Some(documents.write_ca(data));
    options.clock = Arc::new(clock.clone());
    options
}
