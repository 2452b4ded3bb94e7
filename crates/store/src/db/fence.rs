use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Clock as _, SystemClock, Timestamp};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Executor as _};
use tokio::sync::Mutex;

use super::from_sqlx;
use crate::StoreError;
use crate::conn::{execute, fetch_optional};
use crate::epoch::{self, Beginning, KnownEpoch};
use crate::values::{Args, RowReader};

/// Looks at each new PostgreSQL connection before it is used: whether it leads to the server, and the timeline of it,
/// that the epoch was written on. A promoted standby or a restored copy is another, and may lack what was revoked and
/// spent; so a new epoch begins there before anything else is done.
#[derive(Clone)]
pub(super) struct Fence(Arc<Inner>);

struct Inner {
    known: Arc<KnownEpoch>,
    options: AnyConnectOptions,
    /// What a connection is told first.
    hello: String,
    /// Not before the tables are there.
    armed: AtomicBool,
    /// Held while an epoch is begun.
    beginning: Mutex<()>,
}

/// The server by its own identifier, and the timeline from the name of the log file it writes; the control file's
/// timeline lags behind a promotion. Nothing while it is a standby.
const LINEAGE: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE \
    (SELECT system_identifier::text FROM pg_control_system()) || '/' || \
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// How far a node's clock may run ahead of the database's: tokens that it issued in that time die with the others. Who
/// verifies tokens allows for more, so that those issued next, which bear the moment of the epoch, are taken.
pub(super) const SKEW_SECONDS: i64 = 3;

/// How a connection stands to the epoch.
enum Stands {
    Within,
    /// It leads elsewhere than the epoch was written on; here is its lineage.
    Elsewhere(String, epoch::EpochRow),
}

impl Fence {
    pub(super) fn new(known: Arc<KnownEpoch>, options: AnyConnectOptions, hello: String) -> Self {
        Self(Arc::new(Inner {
            known,
            options,
            hello,
            armed: AtomicBool::new(false),
            beginning: Mutex::new(()),
        }))
    }

    /// From now on every new connection is looked at.
    pub(super) fn arm(&self) {
        self.0.armed.store(true, Ordering::Release);
    }

    /// Lets a new connection pass, after it has begun a new epoch if it had to.
    pub(super) async fn pass(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        if !self.0.armed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check(connection).await
    }

    /// As [`Fence::pass`], armed or not.
    pub(super) async fn check(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        if let Stands::Within = self.look(connection).await? {
            return Ok(());
        }
        // A task and a connection of its own: whoever waits for this one may lose patience, and that must not undo it.
        let fence = self.clone();
        let begun = tokio::spawn(async move { fence.settle().await });
        begun.await.map_err(|_| super::closed())??;
        match self.look(connection).await? {
            Stands::Within => Ok(()),
            Stands::Elsewhere(..) => Err(StoreError::Unavailable(
                "PostgreSQL changed again while a new epoch began".to_owned(),
            )),
        }
    }

    async fn look(&self, connection: &mut AnyConnection) -> Result<Stands, StoreError> {
        let row = fetch_optional(connection, LINEAGE, Args::default().finish()?).await?;
        let row = row.ok_or_else(|| StoreError::Internal("PostgreSQL has no name".to_owned()))?;
        let here = RowReader::new(&row, "lineage")
            .optional_text(0)?
            .ok_or_else(is_a_standby)?
            .to_owned();
        let mut row = epoch::read(connection).await?;
        if row.lineage.is_none() {
            let sql = "UPDATE epoch SET lineage = $1 WHERE id = 1 AND lineage IS NULL";
            let args = Args::with_capacity(1).text(&here);
            execute(connection, sql, args.finish()?).await?;
            row = epoch::read(connection).await?;
        }
        if row.lineage.as_deref() != Some(here.as_str()) {
            return Ok(Stands::Elsewhere(here, row));
        }
        let known = self.0.known.read().number;
        if row.epoch.number < known {
            let found = row.epoch.number;
            return Err(StoreError::Unavailable(format!(
                "this PostgreSQL is still in epoch {found}, and epoch {known} was begun elsewhere: it is the primary of \
                 before; stop it"
            )));
        }
        self.0.known.learn(row.epoch);
        Ok(Stands::Within)
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let _held = self.0.beginning.lock().await;
        let lost = |error| from_sqlx(&error);
        let mut connection = self.0.options.connect().await.map_err(lost)?;
        connection
            .execute(AssertSqlSafe(self.0.hello.clone()))
            .await
            .map_err(lost)?;
        let Stands::Elsewhere(here, row) = self.look(&mut connection).await? else {
            return Ok(());
        };
        let reason = format!(
            "PostgreSQL is {here}, and the epoch was written on {}: a standby was promoted or a copy restored, which may \
             lack what was revoked and spent",
            row.lineage.as_deref().unwrap_or("none")
        );
        let begin = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";
        connection.execute(begin).await.map_err(lost)?;
        let beginning = Beginning {
            lineage: Some(&here),
            reason: &reason,
            now: later_clock(&mut connection, SystemClock.now()).await?,
            known: self.0.known.read().number,
            skew_seconds: SKEW_SECONDS,
        };
        epoch::begin(&mut connection, row.epoch, beginning).await?;
        connection.execute("COMMIT").await.map_err(lost)?;
        Ok(())
    }
}

/// PostgreSQL's clock or ours, whichever is ahead: a slow one would let what was issued last live.
pub(super) async fn later_clock(
    connection: &mut AnyConnection,
    own: Timestamp,
) -> Result<Timestamp, StoreError> {
    let row = fetch_optional(connection, NOW, Args::default().finish()?).await?;
    let row = row.ok_or_else(|| StoreError::Internal("PostgreSQL has no time".to_owned()))?;
    let database = RowReader::new(&row, "clock").time(0)?;
    let apart = own.unix_seconds() - database.unix_seconds();
    if apart.abs() > SKEW_SECONDS {
        tracing::warn!(
            seconds = apart,
            "our clock and that of PostgreSQL are apart; tokens are refused until the slower one has caught up"
        );
    }
    Ok(own.max(database))
}

/// The refusal of a server that only repeats another.
pub(super) fn is_a_standby() -> StoreError {
    StoreError::Unavailable(
        "PostgreSQL is a standby (in recovery); give the address of the primary, such as with \
         target_session_attrs or several hosts behind one name"
            .to_owned(),
    )
}
