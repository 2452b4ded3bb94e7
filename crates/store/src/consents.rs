use domain::{AuditEvent, ClientId, Consent, ServerSlug, UserId};
use wire::oauth::ScopeSet;

use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

impl Conn {
    /// Remembers what a person approved, over what they approved before.
    pub(crate) fn upsert_consent(&mut self, consent: &Consent) {
        let row = Args::with_capacity(6)
            .text(consent.user.as_str())
            .text(consent.client.as_str())
            .text(&consent.redirect_uri)
            .text(consent.server.as_str())
            .text(&consent.scopes.to_string())
            .time(consent.approved_at);
        self.insert_later(&UPSERT, row);
    }
}

static UPSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO client_consent (user_id, client_id, redirect_uri, server, scopes, approved_at) VALUES",
    6,
    " ON CONFLICT (user_id, server, client_id, redirect_uri) \
     DO UPDATE SET scopes = excluded.scopes, approved_at = excluded.approved_at",
);

impl Store {
    /// What this person approved last for this client with this return address.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_consent(
        &self,
        user: &UserId,
        server: &ServerSlug,
        client: &ClientId,
        redirect_uri: &str,
    ) -> Result<Option<Consent>, StoreError> {
        let sql = "SELECT user_id, client_id, redirect_uri, server, scopes, approved_at FROM client_consent \
                   WHERE user_id = $1 AND client_id = $2 AND redirect_uri = $3 AND server = $4";
        let args = Args::with_capacity(4)
            .text(user.as_str())
            .text(client.as_str())
            .text(redirect_uri)
            .text(server.as_str());
        let row = self.fetch_optional(sql, args).await?;
        let Some(row) = row else { return Ok(None) };
        let row = RowReader::new(&row, "client_consent");
        Ok(Some(Consent {
            user: UserId::from_text(row.text(0)?),
            client: ClientId::from_text(row.text(1)?),
            redirect_uri: row.text(2)?.to_owned(),
            server: row.parse(3, |text| ServerSlug::parse(text).ok())?,
            scopes: ScopeSet::parse_lenient(row.text(4)?),
            approved_at: row.time(5)?,
        }))
    }

    /// Forgets what a person approved for this client with this return address, since they said no now. Person and MCP
    /// server are those of `event`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn withdraw_consent(
        &self,
        client: &ClientId,
        redirect_uri: &str,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        refuse_nul(&[("redirect_uri", redirect_uri), ("detail", &event.detail)])?;
        let work = (client.clone(), redirect_uri.to_owned(), event);
        self.write(work, |conn, (client, redirect_uri, event)| {
            Box::pin(async move {
                let sql = "DELETE FROM client_consent \
                           WHERE user_id = $1 AND client_id = $2 AND redirect_uri = $3 AND server = $4";
                let args = Args::with_capacity(4)
                    .optional_text(event.user.as_ref().map(UserId::as_str))
                    .text(client.as_str())
                    .text(redirect_uri)
                    .optional_text(event.server.as_ref().map(ServerSlug::as_str));
                conn.execute(sql, args).await?;
                conn.record(event);
                Ok(())
            })
        })
        .await
    }
}
