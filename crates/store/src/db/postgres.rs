use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Secret, Timestamp};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyPool, AssertSqlSafe, ConnectOptions as _, Executor as _};

use super::fence::{Fence, is_a_standby};
use super::{closed, from_sqlx};
use crate::conn::{self, Conn};
use crate::epoch::KnownEpoch;
use crate::job::Work;
use crate::metric::PoolMetric;
use crate::migrate::{self, Schema};
use crate::values::{Args, RowReader};
use crate::{StoreError, StoreLoad};

/// How often a transaction that lost a conflict is tried again.
const ATTEMPTS: u32 = 6;

/// How long a transaction may wait for a connection or a lock, and until when a lost one is tried again.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// How long the server may take to answer at the start.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a server that is waited for is looked for.
const REACH_EVERY: Duration = Duration::from_secs(1);

const CONNECTIONS_MAX: u32 = 16;

/// A PostgreSQL database: each write a transaction of its own.
pub(crate) struct Postgres {
    pool: AnyPool,
    metric: Arc<PoolMetric>,
    epoch: Arc<KnownEpoch>,
}

impl Postgres {
    pub(super) async fn open(
        url: &Secret<String>,
        namespace: Option<&str>,
        schema: &Schema,
        now: Timestamp,
        wait: Duration,
    ) -> Result<Self, StoreError> {
        check(url)?;
        let options = AnyConnectOptions::from_str(url.expose())
            .map_err(|_| unreadable())?
            .disable_statement_logging();
        let namespace = namespace.map(quoted).transpose()?;
        reach(&options, wait).await?;
        let search_path = namespace
            .as_ref()
            .map_or_else(String::new, |name| format!("SET search_path TO {name}; "));
        let after_connect =
            format!("{search_path}SET statement_timeout = '30s'; SET lock_timeout = '3s'");
        let epoch = Arc::new(KnownEpoch::default());
        let fence = Fence::new(Arc::clone(&epoch), options.clone(), after_connect.clone());
        let at_the_door = fence.clone();
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(WAIT_MAX)
            .after_connect(move |connection, _| {
                let (sql, fence) = (after_connect.clone(), at_the_door.clone());
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(sql)).await?;
                    let passed = fence.pass(connection).await;
                    passed.map_err(|error| sqlx::Error::Configuration(Box::new(error)))
                })
            })
            .connect_with(options)
            .await
            .map_err(|error| from_sqlx(&error))?;
        let postgres = Self {
            pool,
            metric: Arc::new(PoolMetric::new(schema.name)),
            epoch,
        };
        match postgres.set_up(namespace, schema, now, &fence).await {
            Ok(()) => Ok(postgres),
            Err(error) => {
                postgres.close().await;
                Err(error)
            }
        }
    }

    async fn set_up(
        &self,
        namespace: Option<String>,
        schema: &Schema,
        now: Timestamp,
        fence: &Fence,
    ) -> Result<(), StoreError> {
        self.check_durability().await?;
        let mut conn = self.acquire().await?;
        conn.run("BEGIN").await?;
        let migrated = async {
            // One starter at a time, whatever it finds and however long the one before takes.
            conn.run("SET LOCAL lock_timeout = 0").await?;
            // What is there already is no news.
            conn.run("SET LOCAL client_min_messages = warning").await?;
            conn.run("SELECT pg_advisory_xact_lock(5797893146233)")
                .await?;
            if let Some(name) = namespace {
                conn.run(&format!("CREATE SCHEMA IF NOT EXISTS {name}"))
                    .await?;
            }
            migrate::migrate(&mut conn, schema, now).await?;
            conn.run("COMMIT").await?;
            if schema.has_epoch {
                fence.check(conn.raw()).await?;
                fence.arm();
            }
            Ok(())
        }
        .await;
        if migrated.is_err() {
            conn.close().await;
        }
        migrated
    }

    /// Settings under which an answered commit may be lost are refused at start.
    async fn check_durability(&self) -> Result<(), StoreError> {
        let sql = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
                   current_setting('synchronous_commit'), current_setting('server_encoding'), \
                   pg_is_in_recovery()::text";
        let row = self
            .fetch_optional(sql, Args::default())
            .await?
            .ok_or_else(|| StoreError::Internal("PostgreSQL shows no settings".to_owned()))?;
        let row = RowReader::new(&row, "settings");
        if row.text(4)? == "true" {
            return Err(is_a_standby());
        }
        refuse_off([row.text(0)?, row.text(1)?, row.text(2)?])?;
        if row.text(3)? != "UTF8" {
            return Err(StoreError::Unavailable(format!(
                "the PostgreSQL database has the encoding {}; it must be UTF8",
                row.text(3)?
            )));
        }
        Ok(())
    }

    pub(super) async fn acquire(&self) -> Result<Conn, StoreError> {
        let connection = self.pool.acquire().await.map_err(|error| {
            if matches!(error, sqlx::Error::PoolTimedOut) {
                self.metric.timed_out();
            }
            from_sqlx(&error)
        })?;
        Ok(Conn::pooled(connection))
    }

    pub(super) async fn write<D, T>(&self, data: D, work: Work<D, T>) -> Result<T, StoreError>
    where
        D: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let postgres = Self {
            pool: self.pool.clone(),
            metric: Arc::clone(&self.metric),
            epoch: Arc::clone(&self.epoch),
        };
        // A task of its own: a caller that goes away does not take the transaction with it.
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let mut attempt = 0;
            loop {
                attempt += 1;
                match postgres.transaction(&data, &work).await {
                    Err(StoreError::Busy) if attempt < ATTEMPTS && began.elapsed() < WAIT_MAX => {
                        postgres.metric.retried();
                        let wait = Duration::from_millis(2 << attempt);
                        tokio::time::sleep(wait).await;
                    }
                    outcome => return outcome,
                }
            }
        });
        task.await.map_err(|_| closed())?
    }

    async fn transaction<D, T>(&self, data: &D, work: &Work<D, T>) -> Result<T, StoreError> {
        let mut conn = self.acquire().await?;
        conn.execute("BEGIN", Args::default()).await?;
        let outcome = async {
            let answer = work.run(&mut conn, data, None).await?;
            conn.flush().await?;
            conn.execute("COMMIT", Args::default()).await?;
            Ok(answer)
        }
        .await;
        if outcome.is_err() && conn.execute("ROLLBACK", Args::default()).await.is_err() {
            conn.close().await;
        }
        outcome
    }

    pub(super) async fn fetch_optional(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Option<AnyRow>, StoreError> {
        let args = args.finish()?;
        conn::fetch_optional(self.acquire().await?.raw(), sql, args).await
    }

    pub(super) async fn fetch_all(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let args = args.finish()?;
        conn::fetch_all(self.acquire().await?.raw(), sql, args).await
    }

    pub(super) fn known_epoch(&self) -> &KnownEpoch {
        &self.epoch
    }

    pub(super) fn load(&self) -> StoreLoad {
        let open = self.pool.size() as usize;
        let connections_idle = self.pool.num_idle().min(open);
        StoreLoad::Postgres {
            connections_busy: open - connections_idle,
            connections_idle,
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether the driver can read the address.
pub(super) fn check(url: &Secret<String>) -> Result<(), StoreError> {
    PgConnectOptions::from_str(url.expose())
        .map(drop)
        .map_err(|_| unreadable())
}

/// The driver's words would repeat the address, and the address has the password.
fn unreadable() -> StoreError {
    StoreError::Unavailable("the PostgreSQL address cannot be read".to_owned())
}

/// `fsync`, `full_page_writes` and `synchronous_commit`, as the server has them.
fn refuse_off(settings: [&str; 3]) -> Result<(), StoreError> {
    for (name, value) in ["fsync", "full_page_writes", "synchronous_commit"]
        .into_iter()
        .zip(settings)
    {
        if value == "off" {
            return Err(StoreError::Unavailable(format!(
                "PostgreSQL runs with {name} = off, so answered writes could be lost; set it to on"
            )));
        }
    }
    Ok(())
}

/// Connects once, so that a wrong address is refused at once and in its own words; the pool would try until its
/// time is up and then say only that. A server that does not listen, or only just starts, is waited for.
async fn reach(options: &AnyConnectOptions, wait: Duration) -> Result<(), StoreError> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let (error, may_come) = match reach_once(options).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        if !may_come || began.elapsed() + REACH_EVERY > wait {
            return Err(error);
        }
        if !is_told {
            is_told = true;
            let seconds = wait.as_secs();
            tracing::warn!(%error, "PostgreSQL is not there yet; it is waited for, for at most {seconds} seconds");
        }
        tokio::time::sleep(REACH_EVERY).await;
    }
}

/// Says also whether the server may only be late.
async fn reach_once(options: &AnyConnectOptions) -> Result<(), (StoreError, bool)> {
    use sqlx::Connection as _;
    let connected = tokio::time::timeout(REACH_TIMEOUT, options.connect())
        .await
        .map_err(|_| {
            let seconds = REACH_TIMEOUT.as_secs();
            let words = format!("PostgreSQL did not answer within {seconds} seconds");
            (StoreError::Unavailable(words), true)
        })?;
    let connection = connected.map_err(|error| (from_sqlx(&error), may_come(&error)))?;
    let closed = connection.close().await;
    closed.map_err(|error| (from_sqlx(&error), false))
}

/// Nobody listens or the name is not known yet, or the server says that it is starting (`cannot_connect_now`).
fn may_come(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// A schema's name as an identifier.
fn quoted(name: &str) -> Result<String, StoreError> {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 63
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain {
        Ok(format!("\"{name}\""))
    } else {
        Err(StoreError::Unavailable(format!(
            "the PostgreSQL schema {name:?} must be 1 to 63 of a-z 0-9 _ and start with a letter"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_may_lose_what_was_answered_is_refused_by_its_name() {
        assert!(refuse_off(["on", "on", "on"]).is_ok());
        assert!(refuse_off(["on", "on", "remote_apply"]).is_ok());
        for (index, name) in ["fsync", "full_page_writes", "synchronous_commit"]
            .into_iter()
            .enumerate()
        {
            let mut settings = ["on"; 3];
            settings[index] = "off";
            let words = refuse_off(settings).map_err(|error| error.to_string());
            let is_named = words.is_err_and(|words| words.contains(&format!("{name} = off")));
            assert!(is_named, "{name}");
        }
    }
}
