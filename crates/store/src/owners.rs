//! Somebody can open the dashboard: the first person is an owner, and the last owner who can sign in stays one.

use base::Timestamp;
use domain::{AuditEvent, User, UserId, UserRole};

use crate::conn::Conn;
use crate::users::refuse_nul_in_user;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What came of disabling a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserDisabled {
    /// Their login sessions have ended, and every grant on their behalf.
    Disabled,
    /// They were disabled before, or never there; nothing changed.
    Unchanged,
    /// Nobody else is an owner who can sign in; nothing changed.
    OnlyOwner,
}

impl Store {
    /// Adds a person, as an owner when nobody is there yet; gives them as they were written, or `None` when the e-mail
    /// address is taken. The event gets the role for its detail.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn insert_user_or_first_owner(
        &self,
        user: User,
        event: AuditEvent,
    ) -> Result<Option<User>, StoreError> {
        refuse_nul_in_user(&user)?;
        self.write((user, event), |conn, (user, event)| {
            Box::pin(async move {
                conn.wait_for_other_changes().await?;
                let mut user = user.clone();
                let sql = "SELECT id FROM app_user LIMIT 1";
                if conn.fetch_optional(sql, Args::default()).await?.is_none() {
                    user.role = UserRole::Owner;
                }
                if !conn.insert_user(&user).await? {
                    return Ok(None);
                }
                conn.record(&AuditEvent {
                    detail: format!("as {}", user.role.as_str()),
                    ..event.clone()
                });
                Ok(Some(user))
            })
        })
        .await
    }

    /// Disables a person, unless nobody would be left to open the dashboard: their login sessions end, and every grant
    /// on their behalf, service tokens included.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn disable_user(
        &self,
        user: &UserId,
        revocation_until: Timestamp,
        event: AuditEvent,
    ) -> Result<UserDisabled, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (user.clone(), revocation_until, event);
        self.write(data, |conn, (user, revocation_until, event)| {
            Box::pin(async move {
                // First: two owners must not disable one another.
                conn.wait_for_other_changes().await?;
                if conn.is_only_owner(user).await? {
                    return Ok(UserDisabled::OnlyOwner);
                }
                let disabled = conn.disable_user(user, *revocation_until, event).await?;
                Ok(match disabled {
                    true => UserDisabled::Disabled,
                    false => UserDisabled::Unchanged,
                })
            })
        })
        .await
    }
}

impl Conn {
    /// Whether this person is an owner, and nobody else is one who can sign in. It stays so for the rest of a transaction
    /// that began by waiting for other changes, or by counting one.
    pub(crate) async fn is_only_owner(&mut self, user: &UserId) -> Result<bool, StoreError> {
        let owner = UserRole::Owner.as_str();
        let sql = "SELECT role FROM app_user WHERE id = $1";
        let args = Args::with_capacity(1).text(user.as_str());
        match self.fetch_optional(sql, args).await? {
            Some(row) if RowReader::new(&row, "app_user").text(0)? == owner => {}
            _ => return Ok(false),
        }
        // Whoever came from a file has no password until somebody gives them one.
        let sql = "SELECT id FROM app_user WHERE id <> $1 AND role = $2 AND disabled_at IS NULL \
                   AND password_hash IS NOT NULL LIMIT 1";
        let args = Args::with_capacity(2).text(user.as_str()).text(owner);
        Ok(self.fetch_optional(sql, args).await?.is_none())
    }
}
