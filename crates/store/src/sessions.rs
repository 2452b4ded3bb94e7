use base::{Digest, Timestamp};
use domain::{AuditEvent, LoginSession, SessionId, User, UserId};

use crate::conn::Conn;
use crate::users;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

impl Conn {
    /// Writes a session; false when its person was disabled or is gone.
    pub(crate) async fn insert_login_session(
        &mut self,
        session: &LoginSession,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO login_session \
                   (id, cookie_digest, user_id, authenticated_at, expires_at, ended_at) \
                   SELECT $1, $2, u.id, $4, $5, $6 FROM app_user u WHERE u.id = $3 AND u.disabled_at IS NULL";
        let args = Args::with_capacity(6)
            .text(session.id.as_str())
            .digest(&session.cookie_digest)
            .text(session.user.as_str())
            .time(session.authenticated_at)
            .time(session.expires_at)
            .optional_time(session.ended_at);
        Ok(self.execute(sql, args).await? == 1)
    }
}

impl Store {
    /// Signs a browser in; false when its person was disabled meanwhile, or is gone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_login_session(
        &self,
        session: &LoginSession,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((session.clone(), event), |conn, (session, event)| {
            Box::pin(async move {
                let inserted = conn.insert_login_session(session).await?;
                if inserted {
                    conn.record(event);
                }
                Ok(inserted)
            })
        })
        .await
    }

    /// The session of this cookie with its person, also when it is over; ask [`LoginSession::is_live`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_login_session(
        &self,
        cookie_digest: Digest,
    ) -> Result<Option<(LoginSession, User)>, StoreError> {
        let sql = "SELECT s.id, s.cookie_digest, s.user_id, s.authenticated_at, s.expires_at, s.ended_at, \
                   u.id, u.email, u.name, u.password_hash, u.role, u.created_at, u.disabled_at \
                   FROM login_session s JOIN app_user u ON u.id = s.user_id WHERE s.cookie_digest = $1";
        let row = self
            .fetch_optional(sql, Args::with_capacity(1).digest(&cookie_digest))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let row = RowReader::new(&row, "login_session");
        let session = LoginSession {
            id: SessionId::from_text(row.text(0)?),
            cookie_digest: row.digest(1)?,
            user: UserId::from_text(row.text(2)?),
            authenticated_at: row.time(3)?,
            expires_at: row.time(4)?,
            ended_at: row.optional_time(5)?,
        };
        Ok(Some((session, users::read(&row, 6)?)))
    }

    /// Signs a browser out; false when it was out already. The event is written only when it was in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_login_session(
        &self,
        session: &SessionId,
        now: Timestamp,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write(
            (session.clone(), now, event),
            |conn, (session, now, event)| {
                Box::pin(async move {
                    let sql =
                        "UPDATE login_session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
                    let args = Args::with_capacity(2).text(session.as_str()).time(*now);
                    let ended = conn.execute(sql, args).await? == 1;
                    if ended {
                        conn.record(event);
                    }
                    Ok(ended)
                })
            },
        )
        .await
    }
}
