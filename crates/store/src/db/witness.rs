use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Timestamp;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::readers::Readers;
use crate::StoreError;
use crate::conn::fetch_optional;
use crate::epoch::{self, Beginning, Epoch};
use crate::values::{Args, RowReader};

/// How often the witness looks. What happened after the last look may be taken back unnoticed.
const PERIOD: Duration = Duration::from_secs(5);

const LOOK: &str = "SELECT (SELECT counter FROM change WHERE id = 1), \
    (SELECT COALESCE(MAX(id), 0) FROM audit_event), (SELECT number FROM epoch WHERE id = 1)";

/// How far an SQLite database had come, kept in a small file beside it. A database that is behind it was copied back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Witness {
    /// The counter of changes.
    change: i64,
    /// The newest audit event; the purge leaves that one.
    event: i64,
    /// The epoch's number.
    epoch: i64,
}

/// What the file says.
enum Said {
    /// There is none: nobody has seen this database yet.
    Nothing,
    Seen(Witness),
    /// It cannot be understood, so it speaks against the database.
    Unreadable,
}

impl Witness {
    /// Whether the database has lost something that was in it. Each only grows.
    fn is_ahead_of(&self, database: &Self) -> bool {
        self.change > database.change || self.event > database.event || self.epoch > database.epoch
    }

    fn of(row: Option<&AnyRow>) -> Result<Self, StoreError> {
        let row =
            row.ok_or_else(|| StoreError::Internal("the database says nothing".to_owned()))?;
        let row = RowReader::new(row, "epoch");
        Ok(Self {
            change: row.int(0)?,
            event: row.int(1)?,
            epoch: row.int(2)?,
        })
    }

    fn to_text(self) -> String {
        let Self {
            change,
            event,
            epoch,
        } = self;
        format!("portcullis-witness 1 change {change} event {event} epoch {epoch}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [
            "portcullis-witness",
            "1",
            "change",
            change,
            "event",
            event,
            "epoch",
            epoch,
        ] = words[..]
        else {
            return None;
        };
        Some(Self {
            change: change.parse().ok()?,
            event: event.parse().ok()?,
            epoch: epoch.parse().ok()?,
        })
    }
}

/// Holds the database against its witness, in the transaction that the caller began, and begins a new epoch when it is
/// an older one than was here before.
pub(super) async fn question(
    connection: &mut AnyConnection,
    database: &Path,
    now: Timestamp,
) -> Result<Epoch, StoreError> {
    let row = fetch_optional(connection, LOOK, Args::default().finish()?).await?;
    let found = Witness::of(row.as_ref())?;
    let reason = match read(&path_of(database))? {
        Said::Nothing => None,
        Said::Seen(seen) => seen
            .is_ahead_of(&found)
            .then_some("an older copy of the database file was put in its place"),
        Said::Unreadable => Some(
            "the witness beside the database file cannot be read, so the file may be an older copy",
        ),
    };
    if let Some(reason) = reason {
        let before = epoch::read(connection).await?.epoch;
        epoch::begin(connection, before, Beginning::alone(None, reason, now)).await?;
    }
    Ok(epoch::read(connection).await?.epoch)
}

/// Writes the witness now and then, and when the database is closed.
pub(super) struct WitnessKeeper {
    keeper: Arc<Keeper>,
    task: JoinHandle<()>,
}

struct Keeper {
    file: Arc<WitnessFile>,
    readers: Arc<Readers>,
}

/// The file, as one store of this process writes it.
struct WitnessFile {
    path: PathBuf,
    /// What this store wrote last.
    written: Mutex<Option<Witness>>,
}

impl WitnessKeeper {
    pub(super) async fn start(database: &Path, readers: Arc<Readers>) -> Self {
        let keeper = Arc::new(Keeper {
            file: Arc::new(WitnessFile::beside(database)),
            readers,
        });
        // The database was held against the old one, which speaks no more.
        keeper.look().await;
        let task = tokio::spawn({
            let keeper = Arc::clone(&keeper);
            async move {
                let mut ticks = tokio::time::interval(PERIOD);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    keeper.look().await;
                }
            }
        });
        Self { keeper, task }
    }

    /// Looks a last time, after the last write. What the task was writing goes on behind its back, and is older.
    pub(super) async fn close(&self) {
        self.task.abort();
        self.keeper.look().await;
    }
}

