use domain::{AuditEvent, Group, GroupId, ServerSlug, UserId};

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What came of adding a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertGroup {
    /// It was added.
    Inserted,
    /// Another one has this name.
    NameTaken,
    /// There are as many as there may be.
    TooMany,
}

/// What came of removing a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveGroup {
    /// It was removed.
    Removed,
    /// There is no such group.
    Unknown,
    /// A rule of this server names it: without the group, whom the rule denies something would be free of it.
    Named(ServerSlug),
}

/// Every group, by name.
pub(crate) const ALL: &str = "SELECT id, name, created_at FROM people_group ORDER BY name";

/// Who is in which group, by group and person.
pub(crate) const MEMBERS: &str =
    "SELECT group_id, user_id FROM group_member ORDER BY group_id, user_id";

/// The most groups of an authority.
const GROUPS_MAX: i64 = 1_000;

impl Conn {
    pub(crate) async fn insert_group(
        &mut self,
        group: &Group,
        event: &AuditEvent,
    ) -> Result<InsertGroup, StoreError> {
        let count = self.fetch_optional("SELECT COUNT(*) FROM people_group", Args::default());
        if let Some(row) = count.await?
            && RowReader::new(&row, "people_group").int(0)? >= GROUPS_MAX
        {
            return Ok(InsertGroup::TooMany);
        }
        let sql = "INSERT INTO people_group (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let args = Args::with_capacity(3)
            .text(group.id.as_str())
            .text(&group.name)
            .time(group.created_at);
        Ok(match self.change(sql, args, event).await? {
            true => InsertGroup::Inserted,
            false => InsertGroup::NameTaken,
        })
    }

    pub(crate) async fn remove_group(
        &mut self,
        group: &GroupId,
        event: &AuditEvent,
    ) -> Result<RemoveGroup, StoreError> {
        self.wait_for_other_changes().await?;
        let id = || Args::with_capacity(1).text(group.as_str());
        let sql = "SELECT slug FROM mcp_server WHERE removed_at IS NULL AND policy || COALESCE(policy_rest, '') LIKE '%' || $1 || '%' \
                   ORDER BY slug LIMIT 1";
        if let Some(row) = self.fetch_optional(sql, id()).await? {
            let row = RowReader::new(&row, "mcp_server");
            return Ok(RemoveGroup::Named(
                row.parse(0, |text| ServerSlug::parse(text).ok())?,
            ));
        }
        self.cut_off_members(group, None, event.at).await?;
        self.execute("DELETE FROM group_member WHERE group_id = $1", id())
            .await?;
        self.execute("DELETE FROM given_role WHERE holder = $1", id())
            .await?;
        let sql = "DELETE FROM people_group WHERE id = $1";
        Ok(match self.change(sql, id(), event).await? {
            true => RemoveGroup::Removed,
            false => RemoveGroup::Unknown,
        })
    }

    pub(crate) async fn join_group(
        &mut self,
        group: &GroupId,
        user: &UserId,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "INSERT INTO group_member (group_id, user_id) \
                   SELECT g.id, u.id FROM people_group g, app_user u WHERE g.id = $1 AND u.id = $2 \
                   ON CONFLICT DO NOTHING";
        let args = Args::with_capacity(2)
            .text(group.as_str())
            .text(user.as_str());
        let joined = self.change(sql, args, event).await?;
        if joined {
            self.cut_off_members(group, Some(user), event.at).await?;
        }
        Ok(joined)
    }

    pub(crate) async fn leave_group(
        &mut self,
        group: &GroupId,
        user: &UserId,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        self.cut_off_members(group, Some(user), event.at).await?;
        let sql = "DELETE FROM group_member WHERE group_id = $1 AND user_id = $2";
        let args = Args::with_capacity(2)
            .text(group.as_str())
            .text(user.as_str());
        self.change(sql, args, event).await
    }
}

impl Store {
    /// Adds a group.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_group(
        &self,
        group: &Group,
        event: AuditEvent,
    ) -> Result<InsertGroup, StoreError> {
        refuse_nul(&[("name", &group.name), ("detail", &event.detail)])?;
        self.write((group.clone(), event), |conn, (group, event)| {
            Box::pin(conn.insert_group(group, event))
        })
        .await
    }

    /// Removes a group with the roles that it was given: its members' older tokens are refused.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove_group(
        &self,
        group: &GroupId,
        event: AuditEvent,
    ) -> Result<RemoveGroup, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((group.clone(), event), |conn, (group, event)| {
            Box::pin(conn.remove_group(group, event))
        })
        .await
    }

    /// Puts a person into a group; their older tokens are refused where the group means something. False when there is no
    /// such group or person, or they are in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn join_group(
        &self,
        group: &GroupId,
        user: &UserId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (group.clone(), user.clone(), event);
        self.write(data, |conn, (group, user, event)| {
            Box::pin(conn.join_group(group, user, event))
        })
        .await
    }

    /// Takes a person out of a group, the same way; false when they are not in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn leave_group(
        &self,
        group: &GroupId,
        user: &UserId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (group.clone(), user.clone(), event);
        self.write(data, |conn, (group, user, event)| {
            Box::pin(conn.leave_group(group, user, event))
        })
        .await
    }

    /// Every group, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_groups(&self) -> Result<Vec<Group>, StoreError> {
        let rows = self.fetch_all(ALL, Args::default()).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "people_group")))
            .collect()
    }

    /// The groups that a person is in, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_groups_of(&self, user: &UserId) -> Result<Vec<Group>, StoreError> {
        let sql = "SELECT g.id, g.name, g.created_at FROM people_group g \
                   JOIN group_member m ON m.group_id = g.id WHERE m.user_id = $1 ORDER BY g.name";
        let args = Args::with_capacity(1).text(user.as_str());
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "people_group")))
            .collect()
    }

    /// Who is in which group, by group and person.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list_group_members(&self) -> Result<Vec<(GroupId, UserId)>, StoreError> {
        let rows = self.fetch_all(MEMBERS, Args::default()).await?;
        rows.iter()
            .map(|row| read_member(&RowReader::new(row, "group_member")))
            .collect()
    }
}

/// A row of [`MEMBERS`].
pub(crate) fn read_member(row: &RowReader<'_>) -> Result<(GroupId, UserId), StoreError> {
    Ok((
        GroupId::from_text(row.text(0)?),
        UserId::from_text(row.text(1)?),
    ))
}

/// A row of [`ALL`].
pub(crate) fn read(row: &RowReader<'_>) -> Result<Group, StoreError> {
    Ok(Group {
        id: GroupId::from_text(row.text(0)?),
        name: row.text(1)?.to_owned(),
        created_at: row.time(2)?,
    })
}
