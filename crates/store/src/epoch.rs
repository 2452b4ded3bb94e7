use std::sync::atomic::{AtomicI64, Ordering};

use base::Timestamp;
use sqlx::AnyConnection;

use crate::conn::{execute, fetch_optional};
use crate::values::{Args, RowReader};
use crate::{Store, StoreError, audit, event_id};

/// The present epoch: whatever was issued before it began is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Counted up.
    pub number: i64,
    /// On a whole second, since `iat` does not say more. What is issued later, but within this very second, says that
    /// it was issued now.
    pub began_at: Timestamp,
}

/// What this process knows of the epoch, for whoever cannot ask the database first.
pub(crate) struct KnownEpoch {
    number: AtomicI64,
    began_at: AtomicI64,
}

impl Default for KnownEpoch {
    fn default() -> Self {
        Self {
            number: AtomicI64::new(1),
            began_at: AtomicI64::new(0),
        }
    }
}

impl KnownEpoch {
    pub(crate) fn read(&self) -> Epoch {
        Epoch {
            number: self.number.load(Ordering::Acquire),
            began_at: Timestamp::from_unix_ms(self.began_at.load(Ordering::Acquire)),
        }
    }

    /// Goes forward only.
    pub(crate) fn learn(&self, epoch: Epoch) {
        self.began_at
            .fetch_max(epoch.began_at.unix_ms(), Ordering::AcqRel);
        self.number.fetch_max(epoch.number, Ordering::AcqRel);
    }
}

/// The row as it is.
pub(crate) struct EpochRow {
    pub(crate) epoch: Epoch,
    /// Which PostgreSQL and timeline it was written on.
    pub(crate) lineage: Option<String>,
}

const READ: &str = "SELECT number, began_at, lineage FROM epoch WHERE id = 1";

pub(crate) async fn read(connection: &mut AnyConnection) -> Result<EpochRow, StoreError> {
    let row = fetch_optional(connection, READ, Args::default().finish()?).await?;
    parse(row.as_ref())
}

fn parse(row: Option<&sqlx::any::AnyRow>) -> Result<EpochRow, StoreError> {
    let row = row.ok_or_else(|| StoreError::Corrupt {
        table: "epoch",
        id: "1".to_owned(),
        problem: "it is missing".to_owned(),
    })?;
    let row = RowReader::new(row, "epoch");
    Ok(EpochRow {
        epoch: Epoch {
            number: row.int(0)?,
            began_at: row.time(1)?,
        },
        lineage: row.optional_text(2)?.map(str::to_owned),
    })
}

/// What dies with an epoch; `$1` is the moment. People, servers, policies, clients and keys stay.
const DEAD: &[(&str, bool)] = &[
    ("DELETE FROM authorization_code", false),
    (
        "UPDATE token_family SET ended_at = $1, end_reason = 'revoked' WHERE ended_at IS NULL",
        true,
    ),
    (
        "UPDATE login_session SET ended_at = $1 WHERE ended_at IS NULL",
        true,
    ),
    (
        "UPDATE service_token SET revoked_at = $1 WHERE revoked_at IS NULL",
        true,
    ),
    ("DELETE FROM client_consent", false),
    ("DELETE FROM setup_token", false),
    // Far past every value that a node may have seen before the database went back.
    (
        "UPDATE change SET counter = counter + 1000000 WHERE id = 1",
        false,
    ),
];

/// How an epoch begins.
pub(crate) struct Beginning<'a> {
    /// Which PostgreSQL and timeline it is written on.
    pub(crate) lineage: Option<&'a str>,
    /// Why, for people.
    pub(crate) reason: &'a str,
    pub(crate) now: Timestamp,
    /// The newest epoch that this process has seen.
    pub(crate) known: i64,
    /// By how much the clocks of those who issued tokens before may run ahead of `now`.
    pub(crate) skew_seconds: i64,
}

impl<'a> Beginning<'a> {
    /// One that the process which issued the tokens begins itself, so that there is one clock.
    pub(crate) fn alone(lineage: Option<&'a str>, reason: &'a str, now: Timestamp) -> Self {
        Self {
            lineage,
            reason,
            now,
            known: 0,
            skew_seconds: 0,
        }
    }
}

/// Begins the epoch after `before`, in the transaction that the caller began; false when somebody else did. Of several
/// nodes one comes first, and the others wait for it here.
pub(crate) async fn begin(
    connection: &mut AnyConnection,
    before: Epoch,
    beginning: Beginning<'_>,
) -> Result<bool, StoreError> {
    let Beginning {
        lineage,
        reason,
        now,
        known,
        skew_seconds,
    } = beginning;
    // A copy may be older than more than one epoch; the new one comes after every one that a node has seen.
    let number = before.number.max(known) + 1;
    // Of two within a second the later one ends what was issued between them.
    let began = (now.unix_seconds() + 1 + skew_seconds).max(before.began_at.unix_seconds() + 1);
    let began_at = Timestamp::from_unix_seconds(began);
    let sql = "UPDATE epoch SET number = $5, began_at = $2, reason = $3, lineage = $4 \
               WHERE id = 1 AND number = $1";
    let args = Args::with_capacity(5)
        .int(before.number)
        .time(began_at)
        .text(reason)
        .optional_text(lineage)
        .int(number);
    if execute(connection, sql, args.finish()?).await? == 0 {
        return Ok(false);
    }
    for (sql, timed) in DEAD {
        let args = if *timed {
            Args::with_capacity(1).time(now)
        } else {
            Args::default()
        };
        execute(connection, sql, args.finish()?).await?;
    }
    // Nothing was read of this database yet when it is only being opened.
    audit::go_on_behind_the_last(connection).await?;
    let sql = "INSERT INTO audit_event (id, at, kind, detail) VALUES ($1, $2, 'epoch_began', $3)";
    let args = Args::with_capacity(3)
        .int(event_id::next_in_order(now))
        .time(now)
        .text(reason);
    execute(connection, sql, args.finish()?).await?;
    tracing::error!(
        epoch = number,
        reason,
        "a new epoch begins: every code, token, session and consent from before is dead, and people sign in again"
    );
    Ok(true)
}

impl Store {
    /// The present epoch, as far as this process knows: at least that of the database its connections lead to.
    pub fn epoch(&self) -> Epoch {
        self.database().known_epoch().read()
    }

    /// Asks the database for the epoch, which another process may have begun.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn refresh_epoch(&self) -> Result<Epoch, StoreError> {
        let row = self.fetch_optional(READ, Args::default()).await?;
        self.database()
            .known_epoch()
            .learn(parse(row.as_ref())?.epoch);
        Ok(self.epoch())
    }

    /// Begins a new epoch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin_epoch(&self, reason: &str, now: Timestamp) -> Result<Epoch, StoreError> {
        self.write((reason.to_owned(), now), |conn, (reason, now)| {
            Box::pin(async move {
                let row = read(conn.raw()).await?;
                let lineage = row.lineage.as_deref();
                let beginning = Beginning::alone(lineage, reason, *now);
                begin(conn.raw(), row.epoch, beginning).await
            })
        })
        .await?;
        self.refresh_epoch().await
    }
}
