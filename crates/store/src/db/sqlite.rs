use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Timestamp;
use sqlx::ConnectOptions as _;
use sqlx::any::AnyConnectOptions;

use super::readers::{ReadOnly, Readers};
use super::witness::WitnessKeeper;
use super::{Synchronous, begin_immediate, from_sqlx, is_full, witness};
use crate::StoreError;
use crate::conn::Conn;
use crate::epoch::KnownEpoch;
use crate::lookup::Lookups;
use crate::metric::WriterMetric;
use crate::migrate::{self, Schema};
use crate::values::{Args, RowReader};
use crate::writer::Writer;

/// Below this, a checkpoint may lose what it copies (sqlite.org, 3.51.3: "WAL-reset bug").
const VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// "Ptcl": tells our files from those of other programs.
const APPLICATION_ID: i64 = 0x5074_636c;

/// An SQLite file: a few readers, and one writer that groups.
pub(crate) struct Sqlite {
    pub(super) readers: Arc<Readers>,
    pub(super) lookups: Lookups,
    pub(super) writer: Writer,
    pub(super) epoch: KnownEpoch,
    pub(super) path: PathBuf,
    witness: Option<WitnessKeeper>,
}

impl Sqlite {
    pub(super) async fn open(
        path: &Path,
        synchronous: Synchronous,
        schema: &Schema,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        make_file(path)?;
        let options = options(path)?;
        let mut conn = Conn::own(options.connect().await.map_err(|error| from_sqlx(&error))?);
        let epoch = KnownEpoch::default();
        let set_up = async {
            set_up(&mut conn, path, synchronous, schema, now, &epoch).await?;
            // The writer tries again for as long as somebody waits.
            conn.run("PRAGMA busy_timeout = 500").await
        };
        if let Err(error) = set_up.await {
            conn.close().await;
            return Err(with_file(error, path));
        }
        let readers = Arc::new(Readers::new(ReadOnly(options.clone())));
        let witness = match schema.has_epoch {
            true => Some(WitnessKeeper::start(path, Arc::clone(&readers)).await),
            false => None,
        };
        Ok(Self {
            lookups: Lookups::start(ReadOnly(options)),
            readers,
            writer: Writer::start(conn, WriterMetric::new(schema.name)),
            epoch,
            path: path.to_owned(),
            witness,
        })
    }

    pub(super) async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for row in (self.readers)
            .fetch_all("PRAGMA integrity_check(20)", Args::default())
            .await?
        {
            let line = RowReader::new(&row, "integrity_check").text(0)?.to_owned();
            if line != "ok" {
                found.push(line);
            }
        }
        for row in (self.readers)
            .fetch_all("PRAGMA foreign_key_check", Args::default())
            .await?
        {
            let table = RowReader::new(&row, "foreign_key_check")
                .text(0)?
                .to_owned();
            found.push(format!("a row of {table} refers to a row that is missing"));
        }
        Ok(found)
    }

    pub(super) async fn close(&self) {
        self.lookups.close().await;
        self.writer.close().await;
        if let Some(witness) = &self.witness {
            witness.close().await;
        }
        self.readers.close().await;
    }
}

/// Makes a missing file, readable by its owner alone. A file that is there is left to SQLite: closing any handle
/// of a file drops all locks that this process has on it.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let mut new = std::fs::OpenOptions::new();
    new.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        new.mode(0o600);
    }
    let made = new.open(path);
    // SQLite does the same with what it makes beside the file.
    match made.and_then(|made| base::give_to_owner_of_folder(path, &made)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!(
            "the database file {} cannot be made: {error}",
            path.display()
        ))),
    }
}

pub(super) fn options(path: &Path) -> Result<AnyConnectOptions, StoreError> {
    let bad = |why: String| {
        StoreError::Unavailable(format!("the database file {} {why}", path.display()))
    };
    // The driver takes an address, and an address has its own idea of dots.
    let path: PathBuf = path
        .canonicalize()
        .map_err(|error| bad(format!("cannot be found: {error}")))?;
    let text = path
        .to_str()
        .ok_or_else(|| bad("has a name that is not UTF-8".to_owned()))?;
    let mut address = String::from("sqlite://");
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                address.push(char::from(byte));
            }
            other => address.push_str(&format!("%{other:02X}")),
        }
    }
    address.push_str("?mode=rw");
    let options: AnyConnectOptions = address.parse().map_err(|error| from_sqlx(&error))?;
    Ok(options.disable_statement_logging())
}

/// What an error means while the file is being opened: it names the file.
fn with_file(error: StoreError, path: &Path) -> StoreError {
    match error {
        StoreError::Busy => StoreError::Unavailable(format!(
            "the database file {} is locked by another process; stop it, or wait until it is done",
            path.display()
        )),
        other => naming(other, path),
    }
}

/// Names the file where the error does not.
pub(super) fn naming(error: StoreError, path: &Path) -> StoreError {
    let file = path.display().to_string();
    match error {
        StoreError::Unavailable(text) if !text.contains(&file) => {
            StoreError::Unavailable(format!("the database file {file}: {text}"))
        }
        other => other,
    }
}

