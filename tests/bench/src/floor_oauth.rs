//! The floor of the authorization server: the same HTTP stack, the same signature, the same two writes in one grouped
//! SQLite commit with `synchronous=FULL`, and nothing else: no checks, no reads, no other rows.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base::{Clock as _, Digest, OsRandom, SystemClock, base64url, random_token};
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use wire::oauth::{AccessTokenClaims, ScopeSet, TokenResponse};

struct Floor {
    key: EcdsaKeyPair,
    random: SystemRandom,
    writer: mpsc::Sender<Job>,
}

struct Job {
    rows: Vec<(&'static str, [String; 2])>,
    done: oneshot::Sender<()>,
}

#[derive(Deserialize)]
struct TokenForm {
    #[serde(alias = "refresh_token")]
    code: String,
    client_id: String,
}

/// Serves on a free loopback port and prints `host:port`.
pub async fn serve(directory: &Path) -> anyhow::Result<()> {
    let mut connection = SqliteConnectOptions::new()
        .filename(directory.join("floor.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await?;
    connection
        .execute("CREATE TABLE spent (digest TEXT PRIMARY KEY, at TEXT) STRICT")
        .await?;
    connection
        .execute("CREATE TABLE issued (digest TEXT PRIMARY KEY, family TEXT) STRICT")
        .await?;
    let (writer, jobs) = mpsc::channel(1024);
    tokio::spawn(write(connection, jobs));

    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
        .context("a fresh key")?;
    let app = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/token", post(token))
        .route("/register", post(register))
        .with_state(Arc::new(Floor {
            key,
            random,
            writer,
        }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn token(
    State(floor): State<Arc<Floor>>,
    Form(form): Form<TokenForm>,
) -> Json<TokenResponse> {
    let now = SystemClock.now().unix_seconds();
    let claims = AccessTokenClaims {
        standing: 0,
        iss: "http://localhost:4180/servers/todo".into(),
        sub: "usr_0123456789012345678901234567890123456789012".into(),
        aud: "http://localhost:4180/mcp/todo".into(),
        exp: now + 3600,
        iat: now,
        jti: random_token(&OsRandom, ""),
        client_id: form.client_id,
        scope: ScopeSet::parse_lenient("todo:read todo:write"),
        grant_id: "gra_0123456789012345678901234567890123456789012".into(),
        auth_time: Some(now),
        roles: Vec::new(),
        groups: Vec::new(),
        client_vouched: false,
        client_proven: false,
        cnf: None,
    };
    let payload = serde_json::to_vec(&claims).expect("claims are JSON");
    let mut access_token = format!(
        "{}.{}",
        base64url(br#"{"typ":"at+jwt","alg":"ES256","kid":"k"}"#),
        base64url(payload)
    );
    let signature = floor
        .key
        .sign(&floor.random, access_token.as_bytes())
        .expect("signing does not fail");
    access_token.push('.');
    access_token.push_str(&base64url(signature.as_ref()));

    let refresh_token = random_token(&OsRandom, "pcr_");
    floor
        .store(vec![
            (
                "INSERT INTO spent (digest, at) VALUES ($1, $2)",
                [Digest::of(&form.code).to_text(), now.to_string()],
            ),
            (
                "INSERT INTO issued (digest, family) VALUES ($1, $2)",
                [Digest::of(&refresh_token).to_text(), claims.grant_id],
            ),
        ])
        .await;
    Json(TokenResponse {
        access_token,
        token_type: "Bearer".into(),
        expires_in: 3600,
        refresh_token: Some(refresh_token),
        scope: claims.scope,
    })
}

async fn register(State(floor): State<Arc<Floor>>, body: String) -> (http::StatusCode, String) {
    let client_id = random_token(&OsRandom, "cli_");
    let value: serde_json::Value = serde_json::from_str(&body).expect("the load sends JSON");
    floor
        .store(vec![(
            "INSERT INTO issued (digest, family) VALUES ($1, $2)",
            [client_id, value.to_string()],
        )])
        .await;
    (http::StatusCode::CREATED, value.to_string())
}

impl Floor {
    async fn store(&self, rows: Vec<(&'static str, [String; 2])>) {
        let (done, written) = oneshot::channel();
        self.writer
            .send(Job { rows, done })
            .await
            .expect("the writer lives as long as the server");
        written.await.expect("the writer answers");
    }
}

/// One writer, up to 256 jobs a commit, each answered after the commit.
async fn write(mut connection: SqliteConnection, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(256);
    while jobs.recv_many(&mut group, 256).await > 0 {
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .expect("begin");
        for job in &mut group {
            for (sql, [first, second]) in job.rows.drain(..) {
                sqlx::query(sql)
                    .bind(first)
                    .bind(second)
                    .execute(&mut *transaction)
                    .await
                    .expect("insert");
            }
        }
        transaction.commit().await.expect("commit");
        for job in group.drain(..) {
            let _ = job.done.send(());
        }
    }
}