impl Drop for WitnessKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    async fn look(&self) {
        // A database that cannot be read says so everywhere else.
        let Ok(row) = self.readers.fetch_optional(LOOK, Args::default()).await else {
            return;
        };
        let Ok(seen) = Witness::of(row.as_ref()) else {
            return;
        };
        let file = Arc::clone(&self.file);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || file.put(seen)).await {
            let file = self.file.path.display();
            tracing::warn!(%file, %error, "the witness of the database cannot be written");
        }
    }
}

/// Held by whoever writes: the name of what is written aside is that of the process.
static WRITING: Mutex<()> = Mutex::new(());

impl WitnessFile {
    fn beside(database: &Path) -> Self {
        Self {
            path: path_of(database),
            written: Mutex::default(),
        }
    }

    /// Writes what was seen, unless the file says it or something later. The first time it is written over whatever
    /// stands there: the database was held against that before.
    fn put(&self, seen: Witness) -> std::io::Result<()> {
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written == Some(seen) {
            return Ok(());
        }
        if written.is_some()
            && let Ok(Said::Seen(said)) = read(&self.path)
            && said.is_ahead_of(&seen)
        {
            // Somebody looked later and was quicker.
            return Ok(());
        }
        write(&self.path, seen)?;
        *written = Some(seen);
        Ok(())
    }
}

/// Where the witness of a database stands.
fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-witness");
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Said, StoreError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Witness::parse(&text).map_or(Said::Unreadable, Said::Seen)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Said::Nothing),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(Said::Unreadable),
        Err(error) => Err(StoreError::Unavailable(format!(
            "the file {} cannot be read: {error}",
            path.display()
        ))),
    }
}

/// Writes it whole or not at all.
fn write(path: &Path, witness: Witness) -> std::io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!("-{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = || {
        let mut file = std::fs::File::create(&aside)?;
        base::give_to_owner_of_folder(path, &file)?;
        file.write_all(witness.to_text().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    written().inspect_err(|_| {
        let _ = std::fs::remove_file(&aside);
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_witness_reads_back_and_each_number_alone_tells_an_older_database() {
        let seen = Witness {
            change: 5,
            event: 70,
            epoch: 2,
        };
        assert_eq!(Witness::parse(&seen.to_text()), Some(seen));
        assert_eq!(Witness::parse("portcullis-witness 1 change 5"), None);
        assert!(!seen.is_ahead_of(&seen));
        assert!(seen.is_ahead_of(&Witness { change: 4, ..seen }));
        assert!(seen.is_ahead_of(&Witness { event: 69, ..seen }));
        assert!(seen.is_ahead_of(&Witness { epoch: 1, ..seen }));
        assert!(!seen.is_ahead_of(&Witness { change: 6, ..seen }));
    }

    /// As when a store is closed while its task is still writing, and another store of the process has the file open.
    #[test]
    fn of_sixteen_writers_none_fails_and_the_latest_is_what_stays() {
        const ROUNDS: i64 = 20;
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("portcullis.db");
        let seen = |change| Witness {
            change,
            event: 70,
            epoch: 2,
        };
        let files = [
            WitnessFile::beside(&database),
            WitnessFile::beside(&database),
        ];
        for file in &files {
            file.put(seen(0)).unwrap();
        }
        for round in 0..ROUNDS {
            std::thread::scope(|scope| {
                for racer in 0..16_u8 {
                    let file = &files[usize::from(racer % 2)];
                    let change = 16 * round + i64::from(racer) + 1;
                    scope.spawn(move || file.put(seen(change)).unwrap());
                }
            });
            let said = read(&path_of(&database)).unwrap();
            let latest = seen(16 * (round + 1));
            assert!(
                matches!(said, Said::Seen(said) if said == latest),
                "round {round}"
            );
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        // A store that is opened later holds the database against the file first, and then counts from it.
        WitnessFile::beside(&database).put(seen(3)).unwrap();
        let said = read(&path_of(&database)).unwrap();
        assert!(matches!(said, Said::Seen(said) if said == seen(3)));
    }
}
