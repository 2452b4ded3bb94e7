use std::time::Duration;

use base::Timestamp;
use domain::{AuditEvent, FamilyEnd, GrantId, UserId};
use sqlx::AnyConnection;

use crate::bulk::BulkStatement;
use crate::conn::{Conn, execute, fetch_all, fetch_optional};
use crate::values::{Args, RowReader, refuse_nul};
use crate::{PAGE_ROWS_MAX, Store, StoreError, audit, event_id};

/// What [`Store::delete_user`] writes.
#[derive(Debug, Clone)]
pub struct DeleteUser {
    /// Who.
    pub user: UserId,
    /// When their last access token has expired, so that the feed may forget them.
    pub remembered_until: Timestamp,
    /// Written only when they were there.
    pub event: AuditEvent,
}

/// What came of deleting a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserDeleted {
    /// Nothing of them is left but the opaque id.
    Deleted,
    /// They were deleted before; nothing changed.
    DeletedBefore,
    /// There never was such a person; nothing changed.
    Unknown,
    /// Nobody else is an owner who can sign in; nothing changed.
    OnlyOwner,
}

/// A person who was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedUser {
    /// Who; nobody else will have this id.
    pub id: UserId,
    /// When.
    pub deleted_at: Timestamp,
    /// Until when access tokens on their behalf may not have expired.
    pub remembered_until: Timestamp,
}

/// What is written in the transaction of a deletion, with what was found by reading before it.
struct Deletion {
    delete: DeleteUser,
    grants: Vec<GrantId>,
    events: Vec<i64>,
}

/// What a person has that nobody needs once they are gone; `$1` is their id.
const THEIRS: [&str; 7] = [
    "DELETE FROM authorization_code WHERE user_id = $1",
    "DELETE FROM login_session WHERE user_id = $1",
    "DELETE FROM client_consent WHERE user_id = $1",
    "DELETE FROM service_token WHERE user_id = $1",
    "DELETE FROM group_member WHERE user_id = $1",
    "DELETE FROM given_role WHERE holder = $1",
    "DELETE FROM subject_cut_off WHERE user_id = $1",
];

/// The same for everybody who was deleted, in a database that is older than their deletion. All that was granted in it
/// is ended by its new epoch.
const OF_DELETED: [&str; 10] = [
    "DELETE FROM authorization_code WHERE user_id IN (SELECT id FROM deleted_user)",
    "DELETE FROM login_session WHERE user_id IN (SELECT id FROM deleted_user)",
    "DELETE FROM client_consent WHERE user_id IN (SELECT id FROM deleted_user)",
    "DELETE FROM service_token WHERE user_id IN (SELECT id FROM deleted_user)",
    "DELETE FROM group_member WHERE user_id IN (SELECT id FROM deleted_user)",
    "DELETE FROM given_role WHERE holder IN (SELECT id FROM deleted_user)",
    "DELETE FROM subject_cut_off WHERE user_id IN (SELECT id FROM deleted_user)",
    "UPDATE audit_event SET detail = '' WHERE user_id IN (SELECT id FROM deleted_user) \
     AND kind IN ('user_added', 'user_disabled', 'user_enabled', 'setup_link_used', 'service_token_created', \
                  'service_token_revoked')",
    "UPDATE token_family SET expires_at = created_at WHERE user_id IN (SELECT id FROM deleted_user)",
    "DELETE FROM app_user WHERE id IN (SELECT id FROM deleted_user)",
];

/// Events whose words may say who somebody is: e-mail addresses, and names that people gave their tokens.
const FIND_WORDS: &str = "SELECT id FROM audit_event WHERE id > $1 AND user_id = $2 AND detail <> '' \
     AND kind IN ('user_added', 'user_disabled', 'user_enabled', 'setup_link_used', 'service_token_created', \
                  'service_token_revoked') \
     ORDER BY id LIMIT $3";

const FIND_GRANTS: &str = "SELECT id FROM token_family WHERE id > $1 AND user_id = $2 AND expires_at > $3 \
     ORDER BY id LIMIT $4";

/// The events stay, under the opaque id.
static BLANK: BulkStatement = BulkStatement::new(
    "UPDATE audit_event SET detail = '' FROM (VALUES",
    2,
    ") AS v WHERE audit_event.id = v.column1 AND audit_event.user_id = v.column2",
);

/// The same for what was written while the others were found.
const BLANK_LATEST: &str = "UPDATE audit_event SET detail = '' WHERE id > $1 AND user_id = $2 AND detail <> '' \
     AND kind IN ('user_added', 'user_disabled', 'user_enabled', 'setup_link_used', 'service_token_created', \
                  'service_token_revoked')";

/// How far back that may be.
const LATEST: Duration = Duration::from_secs(60);

