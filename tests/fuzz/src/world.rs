use std::sync::Arc;
use std::time::Duration;

use base::{Clock as _, Digest, OsRandom, Secret, random_token};
use domain::{
    AuditEvent, AuditEventKind, AuthorizationCode, ClientId, Consent, EmailAddress, GrantId,
    McpServer, ServerSettings, ServerSlug, SessionId, Upstream, UserId, UserRole,
};
use oauth::{Authority, AuthoritySettings, MasterKey, ServerContext};
use serde_json::json;
use store::{DatabaseUrl, Store, StoreOptions};
use tempfile::TempDir;
use testkit::MovableClock;
use tokio::runtime::Runtime;
use wire::oauth::{CodeChallenge, ScopeSet};

/// An authority with one server and one client, for targets that need more than a function. Its clock stands still.
pub struct World {
    pub authority: Authority,
    pub server: Arc<ServerContext>,
    /// The client's id, for `{client}` in an input.
    pub client: String,
    user: UserId,
    runtime: Runtime,
    _folder: TempDir,
}

pub const ISSUER: &str = "http://localhost:4180/servers/todo";
pub const LOOPBACK: &str = "http://127.0.0.1:7000/callback";
/// The pair of RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const HTTPS: &str = "https://client.example/callback?app=1";

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (authority, client, user) = runtime.block_on(open(&folder));
        Self {
            server: authority.server("todo").unwrap(),
            authority,
            client,
            user,
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

impl World {
    /// A code that is good now, for the client at its loopback address.
    pub fn live_code(&self) -> String {
        let text = random_token(&OsRandom, "pcc_");
        let now = self.authority.now();
        let client = ClientId::from_text(&self.client);
        let server = self.server.server.slug.clone();
        let scopes = ScopeSet::parse_lenient("todo:read");
        let consent = Consent {
            user: self.user.clone(),
            server: server.clone(),
            client: client.clone(),
            redirect_uri: LOOPBACK.into(),
            scopes: scopes.clone(),
            approved_at: now,
        };
        let code = AuthorizationCode {
            digest: Digest::of(&text),
            server,
            client,
            user: self.user.clone(),
            session: SessionId::from_text("ses_fuzz"),
            redirect_uri: LOOPBACK.into(),
            code_challenge: CodeChallenge::parse(CHALLENGE).unwrap(),
            scopes,
            withheld: Vec::new(),
            authenticated_at: now,
            grant: GrantId::at(now, &OsRandom),
            issued_at: now,
            expires_at: now.after(Duration::from_secs(60)),
            redeemed_at: None,
        };
        let event = event(now, AuditEventKind::ConsentGiven);
        self.wait(self.authority.store().insert_code(code, consent, event))
            .unwrap();
        text
    }
}

fn event(at: base::Timestamp, kind: AuditEventKind) -> AuditEvent {
    AuditEvent {
        at,
        kind,
        server: None,
        user: None,
        client: None,
        grant: None,
        detail: String::new(),
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

async fn open(folder: &TempDir) -> (Authority, String, UserId) {
    let clock = MovableClock::default();
    let url = DatabaseUrl::Sqlite(folder.path().join("portcullis.db"));
    let store = Store::open(StoreOptions::new(url), &clock).await.unwrap();
    let authority = Authority::open(
        AuthoritySettings {
            public_url: "http://localhost:4180".into(),
            admin_url: None,
            former_origins: Vec::new(),
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
        other_addresses: domain::OtherAddresses::default(),
        upstream: Upstream::Todo,
        settings: ServerSettings::default(),
        policy: serde_json::from_value(policy).unwrap(),
        policy_revision: 1,
        created_at: clock.now(),
    };
    let event = event(clock.now(), AuditEventKind::ServerAdded);
    store.insert_server(&server, event).await.unwrap();
    authority.reload().await.unwrap();
    let uris = [LOOPBACK.to_owned(), HTTPS.to_owned()];
    let new = oauth::clients::NewClient {
        name: "Fuzz",
        redirect_uris: &uris,
        ..oauth::clients::NewClient::default()
    };
    let client = oauth::clients::create(&store, &clock, &OsRandom, &server, new)
        .await
        .unwrap()
        .client;
    let user = oauth::users::add(
        &store,
        &clock,
        &OsRandom,
        EmailAddress::parse("fuzz@example.com").unwrap(),
        &Secret::new("four words will do".to_owned()),
        UserRole::Member,
    )
    .await
    .unwrap();
    (authority, client.id.as_str().to_owned(), user.id)
}
