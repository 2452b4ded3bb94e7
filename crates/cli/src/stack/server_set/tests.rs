#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use authz::Policy;
use base::{OsRandom, SystemClock};
use domain::McpServer;
use gateway::{IdentityKey, Limits, Settings};
use http::Request;
use oauth::{Authority, AuthoritySettings, MasterKey};
use store::{DatabaseUrl, Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;

const PUBLIC_URL: &str = "http://localhost:4180";

struct World {
    set: ServerSet,
    gateway: Gateway,
    terminal: Terminal,
    folder: TempDir,
    _heard: mpsc::Receiver<First>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("portcullis.db"));
        let clock = Arc::new(SystemClock);
        let store = Store::open(StoreOptions::new(url), &*clock).await.unwrap();
        let authority = Authority::open(
            AuthoritySettings {
                public_url: PUBLIC_URL.into(),
                admin_url: None,
                former_origins: Vec::new(),
                authority_id: "test".into(),
                hash_threads: 1,
                registrations_max: 1,
                ca_file: None,
                names: None,
            },
            store,
            clock.clone(),
            Arc::new(OsRandom),
            MasterKey::from_bytes([7; 32]),
        )
        .await
        .unwrap();
        let key = authority.identity_key();
        let (_, feed) = sdk::policy_feed(clock.clone());
        let gateway = Gateway::new(
            Settings {
                public_url: PUBLIC_URL.into(),
                alias_origins: Vec::new(),
                former_origins: Vec::new(),
                allowed_origins: Vec::new(),
                reserved_paths: server::OWN_PATHS.map(str::to_owned).to_vec(),
                servers: Vec::new(),
                identity_key: IdentityKey {
                    kid: key.key_id,
                    pkcs8: key.pkcs8,
                },
                opaque_tokens: None,
                other_issuers: HashMap::new(),
                limits: Limits::default(),
            },
            feed,
            mpsc::channel(8).0,
            clock.clone(),
            Arc::new(OsRandom),
        )
        .unwrap();
        let terminal = Terminal::memory();
        let (first_looks, _heard) = mpsc::channel(64);
        let set = ServerSet::new(Surroundings {
            gateway: gateway.clone(),
            clock: clock.clone(),
            manifest: Manifest::Store {
                store: authority.store().clone(),
                clock,
                wake: Arc::new(Notify::new()),
            },
            asked: Some(Asked {
                slug: ServerSlug::parse("asked").unwrap(),
                env: Vec::new(),
                overrides: Vec::new(),
                found: None,
            }),
            todo: None,
            terminal: terminal.clone(),
            look_every: Duration::from_secs(300),
            first_looks,
        });
        Self {
            set,
            gateway,
            terminal,
            folder,
            _heard,
        }
    }

    fn follow(&mut self, servers: &[McpServer]) {
        let served: Vec<Served> = servers.iter().map(Served::from).collect();
        self.set.follow(&served);
    }

    /// Whether an MCP server answers at this path of the authority's own origin.
    fn answers(&self, path: &str) -> bool {
        let request = Request::get(path).header("host", "localhost:4180");
        let request = request.body(()).unwrap();
        self.gateway
            .claim(request.uri(), request.headers())
            .is_some()
    }

    fn upstream(&self, slug: &str) -> Option<&gateway::Upstream> {
        let server = self.set.in_force.iter().find(|server| server.slug == slug);
        server.map(|server| &server.upstream)
    }

    fn look(&self, slug: &str) -> Option<tokio::task::Id> {
        let known = self.set.known.get(&ServerSlug::parse(slug).unwrap())?;
        known.look.as_ref().map(AbortHandle::id)
    }
}

fn server(slug: &str, created_at: i64) -> McpServer {
    McpServer {
        slug: ServerSlug::parse(slug).unwrap(),
        name: String::new(),
        resource: format!("{PUBLIC_URL}/mcp/{slug}"),
        // Nobody listens at port 9, so it is looked at for ever.
        other_addresses: domain::OtherAddresses::default(),
        upstream: Upstream::Http {
            url: "http://127.0.0.1:9/mcp".into(),
            header_file: None,
        },
        settings: domain::ServerSettings::default(),
        policy: Policy::default(),
        policy_revision: 1,
        created_at: Timestamp::from_unix_ms(created_at),
    }
}

