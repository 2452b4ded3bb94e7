use base::Timestamp;

use crate::StoreError;
use crate::conn::Conn;
use crate::values::{Args, RowReader};

/// The tables of one database, as the steps that make them. Version `n` is the state after step `n`.
pub(crate) struct Schema {
    /// Tells the authority's database from an activity log.
    pub(crate) name: &'static str,
    pub(crate) steps: &'static [&'static str],
}

/// The authority's own database.
pub(crate) const AUTHORITY: Schema = Schema {
    name: "authority",
    steps: &[
        include_str!("../migrations/0001_first.sql"),
        include_str!("../migrations/0002_clients.sql"),
        include_str!("../migrations/0003_client_documents.sql"),
        include_str!("../migrations/0004_signing_keys.sql"),
        include_str!("../migrations/0005_client_cut_off.sql"),
        include_str!("../migrations/0006_removed_servers.sql"),
    ],
};

/// The activity log.
pub(crate) const ACTIVITY: Schema = Schema {
    name: "activity",
    steps: &[include_str!("../migrations/activity/0001_first.sql")],
};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)";

/// Brings the database to the version known here, inside the transaction that the caller began.
pub(crate) async fn migrate(
    conn: &mut Conn,
    schema: &Schema,
    now: Timestamp,
) -> Result<(), StoreError> {
    conn.run(TABLE).await?;
    let row = conn
        .fetch_optional(
            "SELECT version, name FROM schema_version ORDER BY version DESC LIMIT 1",
            Args::default(),
        )
        .await?;
    let known = i64::try_from(schema.steps.len()).unwrap_or(i64::MAX);
    let found = match &row {
        None => 0,
        Some(row) => {
            let row = RowReader::new(row, "schema_version");
            if row.text(1)? != schema.name {
                return Err(StoreError::Unavailable(format!(
                    "the database holds the {} of Portcullis, not its {}",
                    row.text(1)?,
                    schema.name
                )));
            }
            row.int(0)?
        }
    };
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, step) in (1i64..).zip(schema.steps) {
        if version <= found {
            continue;
        }
        conn.run(step).await?;
        conn.execute(
            "INSERT INTO schema_version (version, name, applied_at) VALUES ($1, $2, $3)",
            Args::with_capacity(3)
                .int(version)
                .text(schema.name)
                .time(now),
        )
        .await?;
    }
    Ok(())
}
