use sqlx::any::{AnyArguments, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use crate::StoreError;
use crate::bulk::{BulkStatement, Pending};
use crate::db::from_sqlx;
use crate::values::Args;

/// The connection of one transaction, as a job sees it.
pub(crate) struct Conn {
    held: Held,
    pending: Pending,
}

enum Held {
    Own(AnyConnection),
    Pooled(PoolConnection<Any>),
}

impl Conn {
    pub(crate) fn own(connection: AnyConnection) -> Self {
        Self {
            held: Held::Own(connection),
            pending: Pending::default(),
        }
    }

    pub(crate) fn pooled(connection: PoolConnection<Any>) -> Self {
        Self {
            held: Held::Pooled(connection),
            pending: Pending::default(),
        }
    }

    pub(crate) fn raw(&mut self) -> &mut AnyConnection {
        match &mut self.held {
            Held::Own(connection) => connection,
            Held::Pooled(connection) => connection,
        }
    }

    /// Ends the connection; a pooled one does not go back to its pool.
    pub(crate) async fn close(self) {
        use sqlx::Connection as _;
        let closed = match self.held {
            Held::Own(connection) => connection.close().await,
            Held::Pooled(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::warn!(%error, "closing a database connection");
        }
    }

    /// Runs a statement; says how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        args: Args,
    ) -> Result<u64, StoreError> {
        let args = args.finish()?;
        execute(self.raw(), sql, args).await
    }

    /// Runs a statement that gives at most one row.
    pub(crate) async fn fetch_optional(
        &mut self,
        sql: &'static str,
        args: Args,
    ) -> Result<Option<AnyRow>, StoreError> {
        let args = args.finish()?;
        fetch_optional(self.raw(), sql, args).await
    }

    /// Runs a statement that gives rows.
    pub(crate) async fn fetch_all(
        &mut self,
        sql: &'static str,
        args: Args,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let args = args.finish()?;
        fetch_all(self.raw(), sql, args).await
    }

    /// Runs a fixed text without values, such as `BEGIN` or a migration.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(self.raw())
            .await
            .map(|_| ())
            .map_err(|error| from_sqlx(&error))
    }

    /// Inserts a row before the transaction ends, together with the rows of the same table that other jobs of
    /// the group bring. A conflict fails the job, exactly as an insert at once would.
    pub(crate) fn insert_later(&mut self, insert: &'static BulkStatement, row: Args) {
        self.pending.push(insert, row);
    }

    /// Writes what [`Conn::insert_later`] kept.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        let written = pending.write(self.raw()).await;
        pending.clear();
        self.pending = pending;
        written
    }

    /// Forgets what [`Conn::insert_later`] kept.
    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }
}

pub(crate) async fn execute(
    connection: &mut AnyConnection,
    sql: &'static str,
    args: AnyArguments,
) -> Result<u64, StoreError> {
    sqlx::query_with(sql, args)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|error| from_sqlx(&error))
}

pub(crate) async fn fetch_optional(
    connection: &mut AnyConnection,
    sql: &'static str,
    args: AnyArguments,
) -> Result<Option<AnyRow>, StoreError> {
    sqlx::query_with(sql, args)
        .fetch_optional(connection)
        .await
        .map_err(|error| from_sqlx(&error))
}

pub(crate) async fn fetch_all(
    connection: &mut AnyConnection,
    sql: &'static str,
    args: AnyArguments,
) -> Result<Vec<AnyRow>, StoreError> {
    sqlx::query_with(sql, args)
        .fetch_all(connection)
        .await
        .map_err(|error| from_sqlx(&error))
}
