use base::{Secret, Timestamp};
use domain::{AuditEvent, EmailAddress, FamilyEnd, User, UserId, UserRole};

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What came of adding a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertUser {
    /// They were added.
    Inserted,
    /// Somebody has this e-mail address, in whatever letter case.
    EmailTaken,
}

impl Conn {
    /// Adds a person; false when the e-mail address is taken.
    pub(crate) async fn insert_user(&mut self, user: &User) -> Result<bool, StoreError> {
        let sql = "INSERT INTO app_user \
                   (id, email, email_key, name, password_hash, role, created_at, disabled_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email_key) DO NOTHING";
        let args = Args::with_capacity(8)
            .text(user.id.as_str())
            .text(user.email.as_str())
            .text(&user.email.key())
            .text(&user.name)
            .optional_text(
                user.password_hash
                    .as_ref()
                    .map(|hash| hash.expose().as_str()),
            )
            .text(user.role.as_str())
            .time(user.created_at)
            .optional_time(user.disabled_at);
        Ok(self.execute(sql, args).await? == 1)
    }

    pub(crate) async fn disable_user(
        &mut self,
        user: &UserId,
        revocation_until: Timestamp,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let user_and_now = || Args::with_capacity(4).text(user.as_str()).time(event.at);
        let sql = "UPDATE app_user SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL";
        if self.execute(sql, user_and_now()).await? == 0 {
            return Ok(false);
        }
        let sql = "UPDATE login_session SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL";
        self.execute(sql, user_and_now()).await?;
        let sql = "UPDATE token_family SET ended_at = $2, end_reason = $3, revocation_until = $4, \
                   revoked_change = (SELECT counter + 1 FROM change WHERE id = 1) \
                   WHERE user_id = $1 AND ended_at IS NULL";
        let args = user_and_now()
            .text(FamilyEnd::Revoked.as_str())
            .time(revocation_until);
        self.execute(sql, args).await?;
        let sql =
            "UPDATE service_token SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL";
        self.execute(sql, user_and_now()).await?;
        self.record(event);
        self.count_change().await?;
        Ok(true)
    }

    pub(crate) async fn enable_user(
        &mut self,
        user: &UserId,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        let sql =
            "UPDATE app_user SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL";
        let args = Args::with_capacity(1).text(user.as_str());
        if self.execute(sql, args).await? == 0 {
            return Ok(false);
        }
        self.record(event);
        Ok(true)
    }
}

pub(crate) fn refuse_nul_in_user(user: &User) -> Result<(), StoreError> {
    refuse_nul(&[("name", &user.name), ("email", user.email.as_str())])
}

impl Conn {
    /// Writes what pages call a person, and what they may do; false when there is no such person.
    pub(crate) async fn update_user(
        &mut self,
        user: &UserId,
        name: &str,
        role: UserRole,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE app_user SET name = $2, role = $3 WHERE id = $1";
        let args = Args::with_capacity(3)
            .text(user.as_str())
            .text(name)
            .text(role.as_str());
        self.change(sql, args, event).await
    }
}

