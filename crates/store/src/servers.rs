use authz::Policy;
use domain::{
    AuditEvent, GroupId, McpServer, OtherAddresses, PolicyOrigin, RoleHolder, ServerSlug,
};

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul, to_json};
use crate::{Store, StoreError};

/// What came of saving a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is in force, as this revision.
    Published(i64),
    /// Somebody else saved in between; this is the revision now.
    Stale(i64),
    /// No such server.
    Unknown,
}

/// All servers, with what can be read of them.
#[derive(Debug, Clone, Default)]
pub struct ServersApart {
    /// By slug.
    pub readable: Vec<McpServer>,
    /// Those whose policy cannot be read, with the reason. The policy that stands in them is empty, and never to be saved.
    pub closed: Vec<(McpServer, StoreError)>,
}

impl ServersApart {
    /// All of them, by slug, for what is not about policies.
    pub fn all(self) -> Vec<McpServer> {
        let closed = self.closed.into_iter().map(|(server, _)| server);
        let mut all: Vec<McpServer> = self.readable.into_iter().chain(closed).collect();
        all.sort_by(|one, two| one.slug.cmp(&two.slug));
        all
    }
}

/// What is written of a server, with the event that tells of it.
pub(crate) struct ServerRow {
    server: McpServer,
    upstream: String,
    settings: String,
    policy: PolicyText,
    event: AuditEvent,
}

/// The two columns of a policy.
pub(crate) struct PolicyText {
    pub(crate) plain: String,
    pub(crate) rest: Option<String>,
}

impl PolicyText {
    fn of(policy: &Policy) -> Result<Self, StoreError> {
        let (plain, rest) = policy.split();
        Ok(Self {
            plain: to_json(&plain)?,
            rest: rest.as_ref().map(to_json).transpose()?,
        })
    }

    pub(crate) fn read(
        row: &RowReader<'_>,
        plain: usize,
        rest: usize,
    ) -> Result<Policy, StoreError> {
        let parts = || Ok((row.json::<Policy>(plain)?, row.optional_json(rest)?));
        let (plain, rest) = parts().map_err(|error| match error {
            StoreError::Corrupt { id, problem, .. } => StoreError::UnreadablePolicy {
                server: id,
                problem,
            },
            other => other,
        })?;
        Ok(plain.join(rest))
    }
}

impl ServerRow {
    pub(crate) fn new(server: &McpServer, event: AuditEvent) -> Result<Self, StoreError> {
        refuse_nul(&[
            ("name", &server.name),
            ("resource", &server.resource),
            ("detail", &event.detail),
        ])?;
        Ok(Self {
            upstream: to_json(&server.upstream)?,
            settings: to_json(&server.settings)?,
            policy: PolicyText::of(&server.policy)?,
            server: server.clone(),
            event,
        })
    }
}

impl Conn {
    pub(crate) async fn insert_server(&mut self, row: &ServerRow) -> Result<(), StoreError> {
        // Whoever makes this address an alias waits too.
        self.wait_for_other_changes().await?;
        let sql = "SELECT server FROM server_alias WHERE url = $1";
        let args = Args::with_capacity(1).text(&row.server.resource);
        if self.fetch_optional(sql, args).await?.is_some() {
            return Err(StoreError::Conflict(
                "a server with this resource as an alias",
            ));
        }
        let sql = "INSERT INTO mcp_server \
                   (slug, name, resource, upstream, settings, policy, policy_revision, created_at, policy_rest) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let args = Args::with_capacity(9)
            .text(row.server.slug.as_str())
            .text(&row.server.name)
            .text(&row.server.resource)
            .text(&row.upstream)
            .text(&row.settings)
            .text(&row.policy.plain)
            .int(row.server.policy_revision)
            .time(row.server.created_at)
            .optional_text(row.policy.rest.as_deref());
        if self.execute(sql, args).await? == 0 {
            let sql = "SELECT slug FROM mcp_server WHERE slug = $1";
            let args = Args::with_capacity(1).text(row.server.slug.as_str());
            return Err(StoreError::Conflict(
                match self.fetch_optional(sql, args).await? {
                    Some(_) => "a server with this slug",
                    None => "a server with this resource",
                },
            ));
        }
        self.keep_policy_revision(
            &row.server.slug,
            row.server.policy_revision,
            &row.policy,
            PolicyOrigin::Added,
            &row.event,
        )
        .await?;
        self.record(&row.event);
        self.count_change().await
    }

