use std::time::Duration;

use base::Timestamp;
use domain::{AuditEvent, ServerSlug};
use wire::oauth::Scope;

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// The longest life that an access token can be given.
pub(crate) const ACCESS_TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Another resource for a server.
#[derive(Debug, Clone)]
pub struct Move {
    /// Which.
    pub slug: ServerSlug,
    /// What its resource is now: a move by somebody else in between is not undone.
    pub from: String,
    /// What it becomes.
    pub to: String,
    /// Until when the old one stays as an alias; not at all when that is over.
    pub keep_until: Option<Timestamp>,
    /// What is recorded, with the moment of it.
    pub event: AuditEvent,
}

/// What came of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is there now.
    Moved,
    /// Another server is at the new resource, or has it as an alias.
    Taken,
    /// The server is gone, or has moved in between.
    Stale,
}

/// What hangs on the address of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dependents {
    /// Clients that have a row of their own.
    pub clients: i64,
    /// Sign-ins that last: token families that have not ended.
    pub sign_ins: i64,
    /// People who hold one of them.
    pub people: i64,
    /// Service tokens.
    pub service_tokens: i64,
}

impl Conn {
    pub(crate) async fn move_server(&mut self, change: &Move) -> Result<Moved, StoreError> {
        let (slug, now) = (change.slug.as_str(), change.event.at);
        self.wait_for_other_changes().await?;
        if self.is_taken(&change.slug, &change.to).await? {
            return Ok(Moved::Taken);
        }
        let sql = "UPDATE mcp_server SET resource = $3 \
                   WHERE slug = $1 AND resource = $2 AND removed_at IS NULL";
        let args = Args::with_capacity(3)
            .text(slug)
            .text(&change.from)
            .text(&change.to);
        if !self.change(sql, args, &change.event).await? {
            return Ok(Moved::Stale);
        }
        // It may go back to where it was.
        let sql = "DELETE FROM server_alias WHERE url = $1";
        self.execute(sql, Args::with_capacity(1).text(&change.to))
            .await?;
        if let Some(until) = change.keep_until.filter(|until| *until > now) {
            let sql = "INSERT INTO server_alias (url, server, created_at, ends_at, proven_at, next_check_at) \
                       VALUES ($1, $2, $3, $4, $3, 0)";
            let args = Args::with_capacity(4)
                .text(&change.from)
                .text(slug)
                .time(now)
                .time(until);
            self.execute(sql, args).await?;
        }
        let sql = "INSERT INTO former_resource (server, resource, accepted_until) VALUES ($1, $2, $3) \
                   ON CONFLICT (server, resource) DO UPDATE SET accepted_until = excluded.accepted_until";
        let args = Args::with_capacity(3)
            .text(slug)
            .text(&change.from)
            .time(now.after(ACCESS_TOKEN_LIFE_MAX));
        self.execute(sql, args).await?;
        Ok(Moved::Moved)
    }

    /// Whether another server than `slug` is at `resource`, or has it as an alias.
    pub(crate) async fn is_taken(
        &mut self,
        slug: &ServerSlug,
        resource: &str,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT slug FROM mcp_server WHERE resource = $1 AND slug <> $2 \
                   UNION SELECT server FROM server_alias WHERE url = $1 AND server <> $2";
        let args = Args::with_capacity(2).text(resource).text(slug.as_str());
        Ok(self.fetch_optional(sql, args).await?.is_some())
    }
}

impl Store {
    /// Moves a server, all of it or nothing: its resource, the old one as an alias that counts as proven, and as an
    /// audience of tokens that were issued before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn move_server(&self, change: Move) -> Result<Moved, StoreError> {
        refuse_nul(&[("resource", &change.to), ("detail", &change.event.detail)])?;
        self.write(change, |conn, change| Box::pin(conn.move_server(change)))
            .await
    }

    /// How many people hold this scope of `server` at `now`, in sign-ins that last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn count_holders(
        &self,
        server: &ServerSlug,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        // Both databases replace text alike, and nothing in it is a pattern.
        let sql = "SELECT COUNT(DISTINCT user_id) FROM token_family \
                   WHERE server = $1 AND ended_at IS NULL AND expires_at > $2 \
                   AND replace(' ' || scopes || ' ', $3, '') <> ' ' || scopes || ' '";
        let args = Args::with_capacity(3)
            .text(server.as_str())
            .time(now)
            .text(&format!(" {scope} "));
        match self.fetch_optional(sql, args).await? {
            Some(row) => RowReader::new(&row, "token_family").int(0),
            None => Ok(0),
        }
    }

    /// What hangs on the address of `server` at `now`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn count_dependents(
        &self,
        server: &ServerSlug,
        now: Timestamp,
    ) -> Result<Dependents, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM client WHERE server = $1 AND disabled_at IS NULL), \
                   (SELECT COUNT(*) FROM token_family WHERE server = $1 AND ended_at IS NULL AND expires_at > $2), \
                   (SELECT COUNT(DISTINCT user_id) FROM token_family \
                    WHERE server = $1 AND ended_at IS NULL AND expires_at > $2), \
                   (SELECT COUNT(*) FROM service_token WHERE server = $1 AND expires_at > $2 AND revoked_at IS NULL)";
        let args = Args::with_capacity(2).text(server.as_str()).time(now);
        let row = self.fetch_optional(sql, args).await?;
        let Some(row) = row else {
            return Ok(Dependents::default());
        };
        let row = RowReader::new(&row, "mcp_server");
        Ok(Dependents {
            clients: row.int(0)?,
            sign_ins: row.int(1)?,
            people: row.int(2)?,
            service_tokens: row.int(3)?,
        })
    }
}
