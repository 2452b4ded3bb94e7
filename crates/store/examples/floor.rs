//! Durable code exchanges and refreshes of the store beside their floor: two plain inserts per caller, grouped by
//! hand into `FULL` commits over the same driver, nothing else.
//!
//! `cargo run --release -p portcullis-store --example floor [OPERATIONS]`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use authz::Policy;
use base::{Clock as _, Digest, OsRandom, SystemClock, random_token};
use domain::{
    AuditEvent, AuditEventKind, AuthorizationCode, Client, ClientId, ClientRegistration, Consent,
    EmailAddress, GrantId, McpServer, RefreshToken, ServerSettings, ServerSlug, SessionId,
    Upstream, User, UserId, UserRole,
};
use portcullis_store::{
    DatabaseUrl, RedeemCode, Redeemed, RotateRefreshToken, Rotated, Store, StoreOptions,
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use wire::oauth::{ClientRegistrationResponse, CodeChallenge, RedirectUri, ScopeSet};

const CALLERS: usize = 64;

#[tokio::main]
async fn main() {
    let operations: usize = std::env::args()
        .nth(1)
        .map_or(40_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        println!("round {round}, {CALLERS} callers, {operations} operations each");
        floor(
            &directory.path().join(format!("floor-{round}.sqlite")),
            operations,
        )
        .await;
        store(
            &directory.path().join(format!("store-{round}.sqlite")),
            operations,
        )
        .await;
    }
}

/// Runs `operation` for 0..count from all callers, and prints the rate and the CPU time of this process.
async fn measure<F>(
    name: &str,
    count: usize,
    operation: impl Fn(usize) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let (began, cpu) = (Instant::now(), cpu_time());
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (next, operation) = (Arc::clone(&next), operation.clone());
        callers.push(tokio::spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                operation(index).await;
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let (wall, cpu) = (began.elapsed(), cpu_time() - cpu);
    println!(
        "  {name:<34} {:>8.0}/s  {:>6.1} us CPU",
        count as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count as f64,
    );
}

fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap())
        .collect();
    Duration::from_millis((fields[0] + fields[1]) * 10)
}

struct Pair {
    first: String,
    second: String,
    reply: oneshot::Sender<()>,
}

async fn floor(path: &std::path::Path, operations: usize) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE a (digest TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL);
         CREATE TABLE b (digest TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let (queue, mut jobs) = mpsc::channel::<Pair>(1024);
    let writer = tokio::spawn(async move {
        let mut group = Vec::with_capacity(256);
        while jobs.recv_many(&mut group, 256).await > 0 {
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut connection)
                .await
                .unwrap();
            for pair in &group {
                for (sql, digest) in [
                    ("INSERT INTO a (digest, at) VALUES ($1, $2)", &pair.first),
                    ("INSERT INTO b (digest, at) VALUES ($1, $2)", &pair.second),
                ] {
                    sqlx::query(sql)
                        .bind(digest)
                        .bind(1_795_132_800_000i64)
                        .execute(&mut connection)
                        .await
                        .unwrap();
                }
            }
            sqlx::query("COMMIT")
                .execute(&mut connection)
                .await
                .unwrap();
            for pair in group.drain(..) {
                let _ = pair.reply.send(());
            }
        }
        connection.close().await.unwrap();
    });
    let digests: Arc<Vec<String>> = Arc::new(
        (0..2 * operations)
            .map(|_| Digest::of(random_token(&OsRandom, "")).to_text())
            .collect(),
    );
    measure("floor: two inserts", operations, move |index| {
        let (queue, digests) = (queue.clone(), Arc::clone(&digests));
        async move {
            let (reply, answer) = oneshot::channel();
            let pair = Pair {
                first: digests[2 * index].clone(),
                second: digests[2 * index + 1].clone(),
                reply,
            };
            queue.send(pair).await.unwrap();
            answer.await.unwrap();
        }
    })
    .await;
    writer.await.unwrap();
}

struct World {
    server: McpServer,
    user: User,
    client: Client,
}

