use base::Timestamp;
use domain::{AuditEvent, ClientId, ClientRegistration, FamilyEnd, ServerSlug};

use crate::client_cut_off::CutOff;
use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What [`Store::block_client`] and [`Store::forget_client`] write.
#[derive(Debug, Clone)]
pub struct EndClient {
    /// The MCP server it belongs to.
    pub server: ServerSlug,
    /// The client.
    pub client: ClientId,
    /// The present moment.
    pub now: Timestamp,
    /// Access tokens issued before this moment are refused everywhere.
    pub issued_before: Timestamp,
    /// When the last of them has expired.
    pub remembered_until: Timestamp,
    /// Written only when it was there to be ended.
    pub event: AuditEvent,
}

impl EndClient {
    fn cut_off(&self) -> CutOff<'_> {
        CutOff {
            server: &self.server,
            client: &self.client,
            reason: FamilyEnd::ClientBlocked,
            now: self.now,
            issued_before: self.issued_before,
            remembered_until: self.remembered_until,
        }
    }
}

/// Which clients that registered themselves may go.
#[derive(Debug, Clone, Copy)]
pub struct IdleClients {
    /// The present moment.
    pub now: Timestamp,
    /// One that nobody ever approved goes when it registered before this.
    pub unused_before: Timestamp,
    /// One that somebody approved goes when the last approval was before this, and nothing of it lives.
    pub idle_before: Timestamp,
}

/// What hangs on a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientUsage {
    /// People who approved it and have not taken that back.
    pub people: i64,
    /// The last time somebody approved it.
    pub approved_at: Option<Timestamp>,
    /// Token families that are not over.
    pub live_families: i64,
}

impl Store {
    /// What hangs on this client at this server. It counts rows, so ask seldom.
    ///
    /// # Errors
    /// When it cannot be counted.
    pub async fn client_usage(
        &self,
        server: &ServerSlug,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<ClientUsage, StoreError> {
        let args = |capacity| {
            Args::with_capacity(capacity)
                .text(client.as_str())
                .text(server.as_str())
        };
        let missing = || StoreError::Internal("a count came back empty".to_owned());
        let sql = "SELECT COUNT(DISTINCT user_id), MAX(approved_at) FROM client_consent \
                   WHERE client_id = $1 AND server = $2";
        let consents = self
            .fetch_optional(sql, args(2))
            .await?
            .ok_or_else(missing)?;
        let consents = RowReader::new(&consents, "client_consent");
        let sql = "SELECT COUNT(*) FROM token_family \
                   WHERE client_id = $1 AND server = $2 AND ended_at IS NULL AND expires_at > $3";
        let families = self
            .fetch_optional(sql, args(3).time(now))
            .await?
            .ok_or_else(missing)?;
        Ok(ClientUsage {
            people: consents.int(0)?,
            approved_at: consents.optional_time(1)?,
            live_families: RowReader::new(&families, "token_family").int(0)?,
        })
    }

    /// Lets people use a client that waited for an admin; false when it did not wait.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn approve_client(
        &self,
        server: &ServerSlug,
        client: &ClientId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE client SET waiting_since = NULL \
                           WHERE id = $1 AND server = $2 AND waiting_since IS NOT NULL";
        self.change_client(SQL, server, client, event).await
    }

    /// Lets a client in again that was blocked; false when it was not. What it held stays ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn unblock_client(
        &self,
        server: &ServerSlug,
        client: &ClientId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (server.clone(), client.clone(), event);
        self.write(data, |conn, (server, client, event)| {
            Box::pin(conn.unblock_client(server, client, event))
        })
        .await
    }

    async fn change_client(
        &self,
        sql: &'static str,
        server: &ServerSlug,
        client: &ClientId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (sql, server.clone(), client.clone(), event);
        self.write(data, |conn, (sql, server, client, event)| {
            Box::pin(async move {
                let args = Args::with_capacity(2)
                    .text(client.as_str())
                    .text(server.as_str());
                conn.change(sql, args, event).await
            })
        })
        .await
    }

    /// Blocks a client and ends everything it holds, in one transaction. Says how many token families that ended;
    /// `None` when there is no such client or it was blocked before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn block_client(&self, block: EndClient) -> Result<Option<u64>, StoreError> {
        refuse_nul(&[("detail", &block.event.detail)])?;
        self.write(block, |conn, block| Box::pin(conn.block_client(block)))
            .await
    }

    /// Deletes a client with what people approved for it, and ends everything it holds, in one transaction. Says how
    /// many token families that ended; `None` when there is no such client.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn forget_client(&self, forget: EndClient) -> Result<Option<u64>, StoreError> {
        refuse_nul(&[("detail", &forget.event.detail)])?;
        self.write(forget, |conn, forget| Box::pin(conn.forget_client(forget)))
            .await
    }

    /// Deletes clients that registered themselves and that nobody uses, at most `limit` of those behind `after`.
    /// Returns the id to go on behind, or `None` at the end, and how many went. A client that waits for an admin or
    /// was blocked stays, and so does one with a token family, or a code, that is not over.
    ///
    /// # Errors
    /// When they cannot be read or deleted.
    pub async fn forget_idle_clients(
        &self,
        idle: IdleClients,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<(Option<ClientId>, u64), StoreError> {
        // Found by reading, so that the writer is held for those alone that go.
        let args = Args::with_capacity(4)
            .text(after.map_or("", ClientId::as_str))
            .text(ClientRegistration::Dynamic.as_str())
            .time(idle.unused_before)
            .limit(limit);
        let sql = "SELECT id FROM client WHERE id > $1 AND registration = $2 AND created_at < $3 \
                   AND disabled_at IS NULL AND waiting_since IS NULL ORDER BY id LIMIT $4";
        let rows = self.fetch_all(sql, args).await?;
        let mut forgotten = 0;
        let mut last = None;
        for row in &rows {
            let id = ClientId::from_text(RowReader::new(row, "client").text(0)?);
            if self.is_idle(idle, &id).await? {
                forgotten += self
                    .write((idle, id.clone()), |conn, (idle, id)| {
                        Box::pin(conn.forget_if_idle(*idle, id))
                    })
                    .await?;
            }
            last = Some(id);
        }
        let more = rows.len() == limit;
        Ok((last.filter(|_| more), forgotten))
    }

    async fn is_idle(&self, idle: IdleClients, id: &ClientId) -> Result<bool, StoreError> {
        let found = self.fetch_optional(IDLE, idle_args(idle, id)).await?;
        Ok(found.is_some())
    }
}

