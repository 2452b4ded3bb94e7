use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use sqlx::any::AnyRow;
use tracing::{Instrument as _, Span};

use crate::StoreError;
use crate::db::{Database, DatabaseUrl, Synchronous};
use crate::job::{Gated, Plain, Work};
use crate::lookup::Lookup;
use crate::migrate::AUTHORITY;
use crate::values::Args;

/// What the authority keeps. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Database>);

/// How to open a [`Store`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Where the data lives.
    pub url: DatabaseUrl,
    /// How long a PostgreSQL is waited for that does not listen yet. A wrong password and the like are refused at once.
    pub wait: Duration,
    /// How hard SQLite works for a commit to survive a power cut.
    #[cfg(feature = "weaken-durability")]
    pub synchronous: Synchronous,
}

impl StoreOptions {
    /// The options for `url`, with full durability. Nobody is waited for.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            wait: Duration::ZERO,
            #[cfg(feature = "weaken-durability")]
            synchronous: Synchronous::Full,
        }
    }

    fn synchronous(&self) -> Synchronous {
        #[cfg(feature = "weaken-durability")]
        {
            self.synchronous
        }
        #[cfg(not(feature = "weaken-durability"))]
        {
            Synchronous::Full
        }
    }
}

impl Store {
    /// Opens the database, makes it when it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] says in words when the file is no SQLite database, belongs to another program,
    /// is locked by another process, or the server's settings would lose answered writes;
    /// [`StoreError::Newer`] when a newer Portcullis wrote it.
    pub async fn open(options: StoreOptions, clock: &dyn Clock) -> Result<Self, StoreError> {
        let database = Database::open(
            &options.url,
            options.synchronous(),
            &AUTHORITY,
            clock.now(),
            options.wait,
        )
        .await?;
        let store = Self(Arc::new(database));
        store.continue_audit_log().await?;
        Ok(store)
    }

    /// Finishes the writes that wait, refuses later ones, and closes.
    pub async fn close(&self) {
        self.0.close().await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0
    }

    /// Runs `work` on `data` in one transaction and answers when it is durable. A caller that goes away does not
    /// undo it.
    pub(crate) async fn write<D, T>(&self, data: D, work: Plain<D, T>) -> Result<T, StoreError>
    where
        D: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let writing = self.0.write(data, Work::Plain(work));
        writing.instrument(span()).await
    }

    /// As [`Store::write`], for a transaction that begins with one conditional write.
    pub(crate) async fn write_gated<D, T>(
        &self,
        data: D,
        work: Gated<D, T>,
    ) -> Result<T, StoreError>
    where
        D: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let writing = self.0.write(data, Work::Gated(work));
        writing.instrument(span()).await
    }

    /// Reads the one row of `lookup` that has this key.
    pub(crate) async fn find(
        &self,
        lookup: &'static Lookup,
        key: &str,
    ) -> Result<Option<AnyRow>, StoreError> {
        self.0.find(lookup, key).await
    }

    pub(crate) async fn fetch_optional(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Option<AnyRow>, StoreError> {
        self.0.fetch_optional(sql, args).await
    }

    pub(crate) async fn fetch_all(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Vec<AnyRow>, StoreError> {
        self.0.fetch_all(sql, args).await
    }
}

/// A write that a request waits for, in its trace; chores have none.
fn span() -> Span {
    match Span::current().is_disabled() {
        true => Span::none(),
        false => {
            tracing::info_span!(target: "portcullis_trace", "store write", otel.kind = "client")
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Store")
    }
}