/// A family is over at once, so that it leaves with what is purged next, and its grant stays in the feed of nodes of
/// the release before.
static END: BulkStatement = BulkStatement::new(
    "UPDATE token_family SET expires_at = v.column2, \
     revocation_until = CASE WHEN ended_at IS NULL THEN v.column3 ELSE revocation_until END, \
     revoked_change = COALESCE(revoked_change, 0), \
     end_reason = COALESCE(end_reason, v.column4), ended_at = COALESCE(ended_at, v.column2) FROM (VALUES",
    4,
    ") AS v WHERE token_family.id = v.column1",
);

impl Store {
    /// Deletes a person: their sessions, consents, codes and service tokens are gone, every grant on their behalf ends,
    /// and audit events keep the opaque id alone. All in one transaction.
    ///
    /// # Errors
    /// When it cannot be written; then nothing was.
    pub async fn delete_user(&self, delete: DeleteUser) -> Result<UserDeleted, StoreError> {
        refuse_nul(&[("detail", &delete.event.detail)])?;
        // Found by reading: both tables are long, and the one writer of SQLite is not held while they are searched.
        let deletion = Deletion {
            grants: self.grants_of(&delete.user, delete.event.at).await?,
            events: self.events_with_words_about(&delete.user).await?,
            delete,
        };
        self.write(deletion, |conn, deletion| {
            Box::pin(conn.delete_user(deletion))
        })
        .await
    }

    /// The people who were deleted while access tokens on their behalf may still live, and until when.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_deleted_subjects(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(UserId, Timestamp)>, StoreError> {
        let sql = "SELECT id, remembered_until FROM deleted_user WHERE remembered_until > $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).time(now))
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "deleted_user");
                Ok((UserId::from_text(row.text(0)?), row.time(1)?))
            })
            .collect()
    }

    /// Everybody who was ever deleted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_deleted_users(&self) -> Result<Vec<DeletedUser>, StoreError> {
        let rows = self.fetch_all(LIST, Args::default()).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "deleted_user")))
            .collect()
    }

    /// Deletes again, in a database that is older, who was deleted in the one it replaces. Says how many were there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn delete_again(
        &self,
        deleted: Vec<DeletedUser>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write((deleted, now), |conn, (deleted, now)| {
            Box::pin(async move {
                conn.count_change().await?;
                delete_again(conn.raw(), deleted, *now).await
            })
        })
        .await
    }

    async fn events_with_words_about(&self, user: &UserId) -> Result<Vec<i64>, StoreError> {
        let mut events: Vec<i64> = Vec::new();
        loop {
            let args = Args::with_capacity(3)
                .int(events.last().copied().unwrap_or_default())
                .text(user.as_str())
                .limit(PAGE_ROWS_MAX);
            let rows = self.fetch_all(FIND_WORDS, args).await?;
            for row in &rows {
                events.push(RowReader::new(row, "audit_event").int(0)?);
            }
            if rows.len() < PAGE_ROWS_MAX {
                return Ok(events);
            }
        }
    }

    async fn grants_of(&self, user: &UserId, now: Timestamp) -> Result<Vec<GrantId>, StoreError> {
        let mut grants: Vec<GrantId> = Vec::new();
        loop {
            let args = Args::with_capacity(4)
                .text(grants.last().map_or("", GrantId::as_str))
                .text(user.as_str())
                .time(now)
                .limit(PAGE_ROWS_MAX);
            let rows = self.fetch_all(FIND_GRANTS, args).await?;
            for row in &rows {
                grants.push(GrantId::from_text(
                    RowReader::new(row, "token_family").text(0)?,
                ));
            }
            if rows.len() < PAGE_ROWS_MAX {
                return Ok(grants);
            }
        }
    }
}

impl Conn {
    async fn delete_user(&mut self, deletion: &Deletion) -> Result<UserDeleted, StoreError> {
        let Deletion {
            delete,
            grants,
            events,
        } = deletion;
        let user = &delete.user;
        let now = delete.event.at;
        // First, since it makes two deletions wait for each other: two owners must not delete one another.
        self.count_change().await?;
        let refused = self.refuse_deletion(user).await?;
        if let Some(refused) = refused {
            return Ok(refused);
        }
        // Changing the key holds up who refers to this row and has not committed; they find nobody afterwards.
        let sql = "UPDATE app_user SET email_key = id WHERE id = $1";
        self.execute(sql, Args::with_capacity(1).text(user.as_str()))
            .await?;
        for sql in THEIRS {
            self.execute(sql, Args::with_capacity(1).text(user.as_str()))
                .await?;
        }
        let sql = "DELETE FROM app_user WHERE id = $1";
        self.execute(sql, Args::with_capacity(1).text(user.as_str()))
            .await?;
        for grant in grants {
            let row = Args::with_capacity(4)
                .text(grant.as_str())
                .time(now)
                .time(delete.remembered_until)
                .text(FamilyEnd::Revoked.as_str());
            self.insert_later(&END, row);
        }
        for event in events {
            let row = Args::with_capacity(2).int(*event).text(user.as_str());
            self.insert_later(&BLANK, row);
        }
        let args = Args::with_capacity(2)
            .int(event_id::first(now.before(LATEST)))
            .text(user.as_str());
        self.execute(BLANK_LATEST, args).await?;
        let deleted = DeletedUser {
            id: user.clone(),
            deleted_at: now,
            remembered_until: delete.remembered_until,
        };
        remember(self.raw(), &deleted).await?;
        self.record(&delete.event);
        Ok(UserDeleted::Deleted)
    }

