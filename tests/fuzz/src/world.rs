use std::sync::Arc;

use base::{Clock as _, OsRandom};
use domain::{AuditEvent, AuditEventKind, McpServer, ServerSettings, ServerSlug, Upstream};
use oauth::{Authority, AuthoritySettings, MasterKey, ServerContext};
use serde_json::json;
use store::{DatabaseUrl, Store, StoreOptions};
use tempfile::TempDir;
use testkit::MovableClock;
use tokio::runtime::Runtime;

/// An authority with one server and one client, for targets that need more than a function. Its clock stands still.
pub struct World {
    pub authority: Authority,
    pub server: Arc<ServerContext>,
    /// The client's id, for `{client}` in an input.
    pub client: String,
    runtime: Runtime,
    _folder: TempDir,
}

pub const ISSUER: &str = "http://localhost:4180/servers/todo";
pub const LOOPBACK: &str = "http://127.0.0.1:7000/callback";
pub const HTTPS: &str = "https://client.example/callback?app=1";

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (authority, client) = runtime.block_on(open(&folder));
        Self {
            server: authority.server("todo").unwrap(),
            authority,
            client,
            runtime,
            _folder: folder,
        }
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The input with the client's id put in.
    pub fn fill_in(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, b"{client}", self.client.as_bytes())
    }
}

/// `bytes` with each `from` replaced.
pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            filled.extend_from_slice(to);
            at += from.len();
        } else {
            filled.push(bytes[at]);
            at += 1;
        }
    }
    filled
}

async fn open(folder: &TempDir) -> (Authority, String) {
    let clock = MovableClock::default();
    let url = DatabaseUrl::Sqlite(folder.path().join("portcullis.db"));
    let store = Store::open(StoreOptions::new(url), &clock).await.unwrap();
    let authority = Authority::open(
        AuthoritySettings {
            public_url: "http://localhost:4180".into(),
            authority_id: "fuzz".into(),
            hash_threads: 1,
            registrations_max: 50,
            ca_file: None,
            names: None,
        },
        store.clone(),
        Arc::new(clock.clone()),
        Arc::new(OsRandom),
        MasterKey::from_bytes([7; 32]),
    )
    .await
    .unwrap();
    let scope = |name: &str, risk: &str| json!({"id": name, "name": format!("todo:{name}"), "title": name, "risk": risk});
    let tool =
        json!({"requirement": {"any_of": ["todo:read"]}, "title": "List", "description": ""});
    let policy = json!({
        "mode": "enforce",
        "scopes": [scope("read", "low"), scope("write", "medium")],
        "default_scopes": "todo:read",
        "tools": {"list_todos": tool},
        "resources": {}, "resource_templates": {}, "prompts": {},
    });
    let server = McpServer {
        slug: ServerSlug::parse("todo").unwrap(),
        name: "Todo".into(),
        resource: "http://localhost:4180/mcp/todo".into(),
        upstream: Upstream::Todo,
        settings: ServerSettings::default(),
        policy: serde_json::from_value(policy).unwrap(),
        policy_revision: 1,
        created_at: clock.now(),
    };
    let event = AuditEvent {
        at: clock.now(),
        kind: AuditEventKind::ServerAdded,
        server: None,
        user: None,
        client: None,
        grant: None,
        detail: String::new(),
    };
    store.insert_server(&server, event).await.unwrap();
    authority.reload().await.unwrap();
    let uris = [LOOPBACK.to_owned(), HTTPS.to_owned()];
    let client = oauth::clients::add(&store, &clock, &OsRandom, &server, "Fuzz", &uris)
        .await
        .unwrap();
    (authority, client.id.as_str().to_owned())
}
