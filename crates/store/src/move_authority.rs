use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, FormerOrigin, ServerSlug};

use crate::conn::Conn;
use crate::move_server::{ACCESS_TOKEN_LIFE_MAX, Move, Moved};
use crate::values::{Args, refuse_nul};
use crate::{Store, StoreError};

const PUBLIC_URL: &str = "public_url";
const FORMER_ORIGINS: &str = "former_origins";

/// Another origin for the authority.
#[derive(Debug, Clone)]
pub struct MoveAuthority {
    /// What it is now.
    pub from: String,
    /// What it becomes.
    pub to: String,
    /// Until when the old one is answered too.
    pub keep_until: Timestamp,
    /// The MCP servers that are at the old origin, each with its resource now and then.
    pub servers: Vec<(ServerSlug, String, String)>,
    /// The moment of it.
    pub at: Timestamp,
}

impl Store {
    /// Moves the authority with every MCP server that is named, all of it or nothing: the public URL, the old origin
    /// among the former ones, and each server as [`Store::move_server`] does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn move_authority(&self, change: MoveAuthority) -> Result<Moved, StoreError> {
        refuse_nul(&[("public_url", &change.to)])?;
        self.write(change, |conn, change| {
            Box::pin(async move {
                // What is found to fit has to fit when it is written.
                conn.wait_for_other_changes().await?;
                let now = change.at;
                let public_url = conn.find_setting(PUBLIC_URL).await?;
                if public_url.is_some_and(|known| known != change.from) {
                    return Ok(Moved::Stale);
                }
                // Nothing is written before everything is known to fit.
                for (slug, from, to) in &change.servers {
                    if conn.is_taken(slug, to).await? {
                        return Ok(Moved::Taken);
                    }
                    if !is_at(conn, slug, from).await? {
                        return Ok(Moved::Stale);
                    }
                }
                conn.put_setting(PUBLIC_URL, &change.to).await?;
                let mut former = former_origins(conn.find_setting(FORMER_ORIGINS).await?)?;
                // It may go back to where it was.
                former.retain(|known| {
                    known.origin != change.from
                        && known.origin != change.to
                        && (known.is_kept(now) || now < known.accepted_until)
                });
                former.push(FormerOrigin {
                    origin: change.from.clone(),
                    accepted_until: now.after(ACCESS_TOKEN_LIFE_MAX),
                    kept_until: change.keep_until,
                });
                let text = serde_json::to_string(&former)
                    .map_err(|error| StoreError::Internal(error.to_string()))?;
                conn.put_setting(FORMER_ORIGINS, &text).await?;
                conn.record(&event(change, None));
                conn.count_change().await?;
                for (slug, from, to) in &change.servers {
                    let moved = conn
                        .move_server(&Move {
                            slug: slug.clone(),
                            from: from.clone(),
                            to: to.clone(),
                            keep_until: Some(change.keep_until),
                            event: event(change, Some((slug, from, to))),
                        })
                        .await?;
                    if moved != Moved::Moved {
                        return Err(StoreError::Internal(format!(
                            "{slug} changed while it was moved"
                        )));
                    }
                }
                Ok(Moved::Moved)
            })
        })
        .await
    }

    /// The origins that the authority had before it moved.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn former_origins(&self) -> Result<Vec<FormerOrigin>, StoreError> {
        former_origins(self.find_setting(FORMER_ORIGINS).await?)
    }
}

fn event(change: &MoveAuthority, server: Option<(&ServerSlug, &String, &String)>) -> AuditEvent {
    let (kind, detail) = match server {
        None => (
            AuditEventKind::AuthorityMoved,
            format!("{} to {}", change.from, change.to),
        ),
        Some((_, from, to)) => (AuditEventKind::ServerMoved, format!("{from} to {to}")),
    };
    AuditEvent {
        at: change.at,
        kind,
        server: server.map(|(slug, _, _)| slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail,
    }
}

fn former_origins(text: Option<String>) -> Result<Vec<FormerOrigin>, StoreError> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
        table: "setting",
        id: FORMER_ORIGINS.to_owned(),
        problem: error.to_string(),
    })
}

async fn is_at(conn: &mut Conn, slug: &ServerSlug, resource: &str) -> Result<bool, StoreError> {
    let sql =
        "SELECT slug FROM mcp_server WHERE slug = $1 AND resource = $2 AND removed_at IS NULL";
    let args = Args::with_capacity(2).text(slug.as_str()).text(resource);
    Ok(conn.fetch_optional(sql, args).await?.is_some())
}
