use std::time::Duration;

use base::Timestamp;

use crate::values::{Args, RowReader};
use crate::{PAGE_ROWS_MAX, Store, StoreError, metric};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One kind of row that ends by itself.
struct Ending {
    /// The table, for whoever counts.
    table: &'static str,
    /// Finds one row that is long over; asked by a reader, so that the writer is held only when there is something to do.
    probe: &'static str,
    /// Deletes at most `$2` rows whose time was over before `$1`.
    delete: &'static str,
    /// How many days before now that is.
    days: u32,
}

macro_rules! ending {
    ($table:literal, $key:literal, $over:literal, $days:literal) => {
        Ending {
            table: $table,
            probe: concat!("SELECT 1 FROM ", $table, " WHERE ", $over, " LIMIT 1"),
            delete: concat!(
                "DELETE FROM ",
                $table,
                " WHERE (",
                $key,
                ") IN (SELECT ",
                $key,
                " FROM ",
                $table,
                " WHERE ",
                $over,
                " LIMIT $2)"
            ),
            days: $days,
        }
    };
}

/// What is spent once, or was refused, is kept for longer than it could be presented, whatever a setting says.
const ENDINGS: [Ending; 21] = [
    // A code outlives its minute by a day, so that a replay is told from nonsense.
    ending!("authorization_code", "digest", "expires_at < $1", 1),
    ending!("refresh_token", "digest", "expires_at < $1", 1),
    // After its refresh tokens, which never live longer than it does.
    ending!(
        "token_family",
        "id",
        "expires_at < $1 AND (revocation_until IS NULL OR revocation_until < $1)",
        2
    ),
    ending!("login_session", "id", "expires_at < $1", 1),
    ending!("setup_token", "digest", "expires_at < $1", 1),
    // Longer than any node's clock is behind: that one would take the assertion for a fresh one.
    ending!("client_assertion_id", "digest", "expires_at < $1", 1),
    ending!("client_secret", "digest", "expires_at < $1", 1),
    ending!("resource_server_credential", "id", "expires_at < $1", 1),
    // They stay in sight for a season.
    ending!("service_token", "id", "expires_at < $1", 90),
    ending!(
        "client_cut_off",
        "server, client_id",
        "remembered_until < $1",
        1
    ),
    ending!(
        "subject_cut_off",
        "server, user_id",
        "remembered_until < $1",
        1
    ),
    // Whoever comes with one has it fetched again and again; these are of clients that nobody uses.
    ending!("client_document", "kind, url", "fetched_at < $1", 400),
    // What was approved for them goes with them.
    ending!(
        "client_consent",
        "user_id, server, client_id, redirect_uri",
        "approved_at < $1 AND client_id LIKE 'https://%' \
         AND NOT EXISTS (SELECT 1 FROM client_document d WHERE d.kind = 'client' AND d.url = client_consent.client_id)",
        400
    ),
    ending!("gateway_key", "server, id", "expires_at < $1", 1),
    ending!("acme_challenge", "domain, token", "expires_at < $1", 1),
    // Of names that nobody orders certificates for any more: one that failed is tried again within days, and 0 is the
    // first try, under way.
    ending!(
        "acme_order",
        "domain",
        "next_try_at < $1 AND next_try_at > 0",
        30
    ),
    // Nobody renewed it for so long that it has ended, however long it was good for.
    ending!("acme_certificate", "domain", "renew_at < $1", 800),
    // Chores are held for minutes.
    ending!("lease", "name", "held_until < $1", 30),
    // Long enough that whoever wonders why an address is refused finds it in the list.
    ending!("server_alias", "url", "ends_at < $1", 30),
    ending!(
        "former_resource",
        "server, resource",
        "accepted_until < $1",
        1
    ),
    // A node of a release that knows of none leaves them when it removes a server.
    ending!(
        "policy_revision",
        "server, revision",
        "server IN (SELECT slug FROM mcp_server WHERE removed_at < $1)",
        1
    ),
];

impl Store {
    /// Deletes what has been over for long, at most `limit` rows of each kind, and says how many rows went. As
    /// many as `limit` or more: there may be others.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let mut purged = 0;
        for ending in &ENDINGS {
            let before = now.before(DAY * ending.days);
            let found = self.fetch_optional(ending.probe, Args::with_capacity(1).time(before));
            if found.await?.is_none() {
                continue;
            }
            let gone = self
                .write(
                    (ending.delete, before, limit),
                    |conn, (sql, before, limit)| {
                        Box::pin(async move {
                            let args = Args::with_capacity(2).time(*before).limit(*limit);
                            conn.execute(sql, args).await
                        })
                    },
                )
                .await?;
            metric::purged(ending.table, gone);
            purged += gone;
        }
        Ok(purged)
    }

    /// Deletes audit events from before `before`, at most `limit`, and says how many went. The newest of all stays: it
    /// shows how far the database had come.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub async fn purge_audit_events(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        // By the time of the event and not by its id, which is ahead of it after a clock was set back. The first event in
        // order tells whether there is anything to do.
        let sql =
            "SELECT at, (SELECT MAX(id) FROM audit_event) FROM audit_event ORDER BY id LIMIT 1";
        let row = self.fetch_optional(sql, Args::default()).await?;
        let Some(row) = row else {
            return Ok(0);
        };
        let row = RowReader::new(&row, "audit_event");
        // What is newest now stays, whatever is written meanwhile.
        let (oldest, end) = (row.time(0)?, row.int(1)?);
        if oldest >= before {
            return Ok(0);
        }
        let gone = self
            .write((end, limit, before), |conn, (end, limit, before)| {
                Box::pin(async move {
                    let sql = "DELETE FROM audit_event WHERE id < $1 AND at < $3 AND id <= \
                               (SELECT MAX(id) FROM (SELECT id FROM audit_event ORDER BY id LIMIT $2) AS oldest)";
                    let args = Args::with_capacity(3)
                        .int(*end)
                        .limit(*limit)
                        .time(*before);
                    conn.execute(sql, args).await
                })
            })
            .await?;
        metric::purged("audit_event", gone);
        Ok(gone)
    }
}
