//! A slug that no MCP server has: what belongs to the authority itself hangs on it.

use base::Timestamp;
use domain::ServerSlug;

use crate::conn::Conn;
use crate::values::{Args, RowReader};
use crate::{Store, StoreError};

/// The end of the year 9999. As one that is removed then, the row is on no list, of no release, and nothing that hangs on it
/// is ever purged with it.
const NEVER: Timestamp = Timestamp::from_unix_ms(253_402_300_799_000);

const HOLDER: &str = "SELECT slug, removed_at FROM mcp_server WHERE slug = $1";

impl Conn {
    async fn reserve_slug(&mut self, slug: &ServerSlug, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO mcp_server \
                   (slug, name, resource, upstream, settings, policy, policy_revision, created_at, removed_at) \
                   VALUES ($1, '', 'reserved ' || $1, $2, '{}', $3, 0, $4, $5) ON CONFLICT DO NOTHING";
        let args = Args::with_capacity(5)
            .text(slug.as_str())
            .text(r#"{"kind":"todo"}"#)
            .text(&crate::values::to_json(&authz::Policy::default())?)
            .time(now)
            .time(NEVER);
        self.execute(sql, args).await.map(drop)
    }
}

impl Store {
    /// Keeps `slug` from ever being an MCP server's, with a row that clients can be registered with. False when it is one's
    /// already.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn reserve_slug(
        &self,
        slug: &ServerSlug,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if let Some(is_ours) = self.holds_reserved(slug).await? {
            return Ok(is_ours);
        }
        self.write((slug.clone(), now), |conn, (slug, now)| {
            Box::pin(conn.reserve_slug(slug, *now))
        })
        .await?;
        Ok(self.holds_reserved(slug).await?.unwrap_or(false))
    }

    /// Whether the row of this slug is a reserved one; nothing when there is none.
    async fn holds_reserved(&self, slug: &ServerSlug) -> Result<Option<bool>, StoreError> {
        let args = Args::with_capacity(1).text(slug.as_str());
        let row = self.fetch_optional(HOLDER, args).await?;
        row.map(|row| Ok(RowReader::new(&row, "mcp_server").optional_time(1)? == Some(NEVER)))
            .transpose()
    }
}
