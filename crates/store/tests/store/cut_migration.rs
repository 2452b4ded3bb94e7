//! A migration that dies half-way, by an error or with its process: the earlier version goes on as if nothing had been.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use store::{DatabaseUrl, Store, StoreError, StoreOptions};
use testkit::MovableClock;

use crate::databases::{TestDatabase, on_every_database};
use crate::upgrade::FIRST_RELEASE;

/// Set for the process that is killed.
const FILE: &str = "PORTCULLIS_TEST_CUT_MIGRATION";
const PATIENCE: Duration = Duration::from_secs(120);

/// What a step would make or change, put in its way; and how it is taken out of the way again.
const OBSTACLES: [(&str, &str); 3] = [
    // In the middle of the second step, after it has added columns.
    (
        "CREATE TABLE service_token (id TEXT)",
        "DROP TABLE service_token",
    ),
    // In the middle of the fourth, when three are done.
    (
        "ALTER TABLE signing_key ADD COLUMN token_seconds_max TEXT",
        "ALTER TABLE signing_key DROP COLUMN token_seconds_max",
    ),
    // The very last statement of the fifth.
    (
        "CREATE INDEX token_family_client_id ON token_family (server)",
        "DROP INDEX token_family_client_id",
    ),
];

async fn open(database: &TestDatabase) -> Result<Store, StoreError> {
    let options = StoreOptions::new(database.url.clone());
    Store::open(options, &MovableClock::default()).await
}

#[tokio::test]
async fn a_step_that_fails_in_its_middle_leaves_the_earlier_version_as_it_was() {
    for (obstacle, away) in OBSTACLES {
        on_every_database(|database| async move {
            database.of_the_first_release(FIRST_RELEASE).await;
            database.tamper(obstacle).await;
            let before = database.content().await;
            let refused = open(&database).await;
            assert!(refused.is_err(), "{obstacle} was in the way");
            assert_eq!(database.content().await, before, "{obstacle}");
            database.tamper(away).await;
            goes_on(&database).await;
        })
        .await;
    }
}

/// The first release writes as it always did, and then this one takes over.
async fn goes_on(database: &TestDatabase) {
    database
        .tamper(
            "INSERT INTO client VALUES ('cli_3', 'todo', 'Late', '[\"http://localhost/x\"]', 'dynamic', NULL,
                 '{\"client_id\":\"cli_3\",\"client_id_issued_at\":1795224159,\"redirect_uris\":[\"http://localhost/x\"],\"token_endpoint_auth_method\":\"none\",\"grant_types\":[],\"response_types\":[],\"client_secret_expires_at\":0}',
                 1795224159999, NULL);
             INSERT INTO signing_key VALUES ('key_3', 'identity', 'ES256', 'sealed', '{\"kty\":\"EC\"}', 1795224132803, NULL);
             INSERT INTO consent VALUES ('usr_1', 'cli_3', 'http://localhost/x', 'todo', 'todo:read', 1795224160000);",
        )
        .await;
    let store = open(database).await.unwrap();
    assert_eq!(store.list_clients(None, 10).await.unwrap().len(), 3);
    assert_eq!(store.list_signing_keys().await.unwrap().len(), 3);
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await;
}

/// So many approvals that copying them outgrows the cache, and the middle of the step can be seen in the log of writes.
const MANY_APPROVALS: &str = "
    WITH RECURSIVE number (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < 400000)
    INSERT INTO consent SELECT 'usr_1', 'cli_1', 'http://localhost:8787/callback/' || n, 'todo', 'todo:read', 0 FROM number";

#[cfg(unix)]
#[tokio::test]
async fn a_process_killed_in_the_middle_of_a_step_leaves_the_earlier_version_as_it_was() {
    if let Some(file) = std::env::var_os(FILE) {
        let options = StoreOptions::new(DatabaseUrl::Sqlite(file.into()));
        let opened = Store::open(options, &MovableClock::default()).await;
        opened.unwrap();
        return;
    }
    let database = TestDatabase::sqlite();
    database.of_the_first_release(FIRST_RELEASE).await;
    database.tamper(MANY_APPROVALS).await;
    let before = database.content().await;
    let DatabaseUrl::Sqlite(path) = &database.url else {
        unreachable!("it is SQLite")
    };
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cut_migration::a_process_killed_in_the_middle_of_a_step_leaves_the_earlier_version_as_it_was"])
        .env(FILE, path)
        .spawn()
        .unwrap();
    let log = format!("{}-wal", path.display());
    let started = Instant::now();
    while std::fs::metadata(&log).map_or(0, |log| log.len()) < 1024 * 1024 {
        assert!(started.elapsed() < PATIENCE, "the step never began");
        assert!(process.try_wait().unwrap().is_none(), "it was too quick");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    process.kill().unwrap();
    assert!(!process.wait().unwrap().success(), "it was done before");
    assert!(Path::new(&log).metadata().unwrap().len() > 0);
    assert!(database.content().await == before, "something is different");
    goes_on(&database).await;
}

/// Step four waits for a lock while the server ends its connection, as when the process or the server dies.
#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_step_leaves_the_earlier_version_as_it_was() {
    let Some(database) = TestDatabase::postgres() else {
        return;
    };
    database.of_the_first_release(FIRST_RELEASE).await;
    let before = database.content().await;
    let DatabaseUrl::Postgres { url, schema } = &database.url else {
        unreachable!("it is PostgreSQL")
    };
    let table = format!("{}.signing_key", schema.as_ref().unwrap());
    let mut holder = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS SHARE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut holder)
        .await
        .unwrap();
    let mut ender = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let ended = async {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
        );
        for _ in 0..PATIENCE.as_millis() / 20 {
            let end = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(end.clone()));
            if end.fetch_one(&mut ender).await.unwrap() > 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    let (opened, ended) = tokio::join!(open(&database), ended);
    assert!(ended && opened.is_err());
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    assert_eq!(database.content().await, before);
    goes_on(&database).await;
    database.remove().await;
}