    async fn refuse_deletion(&mut self, user: &UserId) -> Result<Option<UserDeleted>, StoreError> {
        let args = || Args::with_capacity(1).text(user.as_str());
        let sql = "SELECT id FROM app_user WHERE id = $1";
        if self.fetch_optional(sql, args()).await?.is_none() {
            let sql = "SELECT id FROM deleted_user WHERE id = $1";
            return Ok(Some(match self.fetch_optional(sql, args()).await? {
                Some(_) => UserDeleted::DeletedBefore,
                None => UserDeleted::Unknown,
            }));
        }
        Ok(match self.is_only_owner(user).await? {
            true => Some(UserDeleted::OnlyOwner),
            false => None,
        })
    }
}

const LIST: &str = "SELECT id, deleted_at, remembered_until FROM deleted_user ORDER BY id";

fn read(row: &RowReader<'_>) -> Result<DeletedUser, StoreError> {
    Ok(DeletedUser {
        id: UserId::from_text(row.text(0)?),
        deleted_at: row.time(1)?,
        remembered_until: row.time(2)?,
    })
}

/// Everybody who was ever deleted in the database of this connection.
pub(crate) async fn list(connection: &mut AnyConnection) -> Result<Vec<DeletedUser>, StoreError> {
    let rows = fetch_all(connection, LIST, Args::default().finish()?).await?;
    rows.iter()
        .map(|row| read(&RowReader::new(row, "deleted_user")))
        .collect()
}

/// As [`Store::delete_again`], in the transaction that the caller began.
pub(crate) async fn delete_again(
    connection: &mut AnyConnection,
    deleted: &[DeletedUser],
    now: Timestamp,
) -> Result<u64, StoreError> {
    audit::go_on_behind_the_last(connection).await?;
    for one in deleted {
        remember(connection, one).await?;
        let sql = "SELECT id FROM app_user WHERE id = $1";
        let args = Args::with_capacity(1).text(one.id.as_str());
        if fetch_optional(connection, sql, args.finish()?)
            .await?
            .is_none()
        {
            continue;
        }
        // Says where the words of their events have gone.
        let sql = "INSERT INTO audit_event (id, at, kind, user_id, detail) \
                   VALUES ($1, $2, 'user_deleted', $3, 'again, after a restore')";
        let args = Args::with_capacity(3)
            .int(event_id::next_in_order(now))
            .time(now)
            .text(one.id.as_str());
        execute(connection, sql, args.finish()?).await?;
    }
    let mut gone = 0;
    for sql in OF_DELETED {
        gone = execute(connection, sql, Args::default().finish()?).await?;
    }
    Ok(gone)
}

async fn remember(connection: &mut AnyConnection, deleted: &DeletedUser) -> Result<(), StoreError> {
    let sql = "INSERT INTO deleted_user (id, deleted_at, remembered_until) VALUES ($1, $2, $3) \
               ON CONFLICT (id) DO NOTHING";
    let args = Args::with_capacity(3)
        .text(deleted.id.as_str())
        .time(deleted.deleted_at)
        .time(deleted.remembered_until);
    execute(connection, sql, args.finish()?).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use domain::KINDS_THAT_NAME_PEOPLE;

    use super::*;

    #[test]
    fn the_words_of_each_kind_that_names_people_are_taken_out() {
        let of_deleted = OF_DELETED.iter().find(|sql| sql.contains("audit_event"));
        for sql in [of_deleted.unwrap_or(&""), FIND_WORDS, BLANK_LATEST] {
            let (_, kinds) = sql.split_once("kind IN (").unwrap_or_default();
            let named = kinds.split(')').next().unwrap_or_default();
            assert_eq!(
                named.matches('\'').count(),
                2 * KINDS_THAT_NAME_PEOPLE.len()
            );
            for kind in KINDS_THAT_NAME_PEOPLE {
                assert!(named.contains(&format!("'{}'", kind.as_str())), "{sql}");
            }
        }
    }
}
