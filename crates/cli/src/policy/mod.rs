//! `portcullis scopes`, `roles`, `groups`, `rules`, `limits` and `policy`: who may have what at an MCP server, how often, and who could
//! before.

mod command;
mod difference;
mod groups;
mod history;
mod limits;
mod preview;
mod reach;
mod replay;
mod roles;
mod rules;
mod scopes;
mod standings;
mod table;
mod through;

use anyhow::Context as _;
use base::{Clock as _, SystemClock};
use domain::{Group, McpServer, RoleHolder};

pub use self::command::PolicyCommand;
pub use self::groups::GroupsCommand;
pub use self::limits::LimitsCommand;
pub(crate) use self::reach::Reached;
pub use self::roles::RolesCommand;
pub use self::rules::RulesCommand;
pub use self::scopes::ScopesCommand;
pub(crate) use self::standings::Standings;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::people::Named;

impl Maintenance {
    /// Publishes a server's changed policy.
    async fn publish(
        &self,
        server: &McpServer,
        policy: &authz::Policy,
        detail: String,
    ) -> anyhow::Result<()> {
        oauth::policy::publish(self.store(), SystemClock.now(), server, policy, detail)
            .await
            .map(|_| ())
            .context("the policy stays as it was")
    }

    async fn group(&self, name: &str) -> anyhow::Result<Group> {
        let groups = self.store().list_groups().await?;
        let found = groups
            .into_iter()
            .find(|group| group.name == name || group.id.as_str() == name);
        found.ok_or_else(|| {
            usage(format!(
                "{name}: there is no such group; `portcullis groups list` shows them"
            ))
        })
    }

    async fn holder(
        &self,
        person: Option<&Named>,
        group: Option<&str>,
    ) -> anyhow::Result<RoleHolder> {
        match (person, group) {
            (Some(person), _) => Ok(RoleHolder::Person(self.person(person).await?.id)),
            (None, Some(group)) => Ok(RoleHolder::Group(self.group(group).await?.id)),
            (None, None) => Err(usage("name a person, or a group with --group")),
        }
    }
}

/// The role of this name, or with this id.
fn role<'a>(server: &'a McpServer, name: &str) -> anyhow::Result<&'a authz::Role> {
    let roles = &server.policy.roles;
    let found = roles
        .iter()
        .find(|role| role.name == name || role.id == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        usage(match names.is_empty() {
            true => format!(
                "{name}: {} has no roles yet; add one with `portcullis roles add`",
                server.slug
            ),
            false => format!(
                "{name}: {} has no such role; it has: {}",
                server.slug,
                names.join(", ")
            ),
        })
    })
}
