use base::{Digest, Timestamp};
use domain::{AuditEvent, LoginSession, User};

use crate::users::refuse_nul_in_user;
use crate::values::{Args, refuse_nul};
use crate::{Store, StoreError};

/// What came of using a setup link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupSpent {
    /// The owner exists and is signed in.
    Fresh,
    /// It was used before.
    Repeated,
    /// No such link, or its time is over: it expired, a newer one replaced it, or somebody was added otherwise.
    Unknown,
}

impl Store {
    /// Makes `digest` the one setup link that may still be used.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn replace_setup_token(
        &self,
        digest: Digest,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write((digest, expires_at), |conn, (digest, expires_at)| {
            Box::pin(async move {
                // Two nodes that start at once: the link of one is good.
                conn.wait_for_other_changes().await?;
                conn.execute(
                    "DELETE FROM setup_token WHERE spent_at IS NULL",
                    Args::default(),
                )
                .await?;
                let sql = "INSERT INTO setup_token (digest, expires_at) VALUES ($1, $2)";
                let args = Args::with_capacity(2).digest(digest).time(*expires_at);
                conn.execute(sql, args).await.map(|_| ())
            })
        })
        .await
    }

    /// Spends a setup link and, in the same transaction, adds the owner and signs their browser in. As soon as anybody
    /// exists, however they were added, no link is good any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn consume_setup_token(
        &self,
        digest: Digest,
        owner: &User,
        session: &LoginSession,
        event: AuditEvent,
    ) -> Result<SetupSpent, StoreError> {
        refuse_nul_in_user(owner)?;
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (digest, owner.clone(), session.clone(), event);
        self.write(data, |conn, (digest, owner, session, event)| {
            Box::pin(async move {
                // Whoever adds the first person waits too, so that only one of them is the first.
                conn.wait_for_other_changes().await?;
                let sql = "UPDATE setup_token SET spent_at = $2 \
                           WHERE digest = $1 AND spent_at IS NULL AND expires_at > $2 \
                           AND NOT EXISTS (SELECT 1 FROM app_user)";
                let args = Args::with_capacity(2).digest(digest).time(event.at);
                if conn.execute(sql, args).await? == 0 {
                    let sql =
                        "SELECT digest FROM setup_token WHERE digest = $1 AND spent_at IS NOT NULL";
                    let args = Args::with_capacity(1).digest(digest);
                    return Ok(match conn.fetch_optional(sql, args).await? {
                        Some(_) => SetupSpent::Repeated,
                        None => SetupSpent::Unknown,
                    });
                }
                if !conn.insert_user(owner).await? {
                    // An error, so that the link is not spent.
                    return Err(StoreError::Conflict("a person with this e-mail address"));
                }
                conn.insert_login_session(session).await?;
                conn.record(event);
                Ok(SetupSpent::Fresh)
            })
        })
        .await
    }

    /// Whether this setup link may still be used.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn setup_token_is_live(
        &self,
        digest: Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT digest FROM setup_token \
                   WHERE digest = $1 AND spent_at IS NULL AND expires_at > $2 \
                   AND NOT EXISTS (SELECT 1 FROM app_user)";
        let args = Args::with_capacity(2).digest(&digest).time(now);
        Ok(self.fetch_optional(sql, args).await?.is_some())
    }
}
