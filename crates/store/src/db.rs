//! Which database it is, and nothing else in this crate knows.

mod fence;
pub(crate) mod portable;
mod postgres;
mod readers;
mod sqlite;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

use base::{Secret, Timestamp};
use sqlx::any::AnyRow;
use sqlx::sqlite::SqliteError;

use crate::conn::Conn;
use crate::epoch::KnownEpoch;
use crate::job::Work;
use crate::lookup::Lookup;
use crate::migrate::Schema;
use crate::values::{Args, RowReader};
use crate::{StoreError, StoreLoad};

/// Where the data lives.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A file, made when it is missing.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres {
        /// `postgres://user:password@host:port/database?sslmode=…`
        url: Secret<String>,
        /// The schema that holds the tables, made when it is missing; the connection's own when `None`.
        schema: Option<String>,
    },
}

impl DatabaseUrl {
    /// Reads `postgres://…`, `postgresql://…`, `sqlite:PATH` or a bare path.
    pub fn parse(text: &str) -> Self {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::Postgres {
                url: Secret::new(text.to_owned()),
                schema: None,
            };
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let path = path.strip_prefix("//").unwrap_or(path);
        Self::Sqlite(PathBuf::from(path))
    }

    /// Whether the address can be read; nothing is connected.
    ///
    /// # Errors
    /// When it cannot, without repeating it.
    pub fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres { url, .. } => postgres::check(url),
        }
    }
}

/// How hard SQLite works for a commit to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// The log is synced before a commit is answered.
    #[default]
    Full,
    /// A power cut may take back answered commits. It exists so that the crash tests can be shown to notice.
    #[cfg(feature = "weaken-durability")]
    Normal,
}

/// An open database: many readers, and writes that are durable when they are answered.
pub(crate) enum Database {
    Sqlite(Box<sqlite::Sqlite>),
    Postgres(postgres::Postgres),
}

impl Database {
    pub(crate) async fn open(
        url: &DatabaseUrl,
        synchronous: Synchronous,
        schema: &Schema,
        now: Timestamp,
        wait: Duration,
    ) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::Sqlite::open(path, synchronous, schema, now)
                .await
                .map(|sqlite| Self::Sqlite(Box::new(sqlite))),
            DatabaseUrl::Postgres {
                url,
                schema: namespace,
            } => postgres::Postgres::open(url, namespace.as_deref(), schema, now, wait)
                .await
                .map(Self::Postgres),
        }
    }

    /// Runs `work` on `data` in one transaction and answers when it is durable.
    pub(crate) async fn write<D, T>(&self, data: D, work: Work<D, T>) -> Result<T, StoreError>
    where
        D: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => {
                let written = sqlite.writer.write(data, work).await;
                written.map_err(|error| sqlite::naming(error, &sqlite.path))
            }
            Self::Postgres(postgres) => postgres.write(data, work).await,
        }
    }

    pub(crate) async fn fetch_optional(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Option<AnyRow>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.readers.fetch_optional(sql, args).await,
            Self::Postgres(postgres) => postgres.fetch_optional(sql, args).await,
        }
    }

    pub(crate) async fn fetch_all(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Vec<AnyRow>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.readers.fetch_all(sql, args).await,
            Self::Postgres(postgres) => postgres.fetch_all(sql, args).await,
        }
    }

    /// What the database's own clock says, when it is a server with a clock that several nodes share.
    pub(crate) async fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let Self::Postgres(postgres) = self else {
            return Ok(None);
        };
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
        let row = postgres.fetch_optional(sql, Args::default()).await?;
        let row = row.ok_or_else(|| StoreError::Internal("PostgreSQL has no time".to_owned()))?;
        RowReader::new(&row, "clock").time(0).map(Some)
    }

    /// Reads the one row of `lookup` that has this key.
    pub(crate) async fn find(
        &self,
        lookup: &'static Lookup,
        key: &str,
    ) -> Result<Option<AnyRow>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.lookups.find(lookup, key).await,
            Self::Postgres(postgres) => {
                let args = Args::with_capacity(1).text(key);
                match postgres.fetch_optional(lookup.one(), args).await {
                    // No row can have such a key.
                    Err(StoreError::NulCharacter(_)) => Ok(None),
                    other => other,
                }
            }
        }
    }

    /// What this process knows of the epoch.
    pub(crate) fn known_epoch(&self) -> &KnownEpoch {
        match self {
            Self::Sqlite(sqlite) => &sqlite.epoch,
            Self::Postgres(postgres) => postgres.known_epoch(),
        }
    }

    /// How busy it is.
    pub(crate) fn load(&self) -> StoreLoad {
        match self {
            Self::Sqlite(sqlite) => StoreLoad::Sqlite {
                writes_waiting: sqlite.writer.waiting(),
            },
            Self::Postgres(postgres) => postgres.load(),
        }
    }

    /// See [`crate::Store::commit_takes`].
    pub(crate) fn commit_takes(&self) -> Duration {
        match self {
            Self::Sqlite(sqlite) => sqlite.writer.commit_takes(),
            Self::Postgres(_) => Duration::ZERO,
        }
    }

    /// What the database itself finds wrong with its files, in words.
    pub(crate) async fn damage(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.damage().await,
            // PostgreSQL checks pages itself when it reads them.
            Self::Postgres(_) => Ok(Vec::new()),
        }
    }

    /// Finishes the writes that wait, then closes.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        }
    }
}

