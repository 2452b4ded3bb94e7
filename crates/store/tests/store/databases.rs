//! The databases that a test runs on.

use std::future::Future;
use std::path::Path;

use base::{OsRandom, Random as _, Secret};
use sqlx::Connection as _;
use store::{DatabaseUrl, Store, StoreOptions};
use tempfile::TempDir;
use testkit::MovableClock;

/// An empty database that is gone after the test.
pub struct TestDatabase {
    pub url: DatabaseUrl,
    _directory: Option<TempDir>,
}

impl TestDatabase {
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A name that an address would have to escape.
        let path = directory.path().join("a ?#%25 ä.sqlite");
        Self {
            url: DatabaseUrl::Sqlite(path),
            _directory: Some(directory),
        }
    }

    pub fn postgres() -> Option<Self> {
        let url = std::env::var("PORTCULLIS_TEST_POSTGRES_URL").ok()?;
        let mut name = [0u8; 8];
        OsRandom.fill(&mut name);
        Some(Self {
            url: DatabaseUrl::Postgres {
                url: Secret::new(url),
                schema: Some(format!("test_{:016x}", u64::from_le_bytes(name))),
            },
            _directory: None,
        })
    }

    pub async fn open(&self) -> Store {
        Store::open(
            StoreOptions::new(self.url.clone()),
            &MovableClock::default(),
        )
        .await
        .unwrap()
    }

    /// What the first release left: its tables with `rows` in them.
    pub async fn of_the_first_release(&self, tables_and_rows: &'static str) {
        match &self.url {
            // A file of ours that nothing was written to.
            DatabaseUrl::Sqlite(path) => {
                std::fs::write(path, "").unwrap();
                self.tamper("PRAGMA application_id = 0x5074636c").await;
            }
            DatabaseUrl::Postgres { url, schema } => {
                let mut connection = sqlx::PgConnection::connect(url.expose()).await.unwrap();
                let make = format!("CREATE SCHEMA {}", schema.as_ref().unwrap());
                sqlx::raw_sql(sqlx::AssertSqlSafe(make))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                connection.close().await.unwrap();
            }
        }
        self.tamper(tables_and_rows).await;
    }

    /// Runs a statement beside the store, as somebody who edits the database by hand.
    pub async fn tamper(&self, sql: &'static str) {
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options)
                    .await
                    .unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            DatabaseUrl::Postgres { url, schema } => {
                let mut connection = sqlx::PgConnection::connect(url.expose()).await.unwrap();
                let path = format!("SET search_path TO {}", schema.as_ref().unwrap());
                sqlx::raw_sql(sqlx::AssertSqlSafe(path))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// Every table and index with its columns, and every row, as text: equal exactly when nothing differs.
    pub async fn content(&self) -> Vec<String> {
        match &self.url {
            DatabaseUrl::Sqlite(path) => sqlite_content(path).await,
            DatabaseUrl::Postgres { url, schema } => {
                postgres_content(url.expose(), schema.as_ref().unwrap()).await
            }
        }
    }

    pub async fn remove(&self) {
        if let DatabaseUrl::Postgres { url, schema } = &self.url {
            let mut connection = sqlx::PgConnection::connect(url.expose()).await.unwrap();
            let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", schema.as_ref().unwrap());
            sqlx::raw_sql(sqlx::AssertSqlSafe(drop))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
}

/// Runs `test` on each database, one after the other.
pub async fn on_every_database<F: Future<Output = ()>>(test: impl Fn(TestDatabaseHandle) -> F) {
    let databases = [Some(TestDatabase::sqlite()), TestDatabase::postgres()];
    for database in databases.into_iter().flatten() {
        let database = std::sync::Arc::new(database);
        test(std::sync::Arc::clone(&database)).await;
        database.remove().await;
    }
}

pub type TestDatabaseHandle = std::sync::Arc<TestDatabase>;

/// Runs `test` on an open store of each database.
pub async fn on_every_store<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    on_every_database(|database| {
        let test = &test;
        async move {
            let store = database.open().await;
            test(store.clone()).await;
            assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
            store.close().await;
        }
    })
    .await;
}

async fn sqlite_content(path: &Path) -> Vec<String> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    let definitions =
        "SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1";
    let mut all: Vec<String> = sqlx::query_scalar(definitions)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    // For each table the sentence that puts its columns together.
    let sentences: Vec<String> = sqlx::query_scalar(
        "SELECT 'SELECT ''' || t.name || ':''' || group_concat(' || '' '' || quote(' || c.name || ')', '')
             || ' FROM ' || t.name || ' ORDER BY 1'
         FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' GROUP BY t.name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for sentence in sentences {
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sentence));
        all.extend(rows.fetch_all(&mut connection).await.unwrap());
    }
    connection.close().await.unwrap();
    all
}

async fn postgres_content(url: &str, schema: &str) -> Vec<String> {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let definitions = "SELECT table_name || '.' || column_name || ': ' || data_type || ' ' || coalesce(column_default, '')
         FROM information_schema.columns WHERE table_schema = $1
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1";
    let mut all: Vec<String> = sqlx::query_scalar(definitions)
        .bind(schema)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1",
    )
    .bind(schema)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for table in tables {
        let sentence = format!("SELECT '{table}: ' || t::text FROM {schema}.{table} t ORDER BY 1");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sentence));
        all.extend(rows.fetch_all(&mut connection).await.unwrap());
    }
    connection.close().await.unwrap();
    all
}