    pub(crate) async fn update_server(&mut self, row: &ServerRow) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "UPDATE mcp_server SET name = $2, upstream = $3, settings = $4 \
                   WHERE slug = $1 AND removed_at IS NULL";
        let args = Args::with_capacity(4)
            .text(row.server.slug.as_str())
            .text(&row.server.name)
            .text(&row.upstream)
            .text(&row.settings);
        self.change(sql, args, &row.event).await
    }

    pub(crate) async fn remove_server(
        &mut self,
        slug: &ServerSlug,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "UPDATE mcp_server SET removed_at = $2, resource = 'removed ' || slug || ' ' || resource \
                   WHERE slug = $1 AND removed_at IS NULL";
        let args = Args::with_capacity(2).text(slug.as_str()).time(event.at);
        let removed = self.change(sql, args, event).await?;
        if removed {
            for sql in [
                "DELETE FROM server_alias WHERE server = $1",
                "DELETE FROM definition WHERE server = $1",
                "DELETE FROM policy_revision WHERE server = $1",
            ] {
                self.execute(sql, Args::with_capacity(1).text(slug.as_str()))
                    .await?;
            }
        }
        Ok(removed)
    }

    /// `policy` is the JSON of an [`authz::Policy`].
    pub(crate) async fn publish_policy(
        &mut self,
        slug: &ServerSlug,
        expected_revision: i64,
        policy: &str,
        origin: PolicyOrigin,
        event: &AuditEvent,
    ) -> Result<PublishOutcome, StoreError> {
        self.wait_for_other_changes().await?;
        let new: Policy = serde_json::from_str(policy)
            .map_err(|error| StoreError::Internal(format!("a policy is not readable: {error}")))?;
        let regrouped = self.regrouped(slug, &new).await?;
        let text = PolicyText::of(&new)?;
        self.keep_present_policy(slug).await?;
        let sql = "UPDATE mcp_server SET policy = $2, policy_rest = $4, policy_revision = policy_revision + 1 \
                   WHERE slug = $1 AND policy_revision = $3 AND removed_at IS NULL";
        let args = Args::with_capacity(4)
            .text(slug.as_str())
            .text(&text.plain)
            .int(expected_revision)
            .optional_text(text.rest.as_deref());
        if self.change(sql, args, event).await? {
            let revision = expected_revision + 1;
            self.keep_policy_revision(slug, revision, &text, origin, event)
                .await?;
            // Their members' tokens do not say that they are in them, or say it where nobody looks after it any more.
            for group in regrouped {
                self.cut_off_holder(slug, &RoleHolder::Group(group), event.at)
                    .await?;
            }
            self.take_back_roles_without(slug, &new, event).await?;
            return Ok(PublishOutcome::Published(revision));
        }
        Ok(match self.policy_revision(slug).await? {
            Some(revision) => PublishOutcome::Stale(revision),
            None => PublishOutcome::Unknown,
        })
    }

    /// The revision in force; `None` when there is no such server.
    pub(crate) async fn policy_revision(
        &mut self,
        slug: &ServerSlug,
    ) -> Result<Option<i64>, StoreError> {
        let sql =
            "SELECT slug, policy_revision FROM mcp_server WHERE slug = $1 AND removed_at IS NULL";
        let args = Args::with_capacity(1).text(slug.as_str());
        let row = self.fetch_optional(sql, args).await?;
        row.map(|row| RowReader::new(&row, "mcp_server").int(1))
            .transpose()
    }
}

impl Conn {
    /// The groups that either a new policy speaks of, or the present one.
    async fn regrouped(
        &mut self,
        slug: &ServerSlug,
        policy: &Policy,
    ) -> Result<Vec<GroupId>, StoreError> {
        let sql = "SELECT slug, policy, policy_rest FROM mcp_server WHERE slug = $1";
        let args = Args::with_capacity(1).text(slug.as_str());
        let Some(row) = self.fetch_optional(sql, args).await? else {
            return Ok(Vec::new());
        };
        let present = PolicyText::read(&RowReader::new(&row, "mcp_server"), 1, 2)?;
        let (then, now) = (present.named_groups(), policy.named_groups());
        let regrouped = then.symmetric_difference(&now);
        Ok(regrouped.copied().map(GroupId::from_text).collect())
    }

    /// Of roles that the new policy does not have nothing is left that could come back with them later.
    async fn take_back_roles_without(
        &mut self,
        slug: &ServerSlug,
        policy: &Policy,
        event: &AuditEvent,
    ) -> Result<(), StoreError> {
        let sql = "SELECT DISTINCT role FROM given_role WHERE server = $1 ORDER BY role";
        let args = Args::with_capacity(1).text(slug.as_str());
        for row in self.fetch_all(sql, args).await? {
            let row = RowReader::new(&row, "given_role");
            let role = row.text(0)?;
            if policy.role(role).is_some() {
                continue;
            }
            self.cut_off_holders_of(slug, role, event.at).await?;
            let sql = "DELETE FROM given_role WHERE server = $1 AND role = $2";
            let args = Args::with_capacity(2).text(slug.as_str()).text(role);
            self.execute(sql, args).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Adds an MCP server.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names the slug or the resource when another server has it; a slug also when a server that
    /// was removed had it.
    pub async fn insert_server(
        &self,
        server: &McpServer,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        let row = ServerRow::new(server, event)?;
        self.write(row, |conn, row| Box::pin(conn.insert_server(row)))
            .await
    }

    /// Writes a server's name, upstream and settings; false when there is no such server. Slug, resource and
    /// policy stay as they are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn update_server(
        &self,
        server: &McpServer,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        let row = ServerRow::new(server, event)?;
        self.write(row, |conn, row| Box::pin(conn.update_server(row)))
            .await
    }

    /// Removes a server; false when there is none of this slug. Its issuer, its tokens and its clients are unknown from then on,
    /// its resource may be given to another server, its slug never.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove_server(
        &self,
        slug: &ServerSlug,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((slug.clone(), event), |conn, (slug, event)| {
            Box::pin(conn.remove_server(slug, event))
        })
        .await
    }

