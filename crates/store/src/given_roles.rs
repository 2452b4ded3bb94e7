use domain::{AuditEvent, RoleHolder, ServerSlug, UserId};

use crate::conn::Conn;
use crate::servers::PolicyText;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What a person was given at one server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PersonStanding {
    /// The ids of their roles, directly or through a group; also of some that the policy has no more.
    pub roles: Vec<String>,
    /// The ids of their groups.
    pub groups: Vec<String>,
    /// Which of their standings this is; 0 for the first. A token that is minted of it says so.
    pub revision: i64,
    /// The revision of the server's policy at the same moment; 0 when there is no such server.
    pub policy_revision: i64,
}

/// A role that somebody was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenRole {
    /// At this server.
    pub server: ServerSlug,
    /// Its id in the server's policy.
    pub role: String,
    /// Who has it.
    pub holder: RoleHolder,
}

impl Conn {
    pub(crate) async fn give_role(
        &mut self,
        given: &GivenRole,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let there = match &given.holder {
            RoleHolder::Person(_) => "SELECT 1 FROM app_user WHERE id = $1",
            RoleHolder::Group(_) => "SELECT 1 FROM people_group WHERE id = $1",
        };
        let holder = Args::with_capacity(1).text(given.holder.as_str());
        if self.fetch_optional(there, holder).await?.is_none() {
            return Ok(false);
        }
        let sql = "INSERT INTO given_role (server, holder, role) \
                   SELECT slug, $2, $3 FROM mcp_server WHERE slug = $1 AND removed_at IS NULL ON CONFLICT DO NOTHING";
        if !self.has_role(&given.server, &given.role).await? {
            return Ok(false);
        }
        self.change_given(sql, given, event).await
    }

    pub(crate) async fn take_role(
        &mut self,
        given: &GivenRole,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "DELETE FROM given_role WHERE server = $1 AND holder = $2 AND role = $3";
        self.change_given(sql, given, event).await
    }

    /// What a policy does not have cannot be given: it would come to life with a later policy.
    async fn has_role(&mut self, server: &ServerSlug, role: &str) -> Result<bool, StoreError> {
        let sql = "SELECT slug, policy, policy_rest FROM mcp_server WHERE slug = $1 AND removed_at IS NULL";
        let args = Args::with_capacity(1).text(server.as_str());
        let Some(row) = self.fetch_optional(sql, args).await? else {
            return Ok(false);
        };
        let policy = PolicyText::read(&RowReader::new(&row, "mcp_server"), 1, 2)?;
        Ok(policy.role(role).is_some())
    }

    async fn change_given(
        &mut self,
        sql: &'static str,
        given: &GivenRole,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        let args = Args::with_capacity(3)
            .text(given.server.as_str())
            .text(given.holder.as_str())
            .text(&given.role);
        let changed = self.change(sql, args, event).await?;
        if changed {
            self.cut_off_holder(&given.server, &given.holder, event.at)
                .await?;
        }
        Ok(changed)
    }
}

impl Store {
    /// Gives a person or a group a role; older tokens of those whom it concerns are refused. False when there is no such
    /// server, role, person or group, or they have it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn give_role(&self, given: GivenRole, event: AuditEvent) -> Result<bool, StoreError> {
        refuse_nul(&[("role", &given.role), ("detail", &event.detail)])?;
        self.write((given, event), |conn, (given, event)| {
            Box::pin(conn.give_role(given, event))
        })
        .await
    }

    /// Takes it back, the same way; false when they do not have it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn take_role(&self, given: GivenRole, event: AuditEvent) -> Result<bool, StoreError> {
        refuse_nul(&[("role", &given.role), ("detail", &event.detail)])?;
        self.write((given, event), |conn, (given, event)| {
            Box::pin(conn.take_role(given, event))
        })
        .await
    }

    /// The roles that were given, by server, holder and role: at one server, or to one person directly.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_given_roles(
        &self,
        server: Option<&ServerSlug>,
        holder: Option<&UserId>,
    ) -> Result<Vec<GivenRole>, StoreError> {
        let sql = "SELECT server, holder, role FROM given_role \
                   WHERE ($1 = '' OR server = $1) AND ($2 = '' OR holder = $2) ORDER BY server, holder, role";
        let args = Args::with_capacity(2)
            .text(server.map_or("", ServerSlug::as_str))
            .text(holder.map_or("", UserId::as_str));
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "given_role")))
            .collect()
    }

    /// What a person was given at a server, as it is at one moment.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn standing_of(
        &self,
        server: &ServerSlug,
        user: &str,
    ) -> Result<PersonStanding, StoreError> {
        let sql = "SELECT 'role', role, 0 FROM given_role WHERE server = $1 AND (holder = $2 \
                   OR holder IN (SELECT group_id FROM group_member WHERE user_id = $2)) \
                   UNION SELECT 'group', group_id, 0 FROM group_member WHERE user_id = $2 \
                   UNION SELECT 'standing', '', standing FROM subject_cut_off WHERE server = $1 AND user_id = $2 \
                   UNION SELECT 'policy', '', policy_revision FROM mcp_server WHERE slug = $1 \
                   ORDER BY 1, 2";
        let args = Args::with_capacity(2).text(server.as_str()).text(user);
        let mut standing = PersonStanding::default();
        for row in self.fetch_all(sql, args).await? {
            let row = RowReader::new(&row, "given_role");
            match row.text(0)? {
                "role" => standing.roles.push(row.text(1)?.to_owned()),
                "group" => standing.groups.push(row.text(1)?.to_owned()),
                "policy" => standing.policy_revision = row.int(2)?,
                _ => standing.revision = row.int(2)?,
            }
        }
        Ok(standing)
    }
}

/// A row of server, holder and role.
pub(crate) fn read(row: &RowReader<'_>) -> Result<GivenRole, StoreError> {
    Ok(GivenRole {
        server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
        holder: RoleHolder::from_text(row.text(1)?),
        role: row.text(2)?.to_owned(),
    })
}
