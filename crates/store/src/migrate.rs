use base::Timestamp;

use crate::StoreError;
use crate::conn::Conn;
use crate::values::{Args, RowReader};

/// The tables of one database, as the steps that make them. Version `n` is the state after step `n`.
pub(crate) struct Schema {
    /// Tells the authority's database from an activity log.
    pub(crate) name: &'static str,
    /// Whether it has an epoch, which a database that is older than it was begins anew.
    pub(crate) has_epoch: bool,
    pub(crate) steps: &'static [Step],
}

impl Schema {
    /// The newest version known here.
    pub(crate) fn known(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// One step. It expands (new tables, new columns that have a default) or it contracts (takes away what no binary that
/// may still run reads or writes); nodes of the version before run on beside the former.
pub(crate) struct Step {
    sql: &'static str,
    /// The lowest version that a binary must know to work with the result; nothing in steps from before there was a
    /// place to write it down. The highest of all steps counts.
    usable_from: Option<i64>,
}

/// A step that is older than the column it would be written to.
const fn early(sql: &'static str) -> Step {
    Step {
        sql,
        usable_from: None,
    }
}

/// A step after which binaries go on that know `version`.
const fn usable_from(version: i64, sql: &'static str) -> Step {
    Step {
        sql,
        usable_from: Some(version),
    }
}

/// The authority's own database.
pub(crate) const AUTHORITY: Schema = Schema {
    name: "authority",
    has_epoch: true,
    steps: &[
        early(include_str!("../migrations/0001_first.sql")),
        early(include_str!("../migrations/0002_clients.sql")),
        early(include_str!("../migrations/0003_client_documents.sql")),
        early(include_str!("../migrations/0004_signing_keys.sql")),
        early(include_str!("../migrations/0005_client_cut_off.sql")),
        early(include_str!("../migrations/0006_removed_servers.sql")),
        usable_from(
            7,
            include_str!("../migrations/0007_expand_and_contract.sql"),
        ),
        usable_from(7, include_str!("../migrations/0008_acme.sql")),
        usable_from(7, include_str!("../migrations/0009_gateway_keys.sql")),
        usable_from(7, include_str!("../migrations/0010_aliases.sql")),
        usable_from(7, include_str!("../migrations/0011_deleted_users.sql")),
        usable_from(7, include_str!("../migrations/0012_audit_seals.sql")),
        usable_from(7, include_str!("../migrations/0013_roles_and_groups.sql")),
        usable_from(7, include_str!("../migrations/0014_definitions.sql")),
        usable_from(7, include_str!("../migrations/0015_revoked_change.sql")),
        usable_from(7, include_str!("../migrations/0016_policy_rest.sql")),
        usable_from(
            7,
            include_str!("../migrations/0017_inventory_published_at.sql"),
        ),
        usable_from(7, include_str!("../migrations/0018_policy_revisions.sql")),
        usable_from(7, include_str!("../migrations/0019_unlisted_at.sql")),
        usable_from(
            7,
            include_str!("../migrations/0020_family_redirect_uri.sql"),
        ),
        usable_from(7, include_str!("../migrations/0021_revision_client.sql")),
    ],
};

/// The activity log.
pub(crate) const ACTIVITY: Schema = Schema {
    name: "activity",
    has_epoch: false,
    steps: &[
        early(include_str!("../migrations/activity/0001_first.sql")),
        usable_from(
            2,
            include_str!("../migrations/activity/0002_expand_and_contract.sql"),
        ),
        usable_from(2, include_str!("../migrations/activity/0003_decisions.sql")),
    ],
};

/// The newest version of the release before; the activity log's was lower still.
#[cfg(feature = "earlier-schema")]
const EARLIER_VERSION: i64 = 16;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)";

/// Brings the database to the version known here, inside the transaction that the caller began. A newer one that is
/// usable from this version on stays as it is.
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
    let known = schema.known();
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
    // Such a build is for databases that a later release made; its own it makes whole.
    #[cfg(feature = "earlier-schema")]
    let known = if found > EARLIER_VERSION {
        known.min(EARLIER_VERSION)
    } else {
        known
    };
    if found > known {
        return if usable_from_of(conn).await? > known {
            Err(StoreError::Newer { found, known })
        } else {
            tracing::info!(
                found,
                known,
                "the database is of a newer Portcullis, and usable from this one"
            );
            Ok(())
        };
    }
    for (version, step) in (1i64..).zip(schema.steps) {
        if version <= found || version > known {
            continue;
        }
        conn.run(step.sql).await?;
        let args = Args::with_capacity(4)
            .int(version)
            .text(schema.name)
            .time(now);
        match step.usable_from {
            None => {
                let sql =
                    "INSERT INTO schema_version (version, name, applied_at) VALUES ($1, $2, $3)";
                conn.execute(sql, args).await?;
            }
            Some(usable_from) => {
                let sql = "INSERT INTO schema_version (version, name, applied_at, usable_from) \
                           VALUES ($1, $2, $3, $4)";
                conn.execute(sql, args.int(usable_from)).await?;
            }
        }
    }
    Ok(())
}

/// From which version on a binary can work with a database that is newer than this one, and so has the column.
async fn usable_from_of(conn: &mut Conn) -> Result<i64, StoreError> {
    let sql = "SELECT MAX(COALESCE(usable_from, version)) FROM schema_version";
    let row = conn.fetch_optional(sql, Args::default()).await?;
    let row = row.ok_or_else(|| StoreError::Internal("no schema version is kept".to_owned()))?;
    RowReader::new(&row, "schema_version").int(0)
}
