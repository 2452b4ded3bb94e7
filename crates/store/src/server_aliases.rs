use std::collections::HashMap;

use base::{Digest, Timestamp};
use domain::{AuditEvent, FormerResource, OtherAddresses, ServerAlias, ServerSlug};
use sqlx::any::AnyRow;

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// The most aliases of one server.
pub const ALIASES_MAX: i64 = 20;

/// What came of declaring an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasAdded {
    /// It waits for its proof.
    Added,
    /// It is an address already: of this server, or of another.
    Taken,
    /// The server has as many as it may.
    TooMany,
    /// No such server.
    Unknown,
}

/// The try of one node to prove an alias.
#[derive(Debug, Clone)]
pub struct AliasTry {
    /// The alias.
    pub url: String,
    /// When it was due, as this node knows it: another node that was faster moved it on.
    pub due_at: Timestamp,
    /// When the next one is due.
    pub next_check_at: Timestamp,
    /// Of the nonce.
    pub nonce_digest: Digest,
    /// Until when the nonce is answered.
    pub nonce_expires_at: Timestamp,
}

/// What came of a try.
#[derive(Debug, Clone)]
pub struct AliasVerdict {
    /// The alias.
    pub url: String,
    /// The nonce whose try it was: what a later try found is not overwritten.
    pub nonce_digest: Digest,
    /// When it was proven last. None takes the proof away.
    pub proven_at: Option<Timestamp>,
    /// Why it was not proven this time.
    pub failure: Option<String>,
    /// What is recorded, when something changed.
    pub event: Option<AuditEvent>,
}

impl Store {
    /// Declares an alias.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_alias(
        &self,
        server: &ServerSlug,
        url: &str,
        ends_at: Option<Timestamp>,
        event: AuditEvent,
    ) -> Result<AliasAdded, StoreError> {
        refuse_nul(&[("url", url), ("detail", &event.detail)])?;
        let data = (server.clone(), url.to_owned(), ends_at, event);
        self.write(data, |conn, (server, url, ends_at, event)| {
            Box::pin(async move {
                // Whoever gives this address to a server, or takes the server away, waits too.
                conn.wait_for_other_changes().await?;
                let sql = "SELECT (SELECT COUNT(*) FROM server_alias WHERE server = $1), \
                           (SELECT COUNT(*) FROM mcp_server WHERE resource = $2) \
                           FROM mcp_server WHERE slug = $1 AND removed_at IS NULL";
                let args = Args::with_capacity(2).text(server.as_str()).text(url);
                let Some(row) = conn.fetch_optional(sql, args).await? else {
                    return Ok(AliasAdded::Unknown);
                };
                let row = RowReader::new(&row, "server_alias");
                if row.int(1)? > 0 {
                    return Ok(AliasAdded::Taken);
                }
                if row.int(0)? >= ALIASES_MAX {
                    return Ok(AliasAdded::TooMany);
                }
                // Due at once, also by the clock of a node that is behind.
                let sql = "INSERT INTO server_alias (url, server, created_at, ends_at, next_check_at) \
                           VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING";
                let args = Args::with_capacity(4)
                    .text(url)
                    .text(server.as_str())
                    .time(event.at)
                    .optional_time(*ends_at);
                Ok(match conn.change(sql, args, event).await? {
                    true => AliasAdded::Added,
                    false => AliasAdded::Taken,
                })
            })
        })
        .await
    }

    /// Takes an alias away; false when the server has no such one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove_alias(
        &self,
        server: &ServerSlug,
        url: &str,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        let data = (server.clone(), url.to_owned(), event);
        self.write(data, |conn, (server, url, event)| {
            Box::pin(async move {
                let sql = "DELETE FROM server_alias WHERE server = $1 AND url = $2";
                let args = Args::with_capacity(2).text(server.as_str()).text(url);
                conn.change(sql, args, event).await
            })
        })
        .await
    }

    /// Takes the try of a node down, before it is made; false when another node was faster.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin_alias_try(&self, attempt: AliasTry) -> Result<bool, StoreError> {
        self.write(attempt, |conn, attempt| {
            Box::pin(async move {
                let sql = "UPDATE server_alias SET next_check_at = $3, nonce_digest = $4, nonce_expires_at = $5 \
                           WHERE url = $1 AND next_check_at = $2";
                let args = Args::with_capacity(5)
                    .text(&attempt.url)
                    .time(attempt.due_at)
                    .time(attempt.next_check_at)
                    .digest(&attempt.nonce_digest)
                    .time(attempt.nonce_expires_at);
                let begun = conn.execute(sql, args).await? == 1;
                if begun {
                    // Every node has to know when the next one is due.
                    conn.count_change().await?;
                }
                Ok(begun)
            })
        })
        .await
    }

    /// Writes down what came of a try; false when the alias is gone or tried anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_alias_try(&self, verdict: AliasVerdict) -> Result<bool, StoreError> {
        self.write(verdict, |conn, verdict| {
            Box::pin(async move {
                let sql = "UPDATE server_alias SET proven_at = $3, failure = $4, nonce_digest = NULL, nonce_expires_at = NULL \
                           WHERE url = $1 AND nonce_digest = $2";
                let args = Args::with_capacity(4)
                    .text(&verdict.url)
                    .digest(&verdict.nonce_digest)
                    .optional_time(verdict.proven_at)
                    .optional_clean_text(verdict.failure.as_deref());
                if conn.execute(sql, args).await? == 0 {
                    return Ok(false);
                }
                if let Some(event) = &verdict.event {
                    conn.record(event);
                }
                conn.count_change().await?;
                Ok(true)
            })
        })
        .await
    }

    /// The alias that is being proven by this nonce at `now`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_alias_by_nonce(
        &self,
        nonce: &Digest,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT url FROM server_alias WHERE nonce_digest = $1 AND nonce_expires_at > $2 \
                   AND (ends_at IS NULL OR ends_at > $2)";
        let args = Args::with_capacity(2).digest(nonce).time(now);
        let row = self.fetch_optional(sql, args).await?;
        row.map(|row| Ok(RowReader::new(&row, "server_alias").text(0)?.to_owned()))
            .transpose()
    }

    /// The other addresses of every server that has some.
    pub(crate) async fn list_other_addresses(
        &self,
    ) -> Result<HashMap<String, OtherAddresses>, StoreError> {
        let aliases = self.fetch_all(ALIASES, Args::default()).await?;
        let former = self.fetch_all(FORMER, Args::default()).await?;
        by_server(&aliases, &former)
    }
}

