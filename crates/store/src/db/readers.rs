use std::sync::{Mutex, PoisonError};

use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, ConnectOptions as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{closed, from_sqlx};
use crate::StoreError;
use crate::conn;
use crate::lookup::Connect;
use crate::values::Args;

/// Readers are threads with a page cache each; few are enough, since a read takes microseconds.
const READERS: usize = 4;

/// Opens connections that only read.
pub(super) struct ReadOnly(pub(super) AnyConnectOptions);

impl Connect for ReadOnly {
    async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let mut connection = self.0.connect().await.map_err(|error| from_sqlx(&error))?;
        sqlx::raw_sql("PRAGMA busy_timeout = 5000; PRAGMA query_only = ON")
            .execute(&mut connection)
            .await
            .map_err(|error| from_sqlx(&error))?;
        Ok(connection)
    }
}

/// A few connections that only read, opened when they are first needed.
///
/// The driver's own pool pings a connection before and after each use, which costs as much as the read.
pub(super) struct Readers {
    connect: ReadOnly,
    idle: Mutex<Vec<AnyConnection>>,
    permits: Semaphore,
}

struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<AnyConnection>,
    _permit: SemaphorePermit<'a>,
}

impl Readers {
    pub(super) fn new(connect: ReadOnly) -> Self {
        Self {
            connect,
            idle: Mutex::new(Vec::with_capacity(READERS)),
            permits: Semaphore::new(READERS),
        }
    }

    async fn acquire(&self) -> Result<Reader<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect.connect().await?,
        };
        Ok(Reader {
            readers: self,
            connection: Some(connection),
            _permit: permit,
        })
    }

    pub(super) async fn fetch_optional(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Option<AnyRow>, StoreError> {
        let args = args.finish()?;
        let mut reader = self.acquire().await?;
        let answer = conn::fetch_optional(reader.connection(), sql, args).await;
        reader.keep_if(answer)
    }

    pub(super) async fn fetch_all(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let args = args.finish()?;
        let mut reader = self.acquire().await?;
        let answer = conn::fetch_all(reader.connection(), sql, args).await;
        reader.keep_if(answer)
    }

    pub(super) async fn close(&self) {
        use sqlx::Connection as _;
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing a reader");
            }
        }
    }
}

impl Reader<'_> {
    fn connection(&mut self) -> &mut AnyConnection {
        self.connection
            .as_mut()
            .expect("the connection is taken only on drop or after the last use")
    }

    /// A reader whose read failed is not used again.
    fn keep_if<T>(mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if !self.readers.permits.is_closed() {
            self.readers
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}
