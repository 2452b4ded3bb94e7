use std::time::Duration;

use base::Timestamp;
use domain::{AuditEvent, ClientId, ClientTrust, FamilyEnd, ServerSlug, TrustDecision, UserId};

use crate::client_cut_off::CutOff;
use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What came of asking for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// It waits now.
    Waits,
    /// Somebody asked before, or it was decided; nothing changed.
    AlreadyThere,
    /// As many wait as may; nothing changed.
    TooMany,
}

impl Conn {
    pub(crate) async fn decide_client_trust(
        &mut self,
        decided: &ClientTrust,
        revocation_until: Timestamp,
        event: &AuditEvent,
    ) -> Result<u64, StoreError> {
        let sql = "INSERT INTO client_trust (server, client_id, decision, at, user_id) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (server, client_id) \
                   DO UPDATE SET decision = excluded.decision, at = excluded.at, user_id = excluded.user_id";
        self.execute(sql, row(decided)).await?;
        let mut ended = 0;
        if decided.decision == TrustDecision::Blocked {
            let cut = CutOff {
                server: &decided.server,
                client: &decided.client,
                reason: FamilyEnd::ClientBlocked,
                now: decided.at,
                // `iat` counts whole seconds, and an answer may be under way.
                issued_before: decided.at.after(Duration::from_secs(1)),
                remembered_until: revocation_until,
            };
            ended = self.cut_off_client(cut).await?;
        }
        self.record(event);
        self.count_change().await?;
        Ok(ended)
    }

    pub(crate) async fn forget_client_trust(
        &mut self,
        server: &ServerSlug,
        client: &ClientId,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM client_trust WHERE server = $1 AND client_id = $2";
        let args = Args::with_capacity(2)
            .text(server.as_str())
            .text(client.as_str());
        self.change(sql, args, event).await
    }
}

impl Store {
    /// What was decided about this client at this server.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_client_trust(
        &self,
        server: &ServerSlug,
        client: &ClientId,
    ) -> Result<Option<ClientTrust>, StoreError> {
        let sql = "SELECT server, client_id, decision, at, user_id FROM client_trust \
                   WHERE server = $1 AND client_id = $2";
        let args = Args::with_capacity(2)
            .text(server.as_str())
            .text(client.as_str());
        let row = self.fetch_optional(sql, args).await?;
        row.as_ref().map(read).transpose()
    }

    /// Clients with a document that wait for a decision, the longest waiting first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_waiting_client_trust(
        &self,
        limit: usize,
    ) -> Result<Vec<ClientTrust>, StoreError> {
        let sql = "SELECT server, client_id, decision, at, user_id FROM client_trust \
                   WHERE decision = $1 AND server IN (SELECT slug FROM mcp_server WHERE removed_at IS NULL) \
                   ORDER BY at, server, client_id LIMIT $2";
        let args = Args::with_capacity(2)
            .text(TrustDecision::Waiting.as_str())
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter().map(read).collect()
    }

    /// Every decision, and every client that waits for one, behind `after`, by server and client.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_client_trust(
        &self,
        after: Option<(&ServerSlug, &ClientId)>,
        limit: usize,
    ) -> Result<Vec<ClientTrust>, StoreError> {
        let sql = "SELECT server, client_id, decision, at, user_id FROM client_trust \
                   WHERE server > $1 OR (server = $1 AND client_id > $2) ORDER BY server, client_id LIMIT $3";
        let (server, client) = after.map_or(("", ""), |(server, client)| {
            (server.as_str(), client.as_str())
        });
        let args = Args::with_capacity(3)
            .text(server)
            .text(client)
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter().map(read).collect()
    }

    /// Makes a client wait for a decision, unless there is one, or `waiting_max` wait at its server.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn ask_for_client(
        &self,
        asked: ClientTrust,
        waiting_max: i64,
        event: AuditEvent,
    ) -> Result<AskedFor, StoreError> {
        refuse_nul(&[("client_id", asked.client.as_str())])?;
        let data = (asked, waiting_max, event);
        self.write(data, |conn, (asked, waiting_max, event)| {
            Box::pin(async move {
                let sql = "SELECT COUNT(*) FROM client_trust WHERE server = $1 AND decision = $2";
                let args = Args::with_capacity(2)
                    .text(asked.server.as_str())
                    .text(TrustDecision::Waiting.as_str());
                let waiting = match conn.fetch_optional(sql, args).await? {
                    Some(row) => RowReader::new(&row, "client_trust").int(0)?,
                    None => 0,
                };
                let sql = "INSERT INTO client_trust (server, client_id, decision, at, user_id) \
                           SELECT $1, $2, $3, $4, $5 FROM mcp_server \
                           WHERE slug = $1 AND NOT EXISTS \
                           (SELECT 1 FROM client_trust WHERE server = $1 AND client_id = $2) \
                           AND CAST($6 AS BIGINT) < CAST($7 AS BIGINT) \
                           ON CONFLICT (server, client_id) DO NOTHING";
                let args = row(asked).int(waiting).int(*waiting_max);
                if conn.execute(sql, args).await? > 0 {
                    conn.record(event);
                    conn.count_change().await?;
                    return Ok(AskedFor::Waits);
                }
                Ok(if waiting < *waiting_max {
                    AskedFor::AlreadyThere
                } else {
                    let sql =
                        "SELECT server FROM client_trust WHERE server = $1 AND client_id = $2";
                    let args = Args::with_capacity(2)
                        .text(asked.server.as_str())
                        .text(asked.client.as_str());
                    match conn.fetch_optional(sql, args).await? {
                        Some(_) => AskedFor::AlreadyThere,
                        None => AskedFor::TooMany,
                    }
                })
            })
        })
        .await
    }

    /// Writes a decision over what was decided before. Blocking ends every token family of the client at that
    /// server and cuts it off; the feed carries that until `revocation_until`. Says how many it ended.
    ///
    /// # Errors
    /// When it cannot be written; there must be such a server.
    pub async fn decide_client_trust(
        &self,
        decided: ClientTrust,
        revocation_until: Timestamp,
        event: AuditEvent,
    ) -> Result<u64, StoreError> {
        refuse_nul(&[
            ("client_id", decided.client.as_str()),
            ("detail", &event.detail),
        ])?;
        let data = (decided, revocation_until, event);
        self.write(data, |conn, (decided, revocation_until, event)| {
            Box::pin(conn.decide_client_trust(decided, *revocation_until, event))
        })
        .await
    }

    /// Forgets what was decided, so that the setting of the server counts again. Says whether there was anything.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_client_trust(
        &self,
        server: &ServerSlug,
        client: &ClientId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        let data = (server.clone(), client.clone(), event);
        self.write(data, |conn, (server, client, event)| {
            Box::pin(conn.forget_client_trust(server, client, event))
        })
        .await
    }
}

fn row(trust: &ClientTrust) -> Args {
    Args::with_capacity(7)
        .text(trust.server.as_str())
        .text(trust.client.as_str())
        .text(trust.decision.as_str())
        .time(trust.at)
        .optional_text(trust.by.as_ref().map(UserId::as_str))
}

pub(crate) fn read(row: &sqlx::any::AnyRow) -> Result<ClientTrust, StoreError> {
    let row = RowReader::new(row, "client_trust");
    Ok(ClientTrust {
        server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
        client: ClientId::from_text(row.text(1)?),
        decision: row.parse(2, TrustDecision::parse)?,
        at: row.time(3)?,
        by: row.optional_text(4)?.map(UserId::from_text),
    })
}