impl Conn {
    /// The same in a transaction.
    pub(crate) async fn list_other_addresses(
        &mut self,
    ) -> Result<HashMap<String, OtherAddresses>, StoreError> {
        let aliases = self.fetch_all(ALIASES, Args::default()).await?;
        let former = self.fetch_all(FORMER, Args::default()).await?;
        by_server(&aliases, &former)
    }
}

const ALIASES: &str = "SELECT server, url, ends_at, proven_at, next_check_at, failure FROM server_alias \
                       ORDER BY created_at, url";

const FORMER: &str =
    "SELECT server, resource, accepted_until FROM former_resource ORDER BY resource";

fn by_server(
    aliases: &[AnyRow],
    former: &[AnyRow],
) -> Result<HashMap<String, OtherAddresses>, StoreError> {
    let mut all: HashMap<String, OtherAddresses> = HashMap::new();
    for row in aliases {
        let row = RowReader::new(row, "server_alias");
        let addresses = all.entry(row.text(0)?.to_owned()).or_default();
        addresses.aliases.push(ServerAlias {
            url: row.text(1)?.to_owned(),
            until: row.optional_time(2)?,
            proven_at: row.optional_time(3)?,
            next_check_at: row.time(4)?,
            failure: row.optional_text(5)?.map(str::to_owned),
        });
    }
    for row in former {
        let row = RowReader::new(row, "former_resource");
        let addresses = all.entry(row.text(0)?.to_owned()).or_default();
        addresses.former.push(FormerResource {
            resource: row.text(1)?.to_owned(),
            accepted_until: row.time(2)?,
        });
    }
    Ok(all)
}
