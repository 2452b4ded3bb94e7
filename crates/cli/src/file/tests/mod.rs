#![allow(clippy::unwrap_used)]

mod edits;
mod refusals;

use authz::{Entry, Policy, Requirement, Risk, ScopeDeclaration};
use base::{Clock as _, OsRandom, Random as _, Secret, SystemClock, Timestamp};
use domain::{
    AuditEvent, AuditEventKind, ClientId, EmailAddress, McpServer, ServerSlug, TrustDecision,
    Upstream, User, UserRole,
};
use oauth::clients::{NewClient, NewClientProof};
use store::{Applied, DatabaseUrl, Store, StoreOptions};
use wire::oauth::{Scope, ScopeSet};

use super::apply::Planned;
use super::document::Document;
use super::write;
use oauth::new_server::new_server;

const PUBLIC_URL: &str = "https://mcp.example.com";
const DOCUMENT: &str = "https://client.example/oauth.json";

/// A store with something of everything.
struct World {
    store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("authority.sqlite"));
        Self::new(url, folder).await
    }

    async fn postgres() -> Option<Self> {
        let url = std::env::var("PORTCULLIS_TEST_POSTGRES_URL").ok()?;
        let mut name = [0u8; 8];
        OsRandom.fill(&mut name);
        let url = DatabaseUrl::Postgres {
            url: Secret::new(url),
            schema: Some(format!("file_{:016x}", u64::from_le_bytes(name))),
        };
        Some(Self::new(url, tempfile::tempdir().unwrap()).await)
    }

    async fn new(url: DatabaseUrl, folder: tempfile::TempDir) -> Self {
        let store = Store::open(StoreOptions::new(url), &SystemClock)
            .await
            .unwrap();
        let world = Self {
            store,
            _folder: folder,
        };
        world.fill().await;
        world
    }

    async fn fill(&self) {
        let now = SystemClock.now();
        let mut todo = server("todo", Upstream::Todo, now);
        todo.policy = policy();
        let files = server(
            "files",
            Upstream::Stdio {
                command: "npx".into(),
                args: vec!["-y".into(), "files".into()],
                env: vec!["TOKEN=hush".into(), "HOME".into()],
                directory: "/srv".into(),
            },
            now,
        );
        for server in [&todo, &files] {
            let added = event(AuditEventKind::ServerAdded, now);
            self.store.insert_server(server, added).await.unwrap();
        }
        for proof in [NewClientProof::Public, NewClientProof::Secret] {
            let new = NewClient {
                name: "An app",
                redirect_uris: &["https://app.example.com/callback".to_owned()],
                proof,
                service_scopes: ScopeSet::new(),
            };
            oauth::clients::create(&self.store, &SystemClock, &OsRandom, &todo, new)
                .await
                .unwrap();
        }
        let id = ClientId::from_text(DOCUMENT);
        let approved = TrustDecision::Approved;
        oauth::client_trust::decide(&self.store, now, &todo.slug, &id, approved, None)
            .await
            .unwrap();
        for (email, role) in [
            ("owner@example.com", UserRole::Owner),
            ("Ann@example.com", UserRole::Member),
        ] {
            let email = EmailAddress::parse(email).unwrap();
            let user = User {
                password_hash: Some(Secret::new("$argon2id$x".to_owned())),
                ..oauth::users::without_password(&OsRandom, now, email, role)
            };
            let added = oauth::users::added_event(&user);
            self.store.insert_user(&user, added).await.unwrap();
        }
    }

    async fn document(&self) -> Document {
        Document::of(&self.store.read_declared().await.unwrap()).unwrap()
    }

    async fn export(&self) -> String {
        write::render(&self.document().await).unwrap()
    }

    async fn plan(&self, text: &str) -> Result<Planned, Vec<String>> {
        Planned::of(&self.store, PUBLIC_URL, text).await.unwrap()
    }

    async fn problems(&self, text: &str) -> Vec<String> {
        match self.plan(text).await {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        }
    }

    async fn apply(&self, planned: Planned) -> Applied {
        self.store
            .apply(planned.into_apply(SystemClock.now()))
            .await
            .unwrap()
    }

    async fn events(&self) -> usize {
        self.store.list_audit_events(0, 1000).await.unwrap().len()
    }
}

fn server(slug: &str, upstream: Upstream, now: Timestamp) -> McpServer {
    new_server(&ServerSlug::parse(slug).unwrap(), upstream, PUBLIC_URL, now)
}

fn policy() -> Policy {
    let scope = |name: &str| ScopeDeclaration {
        id: name.split(':').next_back().unwrap().to_owned(),
        name: Scope::parse(name).unwrap(),
        title: format!("Use {name}"),
        risk: Risk::Low,
        implies: ScopeSet::new(),
    };
    let tool = |scopes: &str| Entry {
        requirement: Requirement::AnyOf(vec![ScopeSet::parse_lenient(scopes)]),
        title: "A tool".to_owned(),
        ..Entry::default()
    };
    Policy {
        scopes: vec![scope("todo:read"), scope("todo:write")],
        default_scopes: ScopeSet::parse_lenient("todo:read"),
        tools: [
            ("list todos".to_owned(), tool("todo:read")),
            ("add".to_owned(), tool("todo:write")),
        ]
        .into(),
        ..Policy::default()
    }
}

fn event(kind: AuditEventKind, at: Timestamp) -> AuditEvent {
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