    /// The server of this slug.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_server(&self, slug: &ServerSlug) -> Result<Option<McpServer>, StoreError> {
        let sql = "SELECT slug, name, resource, upstream, settings, policy, policy_revision, created_at, policy_rest \
                   FROM mcp_server WHERE slug = $1 AND removed_at IS NULL";
        let row = self
            .fetch_optional(sql, Args::with_capacity(1).text(slug.as_str()))
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let mut server = read(&RowReader::new(&row, "mcp_server"))?;
        let mut others = self.list_other_addresses().await?;
        server.other_addresses = others.remove(slug.as_str()).unwrap_or_default();
        Ok(Some(server))
    }

    /// Whether a server of this slug is there, or was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn slug_is_taken(&self, slug: &ServerSlug) -> Result<bool, StoreError> {
        let sql = "SELECT slug FROM mcp_server WHERE slug = $1";
        let row = self
            .fetch_optional(sql, Args::with_capacity(1).text(slug.as_str()))
            .await?;
        Ok(row.is_some())
    }

    /// All servers, by slug. Where one whose policy cannot be read must not be in the way of the others, it is
    /// [`Store::list_servers_apart`].
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub async fn list_servers(&self) -> Result<Vec<McpServer>, StoreError> {
        let listed = self.read_servers().await?;
        let whole = listed.into_iter().map(|(server, policy)| {
            Ok(McpServer {
                policy: policy?,
                ..server
            })
        });
        whole.collect()
    }

    /// All servers, by slug; apart those whose policy cannot be read, such as one that a later release wrote: one of them
    /// must not take the others with it.
    ///
    /// # Errors
    /// When the database, or anything else of a server, cannot be read.
    pub async fn list_servers_apart(&self) -> Result<ServersApart, StoreError> {
        let mut apart = ServersApart::default();
        for (server, policy) in self.read_servers().await? {
            match policy {
                Ok(policy) => apart.readable.push(McpServer { policy, ..server }),
                Err(error) => apart.closed.push((server, error)),
            }
        }
        Ok(apart)
    }

    /// Each with its policy, or why that cannot be read.
    async fn read_servers(
        &self,
    ) -> Result<Vec<(McpServer, Result<Policy, StoreError>)>, StoreError> {
        let sql = "SELECT slug, name, resource, upstream, settings, policy, policy_revision, created_at, policy_rest \
                   FROM mcp_server WHERE removed_at IS NULL ORDER BY slug";
        let rows = self.fetch_all(sql, Args::default()).await?;
        // Afterwards: a move in between must not hide an address that was kept.
        let mut others = self.list_other_addresses().await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "mcp_server");
                let mut server = read_without_policy(&row)?;
                server.other_addresses = others.remove(server.slug.as_str()).unwrap_or_default();
                Ok((server, read_policy(&row)))
            })
            .collect()
    }

    /// Saves a policy as the next revision, if `expected_revision` is still the one in force.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn publish_policy(
        &self,
        slug: &ServerSlug,
        expected_revision: i64,
        policy: &Policy,
        event: AuditEvent,
    ) -> Result<PublishOutcome, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (slug.clone(), expected_revision, to_json(policy)?, event);
        self.write(data, |conn, (slug, expected_revision, policy, event)| {
            let origin = PolicyOrigin::Change;
            Box::pin(conn.publish_policy(slug, *expected_revision, policy, origin, event))
        })
        .await
    }
}

/// Reads the columns that [`Store::list_servers`] selects; the other addresses are elsewhere.
pub(crate) fn read(row: &RowReader<'_>) -> Result<McpServer, StoreError> {
    Ok(McpServer {
        policy: read_policy(row)?,
        ..read_without_policy(row)?
    })
}

fn read_policy(row: &RowReader<'_>) -> Result<Policy, StoreError> {
    PolicyText::read(row, 5, 8)
}

fn read_without_policy(row: &RowReader<'_>) -> Result<McpServer, StoreError> {
    Ok(McpServer {
        slug: row.parse(0, |text| ServerSlug::parse(text).ok())?,
        name: row.text(1)?.to_owned(),
        resource: row.text(2)?.to_owned(),
        other_addresses: OtherAddresses::default(),
        upstream: row.json(3)?,
        settings: row.json(4)?,
        policy: Policy::default(),
        policy_revision: row.int(6)?,
        created_at: row.time(7)?,
    })
}