fn event(kind: AuditEventKind, world: &World) -> AuditEvent {
    AuditEvent {
        at: SystemClock.now(),
        kind,
        server: Some(world.server.slug.clone()),
        user: Some(world.user.id.clone()),
        client: Some(world.client.id.clone()),
        grant: None,
        detail: String::new(),
    }
}

async fn store(path: &std::path::Path, operations: usize) {
    let url = DatabaseUrl::Sqlite(path.to_owned());
    let store = Store::open(StoreOptions::new(url), &SystemClock)
        .await
        .unwrap();
    let world = Arc::new(prepare(&store).await);
    let codes: Arc<Vec<AuthorizationCode>> =
        Arc::new((0..2 * operations).map(|_| code(&world)).collect());
    let tokens: Arc<Vec<RefreshToken>> =
        Arc::new(codes.iter().map(|code| token(&code.grant, 0)).collect());

    let (s, w, c) = (store.clone(), Arc::clone(&world), Arc::clone(&codes));
    measure("insert_code", 2 * operations, move |index| {
        let (s, w, c) = (s.clone(), Arc::clone(&w), Arc::clone(&c));
        async move {
            let consent = Consent {
                user: w.user.id.clone(),
                server: w.server.slug.clone(),
                client: w.client.id.clone(),
                redirect_uri: c[index].redirect_uri.clone(),
                scopes: c[index].scopes.clone(),
                approved_at: c[index].issued_at,
            };
            s.insert_code(
                c[index].clone(),
                consent,
                event(AuditEventKind::ConsentGiven, &w),
            )
            .await
            .unwrap();
        }
    })
    .await;

    for (name, find, first) in [
        ("redeem_code", false, 0),
        ("find_code + redeem_code", true, operations),
    ] {
        let (s, w, c, t) = (
            store.clone(),
            Arc::clone(&world),
            Arc::clone(&codes),
            Arc::clone(&tokens),
        );
        measure(name, operations, move |index| {
            let (s, w, c, t) = (s.clone(), Arc::clone(&w), Arc::clone(&c), Arc::clone(&t));
            async move {
                let code = &c[first + index];
                if find {
                    assert!(s.find_code(code.digest).await.unwrap().is_some());
                }
                let redeem = RedeemCode {
                    digest: code.digest,
                    family_expires_at: code.expires_at,
                    refresh: Some(t[first + index].clone()),
                    now: code.issued_at,
                    event: event(AuditEventKind::CodeRedeemed, &w),
                };
                assert_eq!(s.redeem_code(redeem).await.unwrap(), Redeemed::Fresh);
            }
        })
        .await;
    }
    for (name, find, first) in [
        ("rotate_refresh_token", false, 0),
        ("find + rotate_refresh_token", true, operations),
    ] {
        let (s, w, t) = (store.clone(), Arc::clone(&world), Arc::clone(&tokens));
        measure(name, operations, move |index| {
            let (s, w, t) = (s.clone(), Arc::clone(&w), Arc::clone(&t));
            async move {
                let old = &t[first + index];
                if find {
                    assert!(s.find_refresh_token(old.digest).await.unwrap().is_some());
                }
                let rotate = RotateRefreshToken {
                    digest: old.digest,
                    salt: vec![7; 16],
                    successor: token(&old.family, 1),
                    now: SystemClock.now(),
                    event: event(AuditEventKind::TokenRefreshed, &w),
                };
                assert_eq!(
                    s.rotate_refresh_token(rotate).await.unwrap(),
                    Rotated::Fresh
                );
            }
        })
        .await;
    }
    let (s, w) = (store.clone(), Arc::clone(&world));
    measure("insert_client", operations, move |_| {
        let (s, w) = (s.clone(), Arc::clone(&w));
        async move {
            let client = new_client(&w);
            let fingerprint = Digest::of(client.id.as_str());
            s.insert_client(
                &client,
                Some(fingerprint),
                event(AuditEventKind::ClientRegistered, &w),
            )
            .await
            .unwrap();
        }
    })
    .await;
    let (s, c) = (store.clone(), Arc::clone(&codes));
    measure("find_code", operations, move |index| {
        let (s, c) = (s.clone(), Arc::clone(&c));
        async move {
            assert!(s.find_code(c[index].digest).await.unwrap().is_some());
        }
    })
    .await;
    let (s, t) = (store.clone(), Arc::clone(&tokens));
    measure("find_refresh_token", operations, move |index| {
        let (s, t) = (s.clone(), Arc::clone(&t));
        async move {
            assert!(
                s.find_refresh_token(t[index].digest)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
    })
    .await;
    store.close().await;
}

fn new_client(world: &World) -> Client {
    let id = ClientId::at(SystemClock.now(), &OsRandom);
    let mut client = world.client.clone();
    client.metadata.client_id = id.to_string();
    client.id = id;
    client
}

fn token(family: &GrantId, generation: i64) -> RefreshToken {
    RefreshToken {
        digest: Digest::of(random_token(&OsRandom, "pcr_")),
        family: family.clone(),
        generation,
        expires_at: SystemClock.now().after(Duration::from_secs(3600)),
        spent: None,
    }
}

fn code(world: &World) -> AuthorizationCode {
    let now = SystemClock.now();
    AuthorizationCode {
        digest: Digest::of(random_token(&OsRandom, "pcc_")),
        server: world.server.slug.clone(),
        client: world.client.id.clone(),
        user: world.user.id.clone(),
        session: SessionId::random(&OsRandom),
        redirect_uri: "http://127.0.0.1:50000/callback".into(),
        code_challenge: CodeChallenge::parse(&Digest::of("verifier").to_text()).unwrap(),
        scopes: ScopeSet::parse_lenient("todo:read todo:write"),
        withheld: Vec::new(),
        authenticated_at: now,
        grant: GrantId::at(SystemClock.now(), &OsRandom),
        issued_at: now,
        expires_at: now.after(Duration::from_secs(3600)),
        redeemed_at: None,
    }
}

async fn prepare(store: &Store) -> World {
    let now = SystemClock.now();
    let server = McpServer {
        slug: ServerSlug::parse("todo").unwrap(),
        name: "Todo".into(),
        resource: "http://localhost:4180/mcp/todo".into(),
        other_addresses: domain::OtherAddresses::default(),
        upstream: Upstream::Todo,
        settings: ServerSettings::default(),
        policy: Policy::default(),
        policy_revision: 1,
        created_at: now,
    };
    let user = User {
        id: UserId::random(&OsRandom),
        email: EmailAddress::parse("alice@example.com").unwrap(),
        name: "alice".into(),
        password_hash: None,
        role: UserRole::Owner,
        created_at: now,
        disabled_at: None,
    };
    let id = ClientId::random(&OsRandom);
    let redirect = "http://127.0.0.1/callback";
    let client = Client {
        metadata: ClientRegistrationResponse {
            client_id: id.to_string(),
            client_id_issued_at: now.unix_seconds(),
            redirect_uris: vec![redirect.into()],
            token_endpoint_auth_method: "none".into(),
            grant_types: vec!["authorization_code".into()],
            response_types: vec!["code".into()],
            client_name: None,
            scope: None,
            application_type: None,
            client_uri: None,
            logo_uri: None,
            software_id: None,
            software_version: None,
            other: serde_json::Map::new(),
        },
        id,
        server: server.slug.clone(),
        name: "Inspector".into(),
        redirect_uris: vec![RedirectUri::parse(redirect).unwrap()],
        registration: ClientRegistration::Dynamic,
        authentication: domain::ClientAuthentication::none(),
        service_scopes: None,
        created_at: now,
        waiting_since: None,
        disabled_at: None,
    };
    let world = World {
        server,
        user,
        client,
    };
    let added = || event(AuditEventKind::ServerAdded, &world);
    store.insert_server(&world.server, added()).await.unwrap();
    store.insert_user(&world.user, added()).await.unwrap();
    store
        .insert_client(&world.client, None, added())
        .await
        .unwrap();
    world
}