impl Store {
    /// Adds a person.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn insert_user(
        &self,
        user: &User,
        event: AuditEvent,
    ) -> Result<InsertUser, StoreError> {
        refuse_nul_in_user(user)?;
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((user.clone(), event), |conn, (user, event)| {
            Box::pin(async move {
                // Whether somebody is there already is decided elsewhere, such as for the first owner.
                conn.wait_for_other_changes().await?;
                if !conn.insert_user(user).await? {
                    return Ok(InsertUser::EmailTaken);
                }
                conn.record(event);
                Ok(InsertUser::Inserted)
            })
        })
        .await
    }

    /// Gives a person a new password hash and ends their login sessions; false when there is no such person.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn set_password(
        &self,
        user: &UserId,
        password_hash: Secret<String>,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[
            ("password", password_hash.expose()),
            ("detail", &event.detail),
        ])?;
        let data = (user.clone(), password_hash, event);
        self.write(data, |conn, (user, password_hash, event)| {
            Box::pin(async move {
                let sql = "UPDATE app_user SET password_hash = $2 WHERE id = $1";
                let args = Args::with_capacity(2)
                    .text(user.as_str())
                    .text(password_hash.expose());
                if conn.execute(sql, args).await? == 0 {
                    return Ok(false);
                }
                let sql = "UPDATE login_session SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL";
                let args = Args::with_capacity(2).text(user.as_str()).time(event.at);
                conn.execute(sql, args).await?;
                conn.record(event);
                Ok(true)
            })
        })
        .await
    }

    /// Gives their first password to a person who was added without one; false when there is no such person, or they
    /// have one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn give_first_password(
        &self,
        user: &UserId,
        password_hash: Secret<String>,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[
            ("password", password_hash.expose()),
            ("detail", &event.detail),
        ])?;
        let data = (user.clone(), password_hash, event);
        self.write(data, |conn, (user, password_hash, event)| {
            Box::pin(async move {
                let sql = "UPDATE app_user SET password_hash = $2 WHERE id = $1 AND password_hash IS NULL";
                let args = Args::with_capacity(2)
                    .text(user.as_str())
                    .text(password_hash.expose());
                let given = conn.execute(sql, args).await? == 1;
                if given {
                    conn.record(event);
                }
                Ok(given)
            })
        })
        .await
    }

    /// Lets a person in again who was disabled; false when they were not. What they had granted stays ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn enable_user(&self, user: &UserId, event: AuditEvent) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((user.clone(), event), |conn, (user, event)| {
            Box::pin(conn.enable_user(user, event))
        })
        .await
    }

    /// The person of this id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn find_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let sql = "SELECT id, email, name, password_hash, role, created_at, disabled_at \
                   FROM app_user WHERE id = $1";
        let row = self
            .fetch_optional(sql, Args::with_capacity(1).text(id.as_str()))
            .await?;
        row.map(|row| read(&RowReader::new(&row, "app_user"), 0))
            .transpose()
    }

    /// The person with this e-mail address, in whatever letter case.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn find_user_by_email(
        &self,
        email: &EmailAddress,
    ) -> Result<Option<User>, StoreError> {
        let sql = "SELECT id, email, name, password_hash, role, created_at, disabled_at \
                   FROM app_user WHERE email_key = $1";
        let row = self
            .fetch_optional(sql, Args::with_capacity(1).text(&email.key()))
            .await?;
        row.map(|row| read(&RowReader::new(&row, "app_user"), 0))
            .transpose()
    }

    /// The people behind `after`, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_users(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<User>, StoreError> {
        let sql = "SELECT id, email, name, password_hash, role, created_at, disabled_at \
                   FROM app_user WHERE id > $1 ORDER BY id LIMIT $2";
        let args = Args::with_capacity(2)
            .text(after.map_or("", UserId::as_str))
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "app_user"), 0))
            .collect()
    }

    /// How many people there are.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub async fn count_users(&self) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional("SELECT COUNT(*) FROM app_user", Args::default())
            .await?
            .ok_or_else(|| StoreError::Internal("a count came back empty".to_owned()))?;
        RowReader::new(&row, "app_user").int(0)
    }
}

/// Reads the columns id, email, name, password_hash, role, created_at, disabled_at from position `at`.
pub(crate) fn read(row: &RowReader<'_>, at: usize) -> Result<User, StoreError> {
    Ok(User {
        id: UserId::from_text(row.text(at)?),
        email: row.parse(at + 1, |text| EmailAddress::parse(text).ok())?,
        name: row.text(at + 2)?.to_owned(),
        password_hash: row
            .optional_text(at + 3)?
            .map(|hash| Secret::new(hash.to_owned())),
        role: row.parse(at + 4, UserRole::parse)?,
        created_at: row.time(at + 5)?,
        disabled_at: row.optional_time(at + 6)?,
    })
}
