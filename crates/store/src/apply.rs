use base::{Digest, Timestamp};
use domain::{
    AuditEvent, Client, ClientId, ClientTrust, Group, GroupId, McpServer, PolicyOrigin,
    ServerSettingsChange, ServerSlug, User, UserId, UserRole,
};

use crate::clients::{ClientRow, Registered};
use crate::conn::Conn;
use crate::servers::ServerRow;
use crate::users::refuse_nul_in_user;
use crate::values::to_json;
use crate::{
    EndClient, GivenRole, InsertGroup, Move, Moved, PublishOutcome, RemoveGroup, SettingsChanged,
    Store, StoreError,
};

/// The most changes of one [`Apply`]: other writers wait for all of them.
pub const CHANGES_MAX: usize = 2_000;

/// Several changes that are made together or not at all.
#[derive(Debug, Clone)]
pub struct Apply {
    /// What [`crate::Declared::digest`] was when the changes were made up.
    pub expected: Digest,
    /// In this order, each with its event, exactly as if it were made alone.
    pub changes: Vec<Change>,
}

/// What came of an [`Apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// All is so now.
    Done,
    /// Somebody changed something meanwhile, so nothing was done.
    Stale,
}

/// One change of an [`Apply`]. Each is the method of [`Store`] of the same name.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the method says it")]
pub enum Change {
    InsertServer(Box<McpServer>, AuditEvent),
    /// Name and upstream, with the settings that are there.
    UpdateServer(Box<McpServer>, AuditEvent),
    ChangeServerSettings(ServerSlug, ServerSettingsChange, AuditEvent),
    MoveServer(Move),
    RemoveServer(ServerSlug, AuditEvent),
    PublishPolicy {
        slug: ServerSlug,
        expected_revision: i64,
        policy: Box<authz::Policy>,
        event: AuditEvent,
    },
    InsertClient(Box<Client>, AuditEvent),
    /// What an admin may change: name, redirect URIs, authentication and service scopes.
    UpdateClient(Box<Client>, AuditEvent),
    BlockClient(EndClient),
    UnblockClient(ServerSlug, ClientId, AuditEvent),
    ForgetClient(EndClient),
    DecideClientTrust {
        decided: ClientTrust,
        revocation_until: Timestamp,
        event: AuditEvent,
    },
    ForgetClientTrust(ServerSlug, ClientId, AuditEvent),
    InsertUser(Box<User>, AuditEvent),
    /// What pages call them, and what they may do.
    UpdateUser {
        user: UserId,
        name: String,
        role: UserRole,
        event: AuditEvent,
    },
    DisableUser {
        user: UserId,
        revocation_until: Timestamp,
        event: AuditEvent,
    },
    EnableUser(UserId, AuditEvent),
    InsertGroup(Group, AuditEvent),
    RemoveGroup(GroupId, AuditEvent),
    JoinGroup(GroupId, UserId, AuditEvent),
    LeaveGroup(GroupId, UserId, AuditEvent),
    GiveRole(GivenRole, AuditEvent),
    TakeRole(GivenRole, AuditEvent),
}

impl Store {
    /// Makes changes in one transaction, if what a file holds is still what they were made up from. One that cannot be
    /// made undoes all.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names what is there already, such as a slug that was removed; nothing is written then.
    pub async fn apply(&self, apply: Apply) -> Result<Applied, StoreError> {
        if apply.changes.len() > CHANGES_MAX {
            return Err(StoreError::Internal(format!(
                "{} changes at once",
                apply.changes.len()
            )));
        }
        self.write(apply, |conn, apply| {
            Box::pin(async move {
                // Counted first: its row is the lock for which another apply, and whatever else changes what the feed
                // carries, waits on PostgreSQL. What is read behind it stays so.
                conn.count_change().await?;
                if conn.read_declared().await?.digest() != apply.expected {
                    return Ok(Applied::Stale);
                }
                for change in &apply.changes {
                    conn.make(change).await?;
                }
                Ok(Applied::Done)
            })
        })
        .await
    }
}

/// What was read and found to be so is not: on PostgreSQL by somebody whose change the feed does not carry.
const MEANWHILE: StoreError = StoreError::Conflict("a change by somebody else");

