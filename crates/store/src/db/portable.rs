//! Whole databases as one SQLite file each, whichever database they live in. Columns are TEXT and BIGINT only, so a copy
//! of PostgreSQL is read by SQLite and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use base::Timestamp;
use futures_util::TryStreamExt as _;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::fence::{SKEW_SECONDS, later_clock};
use super::postgres::Postgres;
use super::sqlite::{Sqlite, naming, options};
use super::{Database, Synchronous, from_sqlx};
use crate::StoreError;
use crate::conn::{Conn, fetch_all, fetch_optional};
use crate::deleted_users;
use crate::epoch::{self, Beginning};
use crate::migrate::Schema;
use crate::values::{Args, RowReader};

/// Tables that others refer to, in the order in which they are filled.
const FIRST: [&str; 4] = ["app_user", "mcp_server", "client", "people_group"];

/// Tables to which writers come last, so that whoever wants all of them waits for these last, too.
const HELD_LAST: [&str; 3] = ["change", "refresh_token", "audit_event"];

/// How long it is tried to keep others from writing, for a third of a second each time.
const HOLD_WITHIN: Duration = Duration::from_secs(120);
/// Between two tries, whoever was made to wait goes on.
const HOLD_PAUSE_MAX: Duration = Duration::from_millis(100);

/// The table that tells what the file is; each side keeps its own.
const VERSIONS: &str = "schema_version";

/// What a portable copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInspected {
    /// Whose it is: `authority` or `activity`; another program's tables have no name.
    pub name: Option<String>,
    /// Its schema version.
    pub version: i64,
    /// How many rows each table has.
    pub rows: BTreeMap<String, i64>,
    /// What SQLite finds wrong with it.
    pub problems: Vec<String>,
}

struct Table {
    name: String,
    /// With whether they are numbers.
    columns: Vec<(String, bool)>,
}

impl Database {
    /// Writes everything, as it is at one moment, to a new SQLite file.
    pub(crate) async fn copy_to(
        &self,
        path: &Path,
        schema: &Schema,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => vacuum_into(&sqlite.path, path).await,
            Self::Postgres(postgres) => {
                Sqlite::open(path, Synchronous::Full, schema, now)
                    .await?
                    .close()
                    .await;
                dump(postgres, path, schema).await
            }
        }
    }

    /// Puts the rows of a portable copy, of this very version, in the place of what is in PostgreSQL, in one transaction,
    /// and begins a new epoch in it. Without `replace`, only where nothing is yet. Nodes that run may read meanwhile, and
    /// their writes wait. Says how many people, who were deleted here, were deleted again.
    pub(crate) async fn replace_from(
        &self,
        path: &Path,
        replace: bool,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Self::Postgres(postgres) = self else {
            return Err(StoreError::Internal(
                "a file is replaced as a whole".to_owned(),
            ));
        };
        let mut file = open_file(path).await?;
        let tables = tables(&mut file).await?;
        let mut conn = postgres.acquire().await?;
        begin_alone(&mut conn, &tables).await?;
        let outcome = load(&mut file, conn.raw(), &tables, replace, reason, now).await;
        let ended = match &outcome {
            Ok(_) => conn.run("COMMIT").await,
            Err(_) => conn.run("ROLLBACK").await,
        };
        let _ = file.close().await;
        let again = outcome?;
        ended?;
        Ok(again)
    }
}

/// Copies any SQLite database that may be in use.
///
/// # Errors
/// When it cannot be read or the copy not be written.
pub async fn vacuum_into(from: &Path, to: &Path) -> Result<(), StoreError> {
    sqlx::any::install_default_drivers();
    let mut connection = open_file(from).await?;
    let target = to.display().to_string().replace('\'', "''");
    let copied = connection
        .execute(AssertSqlSafe(format!("VACUUM INTO '{target}'")))
        .await
        .map(|_| ())
        .map_err(|error| naming(from_sqlx(&error), to));
    let _ = connection.close().await;
    copied?;
    // SQLite does not wait for the disk here.
    let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::Unavailable(format!("{}: {error}", to.display())))
}