/// Begins a transaction that may write. Only SQLite must say so at once: a transaction that began as a reader
/// could find the write lock taken when it is too late to start again.
async fn begin_immediate(conn: &mut Conn) -> Result<(), StoreError> {
    conn.execute("BEGIN IMMEDIATE", Args::default())
        .await
        .map(|_| ())
}

/// Whether SQLite found no room.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "13")
}

/// What an error of the driver means to a caller.
pub(crate) fn from_sqlx(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(database) => {
            if database.is_unique_violation() {
                return StoreError::Conflict("a row with this key");
            }
            let code = database.code().unwrap_or_default();
            let text = database.message();
            match database.try_downcast_ref::<SqliteError>() {
                // The low byte is the primary code, the rest says more.
                Some(_) => match code.parse::<i32>().unwrap_or_default() & 0xff {
                    5 | 6 => StoreError::Busy,
                    8 => StoreError::Unavailable(format!(
                        "the database is read-only; let its disk be written to, and by this user: {text}"
                    )),
                    10 => StoreError::Unavailable(format!(
                        "the disk failed; the system's log says why: {text}"
                    )),
                    13 => StoreError::Unavailable(format!(
                        "the disk is full; make room on it: {text}"
                    )),
                    14 => StoreError::Unavailable(format!(
                        "the database file cannot be opened: {text}"
                    )),
                    11 => StoreError::Unavailable(format!("the database file is damaged: {text}")),
                    26 => StoreError::Unavailable(format!("not an SQLite database: {text}")),
                    _ => StoreError::Internal(format!("{text} ({code})")),
                },
                None => match code.as_ref() {
                    "40001" | "40P01" | "55P03" | "53300" => StoreError::Busy,
                    "53100" => StoreError::Unavailable(format!("the disk is full: {text}")),
                    // Stopping, starting, or out of time.
                    _ if code.starts_with("57") || code.starts_with("08") => {
                        StoreError::Unavailable(format!("the database went away: {text}"))
                    }
                    _ if code.starts_with("28") => {
                        StoreError::Unavailable(format!("the database refuses the user: {text}"))
                    }
                    _ if code.starts_with("3D") => StoreError::Unavailable(text.to_owned()),
                    _ => StoreError::Internal(format!("{text} ({code})")),
                },
            }
        }
        sqlx::Error::PoolTimedOut => StoreError::Busy,
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => closed(),
        sqlx::Error::Io(error) => {
            StoreError::Unavailable(format!("the database cannot be reached: {error}"))
        }
        // A connection that ends in the middle of a message, as when a proxy in between closes it.
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => {
            StoreError::Unavailable(format!("the database stopped in the middle: {error}"))
        }
        other => StoreError::Internal(other.to_string()),
    }
}

/// The answer of a store that was closed.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed".to_owned())
}