async fn set_up(
    conn: &mut Conn,
    path: &Path,
    synchronous: Synchronous,
    schema: &Schema,
    now: Timestamp,
    known: &KnownEpoch,
) -> Result<(), StoreError> {
    check_version(&pragma_text(conn, "SELECT sqlite_version()").await?)?;
    conn.run("PRAGMA busy_timeout = 5000").await?;
    check_owner(conn, path).await?;
    let mode = pragma_text(conn, "PRAGMA journal_mode = WAL").await?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "the database file {} cannot use a write-ahead log (journal_mode stays {mode}); put it on a local disk",
            path.display()
        )));
    }
    let level = match synchronous {
        Synchronous::Full => "FULL",
        #[cfg(feature = "weaken-durability")]
        Synchronous::Normal => "NORMAL",
    };
    conn.run(&format!(
        "PRAGMA synchronous = {level}; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; \
         PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 4000; \
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -8000"
    ))
    .await?;
    check_levels(conn, synchronous).await?;
    begin_afresh(conn).await?;
    begin_immediate(conn).await?;
    let ready = async {
        migrate::migrate(conn, schema, now).await?;
        if schema.has_epoch {
            known.learn(witness::question(conn.raw(), path, now).await?);
        }
        conn.run("COMMIT").await
    };
    match ready.await {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = conn.run("ROLLBACK").await;
            Err(error)
        }
    }
}

/// Brings what stands in the log into the database and begins the log anew.
///
/// After a sync that failed, the operating system may show a write that is not on the disk as if it were. A process that
/// lives on is safe: SQLite writes again, at the same place of the log, all that a failed sync was for. But whoever opens the
/// log after that process was killed reads such a write back as committed, and would append behind a hole. So everything is
/// written and synced once more first, and nothing is ever appended to a log that another process left behind.
async fn begin_afresh(conn: &mut Conn) -> Result<(), StoreError> {
    // Where others have the database open they have done it, and are not made to wait.
    conn.run("PRAGMA busy_timeout = 0").await?;
    let begun = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_optional(conn.raw())
        .await;
    match begun {
        // A full disk has lost nothing, and what is there can be read.
        Err(error) if !is_full(&error) => return Err(from_sqlx(&error)),
        _ => {}
    }
    conn.run("PRAGMA busy_timeout = 5000").await
}

/// A pragma that is refused says nothing, so the answers are read back.
async fn check_levels(conn: &mut Conn, synchronous: Synchronous) -> Result<(), StoreError> {
    let wanted = match synchronous {
        Synchronous::Full => 2,
        #[cfg(feature = "weaken-durability")]
        Synchronous::Normal => 1,
    };
    let level = pragma_int(conn, "PRAGMA synchronous").await?;
    let foreign_keys = pragma_int(conn, "PRAGMA foreign_keys").await?;
    if (level, foreign_keys) != (wanted, 1) {
        return Err(StoreError::Unavailable(format!(
            "SQLite kept synchronous = {level} and foreign_keys = {foreign_keys}; it would lose answered writes"
        )));
    }
    Ok(())
}

fn check_version(text: &str) -> Result<(), StoreError> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    if version < VERSION_MIN {
        return Err(StoreError::Unavailable(format!(
            "SQLite {text} can damage its log; 3.51.3 or later is needed"
        )));
    }
    Ok(())
}

/// Refuses the file of another program; marks a new one as ours.
async fn check_owner(conn: &mut Conn, path: &Path) -> Result<(), StoreError> {
    let owner = pragma_int(conn, "PRAGMA application_id").await?;
    if owner == APPLICATION_ID {
        return Ok(());
    }
    let tables = pragma_int(conn, "SELECT COUNT(*) FROM sqlite_master").await?;
    if owner == 0 && tables == 0 {
        return conn
            .run(&format!("PRAGMA application_id = {APPLICATION_ID}"))
            .await;
    }
    Err(StoreError::Unavailable(format!(
        "the database file {} belongs to another program",
        path.display()
    )))
}

async fn pragma_text(conn: &mut Conn, sql: &'static str) -> Result<String, StoreError> {
    let row = conn.fetch_optional(sql, Args::default()).await?;
    let row = row.ok_or_else(|| StoreError::Internal(format!("{sql} says nothing")))?;
    RowReader::new(&row, sql).text(0).map(str::to_owned)
}

async fn pragma_int(conn: &mut Conn, sql: &'static str) -> Result<i64, StoreError> {
    let row = conn.fetch_optional(sql, Args::default()).await?;
    let row = row.ok_or_else(|| StoreError::Internal(format!("{sql} says nothing")))?;
    RowReader::new(&row, sql).int(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_with_the_log_bug_is_refused_and_the_first_without_it_is_taken() {
        for bad in ["3.40.1", "3.51.2", "2.99.99", ""] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
        for good in ["3.51.3", "3.53.0", "4.0.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
    }
}
