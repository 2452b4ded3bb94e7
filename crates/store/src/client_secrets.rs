use base::Timestamp;
use domain::{AuditEvent, ClientId, ClientSecret, ServerSlug};

use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

impl Store {
    /// Gives a client of this server a secret; the one it has ends at `older_until`, and one that was replaced before
    /// ends at once. False when there is no such client.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_client_secret(
        &self,
        server: &ServerSlug,
        secret: ClientSecret,
        older_until: Timestamp,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (server.clone(), secret, older_until, event);
        self.write(data, |conn, (server, secret, older_until, event)| {
            Box::pin(async move {
                let client = || Args::with_capacity(2).text(secret.client.as_str());
                // Holds the row: of two at once, each would not see the secret of the other, which would then have no end.
                let sql = "UPDATE client SET name = name WHERE id = $1 AND server = $2";
                if conn.execute(sql, client().text(server.as_str())).await? == 0 {
                    return Ok(false);
                }
                let sql =
                    "DELETE FROM client_secret WHERE client_id = $1 AND expires_at IS NOT NULL";
                conn.execute(sql, client()).await?;
                let sql = "UPDATE client_secret SET expires_at = $2 WHERE client_id = $1";
                conn.execute(sql, client().time(*older_until)).await?;
                let sql = "INSERT INTO client_secret (digest, client_id, created_at, expires_at) \
                           VALUES ($1, $2, $3, $4)";
                let args = Args::with_capacity(4)
                    .digest(&secret.digest)
                    .text(secret.client.as_str())
                    .time(secret.created_at)
                    .optional_time(secret.expires_at);
                conn.execute(sql, args).await?;
                conn.record(event);
                Ok(true)
            })
        })
        .await
    }

    /// The secrets of a client, the newest first; at most two.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_client_secrets(
        &self,
        client: &ClientId,
    ) -> Result<Vec<ClientSecret>, StoreError> {
        let sql = "SELECT digest, client_id, created_at, expires_at FROM client_secret \
                   WHERE client_id = $1 ORDER BY created_at DESC, digest LIMIT 2";
        let args = Args::with_capacity(1).text(client.as_str());
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "client_secret");
                Ok(ClientSecret {
                    digest: row.digest(0)?,
                    client: ClientId::from_text(row.text(1)?),
                    created_at: row.time(2)?,
                    expires_at: row.optional_time(3)?,
                })
            })
            .collect()
    }
}
