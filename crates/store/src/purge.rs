use std::time::Duration;

use base::Timestamp;

use crate::values::Args;
use crate::{PAGE_ROWS_MAX, Store, StoreError};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Each statement deletes at most `$2` rows whose time was over before `$1`, a number of days before now.
///
/// A code outlives its minute by a day, so that a replay is told from nonsense. A family goes after its refresh
/// tokens, which never live longer than it does. Service tokens stay in sight for a season.
const PURGES: [(&str, u32); 14] = [
    (
        "DELETE FROM authorization_code WHERE digest IN \
         (SELECT digest FROM authorization_code WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        "DELETE FROM refresh_token WHERE digest IN \
         (SELECT digest FROM refresh_token WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        "DELETE FROM token_family WHERE id IN \
         (SELECT id FROM token_family WHERE expires_at < $1 \
          AND (revocation_until IS NULL OR revocation_until < $1) LIMIT $2)",
        2,
    ),
    (
        "DELETE FROM login_session WHERE id IN \
         (SELECT id FROM login_session WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        "DELETE FROM setup_token WHERE digest IN \
         (SELECT digest FROM setup_token WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        // Longer than any node's clock is behind: that one would take the assertion for a fresh one.
        "DELETE FROM client_assertion_id WHERE digest IN \
         (SELECT digest FROM client_assertion_id WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        "DELETE FROM client_secret WHERE digest IN \
         (SELECT digest FROM client_secret WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        "DELETE FROM resource_server_credential WHERE id IN \
         (SELECT id FROM resource_server_credential WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        "DELETE FROM service_token WHERE id IN \
         (SELECT id FROM service_token WHERE expires_at < $1 LIMIT $2)",
        90,
    ),
    (
        "DELETE FROM client_cut_off WHERE (server, client_id) IN \
         (SELECT server, client_id FROM client_cut_off WHERE remembered_until < $1 LIMIT $2)",
        1,
    ),
    (
        // Whoever comes with one has it fetched again and again; these are of clients that nobody uses.
        "DELETE FROM client_document WHERE fetched_at < $1 AND url IN \
         (SELECT url FROM client_document WHERE fetched_at < $1 LIMIT $2)",
        400,
    ),
    (
        "DELETE FROM acme_challenge WHERE (domain, token) IN \
         (SELECT domain, token FROM acme_challenge WHERE expires_at < $1 LIMIT $2)",
        1,
    ),
    (
        // Long enough that whoever wonders why an address is refused finds it in the list.
        "DELETE FROM server_alias WHERE url IN \
         (SELECT url FROM server_alias WHERE ends_at < $1 LIMIT $2)",
        30,
    ),
    (
        "DELETE FROM former_resource WHERE (server, resource) IN \
         (SELECT server, resource FROM former_resource WHERE accepted_until < $1 LIMIT $2)",
        1,
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
        for (sql, days) in PURGES {
            let before = now.before(DAY * days);
            purged += self
                .write((sql, before, limit), |conn, (sql, before, limit)| {
                    Box::pin(async move {
                        let args = Args::with_capacity(2).time(*before).limit(*limit);
                        conn.execute(sql, args).await
                    })
                })
                .await?;
        }
        Ok(purged)
    }
}