fn sure(changed: bool) -> Result<(), StoreError> {
    match changed {
        true => Ok(()),
        false => Err(MEANWHILE),
    }
}

impl Conn {
    async fn make(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::InsertServer(server, event) => {
                let row = ServerRow::new(server, event.clone())?;
                self.insert_server(&row).await
            }
            Change::UpdateServer(server, event) => {
                let row = ServerRow::new(server, event.clone())?;
                sure(self.update_server(&row).await?)
            }
            Change::ChangeServerSettings(slug, change, event) => {
                let changed = self.change_server_settings(slug, change, event).await?;
                sure(matches!(changed, SettingsChanged::Changed { .. }))
            }
            Change::MoveServer(change) => match self.move_server(change).await? {
                Moved::Moved => Ok(()),
                Moved::Taken => Err(StoreError::Conflict("a server with this resource")),
                Moved::Stale => Err(MEANWHILE),
            },
            Change::RemoveServer(slug, event) => sure(self.remove_server(slug, event).await?),
            Change::PublishPolicy {
                slug,
                expected_revision,
                policy,
                event,
            } => {
                sure(!self.lifts_a_quarantine(slug, policy).await?)?;
                let policy = to_json(policy)?;
                let published = self
                    .publish_policy(
                        slug,
                        *expected_revision,
                        &policy,
                        PolicyOrigin::Apply,
                        event,
                    )
                    .await?;
                sure(matches!(published, PublishOutcome::Published(_)))
            }
            Change::InsertClient(client, event) => {
                let row = ClientRow::new(client, None, event.clone())?;
                let registered = self.insert_client(&row).await?;
                sure(matches!(registered, Registered::Inserted))
            }
            Change::UpdateClient(client, event) => {
                let row = ClientRow::new(client, None, event.clone())?;
                sure(self.update_client(&row).await?)
            }
            Change::BlockClient(end) => sure(self.block_client(end).await?.is_some()),
            Change::UnblockClient(server, client, event) => {
                sure(self.unblock_client(server, client, event).await?)
            }
            Change::ForgetClient(end) => sure(self.forget_client(end).await?.is_some()),
            Change::DecideClientTrust {
                decided,
                revocation_until,
                event,
            } => self
                .decide_client_trust(decided, *revocation_until, event)
                .await
                .map(|_| ()),
            Change::ForgetClientTrust(server, client, event) => {
                sure(self.forget_client_trust(server, client, event).await?)
            }
            Change::InsertUser(user, event) => {
                refuse_nul_in_user(user)?;
                if !self.insert_user(user).await? {
                    return Err(StoreError::Conflict("a person with this e-mail address"));
                }
                self.record(event);
                Ok(())
            }
            Change::UpdateUser {
                user,
                name,
                role,
                event,
            } => sure(self.update_user(user, name, *role, event).await?),
            Change::DisableUser {
                user,
                revocation_until,
                event,
            } => sure(self.disable_user(user, *revocation_until, event).await?),
            Change::EnableUser(user, event) => sure(self.enable_user(user, event).await?),
            Change::InsertGroup(group, event) => match self.insert_group(group, event).await? {
                InsertGroup::Inserted => Ok(()),
                InsertGroup::NameTaken => Err(StoreError::Conflict("a group with this name or id")),
                InsertGroup::TooMany => Err(StoreError::Conflict("as many groups as there may be")),
            },
            Change::RemoveGroup(group, event) => match self.remove_group(group, event).await? {
                RemoveGroup::Removed => Ok(()),
                RemoveGroup::Unknown => Err(MEANWHILE),
                RemoveGroup::Named(_) => Err(StoreError::Conflict("a rule that names the group")),
            },
            Change::JoinGroup(group, user, event) => {
                sure(self.join_group(group, user, event).await?)
            }
            Change::LeaveGroup(group, user, event) => {
                sure(self.leave_group(group, user, event).await?)
            }
            Change::GiveRole(given, event) => sure(self.give_role(given, event).await?),
            Change::TakeRole(given, event) => sure(self.take_role(given, event).await?),
        }
    }
}