#[tokio::test]
async fn servers_come_and_go_and_only_what_changed_is_looked_at_again() {
    let mut world = World::new().await;
    let (a, b) = (server("a", 1), server("b", 2));
    world.follow(&[a.clone(), b.clone()]);
    assert!(world.answers("/mcp/a") && world.answers("/mcp/b"));
    let (look_a, look_b) = (world.look("a"), world.look("b"));
    assert!(look_a.is_some() && look_b.is_some());

    // A name and a policy are nothing to the gateway.
    let renamed = McpServer {
        name: "Another".into(),
        policy_revision: 2,
        ..a.clone()
    };
    let moved = McpServer {
        upstream: Upstream::Http {
            url: "http://127.0.0.1:9/other".into(),
            header_file: None,
        },
        ..b
    };
    world.follow(&[renamed, moved]);
    assert_eq!(world.look("a"), look_a);
    assert_ne!(world.look("b"), look_b);
    let Some(gateway::Upstream::Http { url, .. }) = world.upstream("b") else {
        panic!("b has an HTTP upstream");
    };
    assert_eq!(url.path(), "/other");

    world.follow(&[a]);
    assert!(world.answers("/mcp/a"));
    assert!(!world.answers("/mcp/b"));
    assert_eq!(world.look("b"), None);
    world.follow(&[]);
    assert!(!world.answers("/mcp/a"));
}

#[tokio::test]
async fn a_header_file_that_is_missing_is_told_once_and_takes_nobody_down_until_it_comes() {
    let mut world = World::new().await;
    let file = world.folder.path().join("headers");
    let locked = McpServer {
        upstream: Upstream::Http {
            url: "http://127.0.0.1:9/mcp".into(),
            header_file: Some(file.display().to_string()),
        },
        ..server("locked", 1)
    };
    let all = [locked, server("open", 2)];
    world.follow(&all);
    world.follow(&all);
    assert!(world.answers("/mcp/locked"), "it guides clients on");
    assert_eq!(world.upstream("locked"), Some(&gateway::Upstream::Unusable));
    assert_ne!(world.upstream("open"), Some(&gateway::Upstream::Unusable));
    assert_eq!(world.look("locked"), None);
    let told = world.terminal.kept();
    assert_eq!(told.matches("locked cannot be served").count(), 1, "{told}");
    assert!(told.contains("headers cannot be read"), "{told}");

    std::fs::write(&file, "X-Key: k").unwrap();
    world.follow(&all);
    let Some(gateway::Upstream::Http { headers, .. }) = world.upstream("locked") else {
        panic!("it has an HTTP upstream");
    };
    assert_eq!(headers.len(), 1);
    assert!(world.look("locked").is_some());

    std::fs::remove_file(&file).unwrap();
    world.follow(&all);
    assert!(world.look("locked").is_some(), "it was read at its start");
}

#[tokio::test]
async fn what_the_gateway_refuses_is_left_out_and_of_two_at_one_address_the_older_one_stays() {
    let mut world = World::new().await;
    let resource = |resource: &str, server: McpServer| McpServer {
        resource: resource.into(),
        ..server
    };
    let old = server("old", 1);
    let twin = resource("http://127.0.0.1:4180/mcp/old", server("a-twin", 2));
    let nowhere = resource("https://X.example/mcp", server("nowhere", 3));
    let admin = resource("http://localhost:4180/admin/x", server("admin", 4));
    let ftp = McpServer {
        upstream: Upstream::Http {
            url: "ftp://x.example/".into(),
            header_file: None,
        },
        ..server("ftp", 5)
    };
    let all = [twin, old.clone(), nowhere, admin, ftp];
    world.follow(&all);
    world.follow(&all);
    let in_force: Vec<_> = world.set.in_force.iter().map(|one| &*one.slug).collect();
    assert_eq!(in_force, ["old", "ftp"]);
    assert_eq!(world.upstream("ftp"), Some(&gateway::Upstream::Unusable));
    assert!(!world.set.has_place(&ServerSlug::parse("a-twin").unwrap()));
    assert!(world.set.has_place(&old.slug));
    let told = world.terminal.kept();
    for (slug, reason) in [
        ("a-twin", "\"old\" is at the same address"),
        ("nowhere", "write it as https://x.example/mcp"),
        ("admin", "the authority's own"),
        ("ftp", "ftp is neither"),
    ] {
        let line = format!("{slug} cannot be served");
        assert_eq!(told.matches(&line).count(), 1, "{told}");
        assert!(told.contains(reason), "{reason}: {told}");
    }
    assert_eq!(told.lines().count(), 4, "{told}");
}