/// Looks whether a portable copy is whole, and what is in it.
///
/// # Errors
/// When it is no SQLite database at all.
pub async fn inspect_copy(path: &Path) -> Result<CopyInspected, StoreError> {
    sqlx::any::install_default_drivers();
    let mut file = open_file(path).await.map_err(|error| naming(error, path))?;
    let mut inspected = CopyInspected {
        name: None,
        version: 0,
        rows: BTreeMap::new(),
        problems: Vec::new(),
    };
    for row in fetch_all(
        &mut file,
        "PRAGMA integrity_check(20)",
        Args::default().finish()?,
    )
    .await?
    {
        let line = RowReader::new(&row, "integrity_check").text(0)?.to_owned();
        if line != "ok" {
            inspected.problems.push(line);
        }
    }
    for table in tables(&mut file).await? {
        let sql = format!("SELECT COUNT(*) FROM {}", table.name);
        let count = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut file)
            .await
            .map_err(|error| from_sqlx(&error))?;
        inspected.rows.insert(table.name, count);
    }
    if inspected.rows.contains_key("change") || inspected.rows.contains_key("call_record") {
        let sql = "SELECT name, version FROM schema_version ORDER BY version DESC LIMIT 1";
        if let Some(row) = fetch_optional(&mut file, sql, Args::default().finish()?).await? {
            let row = RowReader::new(&row, VERSIONS);
            inspected.name = Some(row.text(0)?.to_owned());
            inspected.version = row.int(1)?;
        }
    }
    let _ = file.close().await;
    Ok(inspected)
}

async fn open_file(path: &Path) -> Result<AnyConnection, StoreError> {
    let mut connection = options(path)?
        .connect()
        .await
        .map_err(|error| from_sqlx(&error))?;
    connection
        .execute("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = OFF")
        .await
        .map_err(|error| from_sqlx(&error))?;
    Ok(connection)
}

/// The tables of a portable copy but that of the versions, in the order in which they are filled.
async fn tables(file: &mut AnyConnection) -> Result<Vec<Table>, StoreError> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
               AND name <> 'schema_version' ORDER BY name";
    let rows = fetch_all(file, sql, Args::default().finish()?).await?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in rows {
        let name = RowReader::new(&row, "sqlite_master").text(0)?.to_owned();
        let args = Args::with_capacity(1).text(&name).finish()?;
        let sql = "SELECT name, type FROM pragma_table_info($1)";
        let columns = fetch_all(file, sql, args)
            .await?
            .iter()
            .map(|row| {
                let row = RowReader::new(row, "pragma_table_info");
                Ok((row.text(0)?.to_owned(), row.text(1)? == "BIGINT"))
            })
            .collect::<Result<_, StoreError>>()?;
        tables.push(Table { name, columns });
    }
    tables.sort_by_key(|table| {
        let place = FIRST.iter().position(|first| *first == table.name);
        (place.unwrap_or(FIRST.len()), table.name.clone())
    });
    Ok(tables)
}

async fn dump(postgres: &Postgres, path: &Path, schema: &Schema) -> Result<(), StoreError> {
    let mut file = open_file(path).await?;
    let mut conn = postgres.acquire().await?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
    conn.run(begin).await?;
    let outcome = async {
        let sql = "SELECT MAX(version) FROM schema_version";
        let row = fetch_optional(conn.raw(), sql, Args::default().finish()?).await?;
        let row = row.ok_or_else(|| StoreError::Internal("no schema version".to_owned()))?;
        let found = RowReader::new(&row, VERSIONS).int(0)?;
        let known = schema.known();
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        run(&mut file, "BEGIN").await?;
        let tables = tables(&mut file).await?;
        empty(&mut file, &tables).await?;
        for table in &tables {
            copy(conn.raw(), &mut file, table).await?;
        }
        run(&mut file, "COMMIT").await
    }
    .await;
    let ended = conn.run("ROLLBACK").await;
    let _ = file.close().await;
    outcome.and(ended)
}

/// Begins a transaction in which nobody else writes to `tables`: what a node wrote meanwhile would neither be replaced nor
/// end with the epoch.
async fn begin_alone(conn: &mut Conn, tables: &[Table]) -> Result<(), StoreError> {
    let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    names.sort_by_key(|name| HELD_LAST.iter().position(|last| last == name));
    let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "));
    let begun = Instant::now();
    let mut pause = Duration::ZERO;
    loop {
        // Gives up before PostgreSQL looks for a deadlock, which might end the writer instead.
        let begin = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '300ms'";
        conn.run(begin).await?;
        let held = conn.run(&lock).await;
        if held.is_ok() {
            return Ok(());
        }
        conn.run("ROLLBACK").await?;
        match held {
            Err(StoreError::Busy) if begun.elapsed() < HOLD_WITHIN => {
                pause = HOLD_PAUSE_MAX.min(pause + Duration::from_millis(5));
                tokio::time::sleep(pause).await;
            }
            other => return other,
        }
    }
}

