use base::Timestamp;
use domain::{AuditEvent, ResourceServerCredential, ResourceServerId, ServerSlug};

use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

impl Store {
    /// Gives an MCP server a credential; the one it has ends at `older_until`, and one that was replaced before ends
    /// at once. False when there is no such server.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_resource_server_credential(
        &self,
        credential: ResourceServerCredential,
        older_until: Timestamp,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (credential, older_until, event);
        self.write(data, |conn, (credential, older_until, event)| {
            Box::pin(async move {
                // Of two at once, each would not see the credential of the other, which would then have no end.
                conn.wait_for_other_changes().await?;
                let server = || Args::with_capacity(2).text(credential.server.as_str());
                let sql = "SELECT slug FROM mcp_server WHERE slug = $1 AND removed_at IS NULL";
                if conn.fetch_optional(sql, server()).await?.is_none() {
                    return Ok(false);
                }
                let sql = "DELETE FROM resource_server_credential \
                           WHERE server = $1 AND expires_at IS NOT NULL";
                conn.execute(sql, server()).await?;
                let sql = "UPDATE resource_server_credential SET expires_at = $2 WHERE server = $1";
                conn.execute(sql, server().time(*older_until)).await?;
                let sql =
                    "INSERT INTO resource_server_credential (id, server, digest, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5)";
                let args = Args::with_capacity(5)
                    .text(credential.id.as_str())
                    .text(credential.server.as_str())
                    .digest(&credential.digest)
                    .time(credential.created_at)
                    .optional_time(credential.expires_at);
                conn.execute(sql, args).await?;
                conn.record(event);
                // A feed that was opened with the one before is ended.
                conn.count_change().await?;
                Ok(true)
            })
        })
        .await
    }

    /// The credential of this id at this server; one of another server is unknown.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_resource_server_credential(
        &self,
        server: &ServerSlug,
        id: &ResourceServerId,
    ) -> Result<Option<ResourceServerCredential>, StoreError> {
        let sql = "SELECT id, server, digest, created_at, expires_at FROM resource_server_credential \
                   WHERE id = $1 AND server = $2";
        let args = Args::with_capacity(2)
            .text(id.as_str())
            .text(server.as_str());
        let row = self.fetch_optional(sql, args).await?;
        row.map(|row| {
            let row = RowReader::new(&row, "resource_server_credential");
            Ok(ResourceServerCredential {
                id: ResourceServerId::from_text(row.text(0)?),
                server: row.parse(1, |text| ServerSlug::parse(text).ok())?,
                digest: row.digest(2)?,
                created_at: row.time(3)?,
                expires_at: row.optional_time(4)?,
            })
        })
        .transpose()
    }
}