impl Conn {
    pub(crate) async fn block_client(
        &mut self,
        block: &EndClient,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "UPDATE client SET disabled_at = $3 \
                   WHERE id = $1 AND server = $2 AND disabled_at IS NULL";
        let args = Args::with_capacity(3)
            .text(block.client.as_str())
            .text(block.server.as_str())
            .time(block.now);
        if self.execute(sql, args).await? == 0 {
            return Ok(None);
        }
        let ended = self.cut_off_client(block.cut_off()).await?;
        self.record(&block.event);
        Ok(Some(ended))
    }

    pub(crate) async fn forget_client(
        &mut self,
        forget: &EndClient,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "DELETE FROM client WHERE id = $1 AND server = $2";
        let args = Args::with_capacity(2)
            .text(forget.client.as_str())
            .text(forget.server.as_str());
        if self.execute(sql, args).await? == 0 {
            return Ok(None);
        }
        self.forget_what_hangs_on(&forget.client).await?;
        let ended = self.cut_off_client(forget.cut_off()).await?;
        self.record(&forget.event);
        Ok(Some(ended))
    }

    pub(crate) async fn unblock_client(
        &mut self,
        server: &ServerSlug,
        client: &ClientId,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        let args = Args::with_capacity(2)
            .text(client.as_str())
            .text(server.as_str());
        let sql = "UPDATE client SET disabled_at = NULL \
                   WHERE id = $1 AND server = $2 AND disabled_at IS NOT NULL";
        self.change(sql, args, event).await
    }

    async fn forget_if_idle(
        &mut self,
        idle: IdleClients,
        id: &ClientId,
    ) -> Result<u64, StoreError> {
        // Somebody may have approved it since it was read.
        if self
            .fetch_optional(IDLE, idle_args(idle, id))
            .await?
            .is_none()
        {
            return Ok(0);
        }
        let args = Args::with_capacity(1).text(id.as_str());
        let forgotten = self
            .execute("DELETE FROM client WHERE id = $1", args)
            .await?;
        self.forget_what_hangs_on(id).await?;
        Ok(forgotten)
    }

    async fn forget_what_hangs_on(&mut self, id: &ClientId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM client_consent WHERE client_id = $1",
            "DELETE FROM client_secret WHERE client_id = $1",
        ] {
            self.execute(sql, Args::with_capacity(1).text(id.as_str()))
                .await?;
        }
        Ok(())
    }
}

/// A family counts until its last day, whether or not its refresh token was used since.
const IDLE: &str = "SELECT k.id FROM client k WHERE k.id = $1 AND k.disabled_at IS NULL AND k.waiting_since IS NULL \
     AND NOT EXISTS (SELECT 1 FROM token_family f WHERE f.client_id = k.id \
                     AND f.ended_at IS NULL AND f.expires_at > $2) \
     AND ((k.created_at < $3 \
           AND NOT EXISTS (SELECT 1 FROM client_consent a WHERE a.client_id = k.id) \
           AND NOT EXISTS (SELECT 1 FROM token_family f WHERE f.client_id = k.id)) \
          OR (k.created_at < $4 \
              AND NOT EXISTS (SELECT 1 FROM client_consent a WHERE a.client_id = k.id AND a.approved_at >= $4) \
              AND NOT EXISTS (SELECT 1 FROM token_family f WHERE f.client_id = k.id AND f.created_at >= $4))) \
     AND NOT EXISTS (SELECT 1 FROM authorization_code c WHERE c.client_id = k.id AND c.expires_at > $2)";

fn idle_args(idle: IdleClients, id: &ClientId) -> Args {
    Args::with_capacity(4)
        .text(id.as_str())
        .time(idle.now)
        .time(idle.unused_before)
        .time(idle.idle_before)
}