async fn load(
    file: &mut AnyConnection,
    target: &mut AnyConnection,
    tables: &[Table],
    replace: bool,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    if !replace {
        for table in tables
            .iter()
            .filter(|table| FIRST.contains(&table.name.as_str()))
        {
            let sql = format!("SELECT COUNT(*) FROM {}", table.name);
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut *target)
                .await
                .map_err(|error| from_sqlx(&error))?;
            if count > 0 {
                return Err(StoreError::Unavailable(format!(
                    "the database is not empty ({} has {count} rows); add --replace to put the backup in its place",
                    table.name
                )));
            }
        }
    }
    let before = match reason {
        Some(_) => Some((epoch::read(target).await?, counter(target).await?)),
        None => None,
    };
    // The copy is older than these deletions.
    let deleted = match reason {
        Some(_) => deleted_users::list(target).await?,
        None => Vec::new(),
    };
    empty(target, tables).await?;
    for table in tables {
        copy(file, target, table).await?;
    }
    let mut again = 0;
    if let (Some(reason), Some((before, counted))) = (reason, before) {
        again = deleted_users::delete_again(target, &deleted, now).await?;
        // Nodes that run know the counter of before: the same copy again must not bring it back to where it was.
        let sql = "UPDATE change SET counter = $1 WHERE id = 1 AND counter < $1";
        let args = Args::with_capacity(1).int(counted).finish()?;
        crate::conn::execute(target, sql, args).await?;
        let mut restored = epoch::read(target).await?.epoch;
        restored.number = restored.number.max(before.epoch.number);
        restored.began_at = restored.began_at.max(before.epoch.began_at);
        let sql = "UPDATE epoch SET number = $1 WHERE id = 1";
        let args = Args::with_capacity(1).int(restored.number).finish()?;
        crate::conn::execute(target, sql, args).await?;
        let mut beginning = Beginning::alone(before.lineage.as_deref(), reason, now);
        if beginning.lineage.is_some() {
            beginning.now = later_clock(target, now).await?;
            beginning.skew_seconds = SKEW_SECONDS;
        }
        epoch::begin(target, restored, beginning).await?;
    }
    Ok(again)
}

/// How many changes were counted.
async fn counter(target: &mut AnyConnection) -> Result<i64, StoreError> {
    let sql = "SELECT counter FROM change WHERE id = 1";
    match fetch_optional(target, sql, Args::default().finish()?).await? {
        Some(row) => RowReader::new(&row, "change").int(0),
        None => Ok(0),
    }
}

async fn run(connection: &mut AnyConnection, sql: &'static str) -> Result<(), StoreError> {
    let done = connection.execute(sql).await;
    done.map(|_| ()).map_err(|error| from_sqlx(&error))
}

async fn empty(target: &mut AnyConnection, tables: &[Table]) -> Result<(), StoreError> {
    for table in tables.iter().rev() {
        let sql = format!("DELETE FROM {}", table.name);
        let done = target.execute(AssertSqlSafe(sql)).await;
        done.map_err(|error| from_sqlx(&error))?;
    }
    Ok(())
}

async fn copy(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    table: &Table,
) -> Result<(), StoreError> {
    let names: Vec<&str> = table
        .columns
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let names = names.join(", ");
    let places: Vec<String> = (1..=table.columns.len())
        .map(|place| format!("${place}"))
        .collect();
    let insert = format!(
        "INSERT INTO {} ({names}) VALUES ({})",
        table.name,
        places.join(", ")
    );
    let select = format!("SELECT {names} FROM {}", table.name);
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(from);
    while let Some(row) = rows.try_next().await.map_err(|error| from_sqlx(&error))? {
        let row = RowReader::new(&row, "a copied table");
        let mut args = Args::with_capacity(table.columns.len());
        for (index, (_, is_number)) in table.columns.iter().enumerate() {
            args = if *is_number {
                args.optional_time(row.optional_time(index)?)
            } else {
                args.optional_text(row.optional_text(index)?)
            };
        }
        sqlx::query_with(AssertSqlSafe(insert.clone()), args.finish()?)
            .execute(&mut *to)
            .await
            .map_err(|error| from_sqlx(&error))?;
    }
    Ok(())
}
