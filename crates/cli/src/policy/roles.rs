use std::collections::BTreeMap;

use authz::{Role, RoleScopes};
use base::{Clock as _, OsRandom, SystemClock, random_token};
use clap::Subcommand;
use domain::{McpServer, RoleHolder, ServerSlug};
use serde_json::json;
use store::GivenRole;
use wire::oauth::{Scope, ScopeSet};

use super::role;
use crate::failure::usage;
use crate::maintenance::{Maintenance, PAGE, table};
use crate::people::Named;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum RolesCommand {
    /// List a server's roles, and who has them
    List {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a role. With the first one, people may have only what their roles permit
    Add {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// What it is called
        name: String,
        #[command(flatten)]
        scopes: RoleScopesArguments,
        /// What people read
        #[arg(long, value_name = "TEXT", default_value = "")]
        title: String,
        /// Whoever was given no role has this one
        #[arg(long)]
        default: bool,
    },
    /// Change a role
    Set {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// The role
        name: String,
        #[command(flatten)]
        scopes: RoleScopesArguments,
        /// What people read
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// Whoever was given no role has this one
        #[arg(long)]
        default: bool,
        /// Whoever was given no role has none any more
        #[arg(long, conflicts_with = "default")]
        no_default: bool,
    },
    /// Remove a role, also from everybody who has it
    Remove {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// The role
        name: String,
    },
    /// Give a person or a group a role; within a second their clients fetch new tokens, without a sign-in
    Give(HolderArguments),
    /// Take a role back, the same way
    Take(HolderArguments),
}

/// What a role permits.
#[derive(Debug, clap::Args)]
pub struct RoleScopesArguments {
    /// A scope that it permits, with all that this implies; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = Scope::parse)]
    scopes: Vec<Scope>,
    /// It permits every scope, later ones included
    #[arg(long, conflicts_with = "scopes")]
    all_scopes: bool,
}

/// Who is given a role.
#[derive(Debug, clap::Args)]
pub struct HolderArguments {
    /// The MCP server
    #[arg(value_parser = ServerSlug::parse)]
    server: ServerSlug,
    /// The role
    name: String,
    /// A person: e-mail address or usr_… id
    #[arg(value_name = "PERSON", value_parser = Named::parse, required_unless_present = "group")]
    person: Option<Named>,
    /// A group
    #[arg(long, value_name = "GROUP", conflicts_with = "person")]
    group: Option<String>,
}

impl RoleScopesArguments {
    fn said(&self) -> Option<RoleScopes> {
        match (self.all_scopes, self.scopes.is_empty()) {
            (true, _) => Some(RoleScopes::All),
            (false, true) => None,
            (false, false) => Some(RoleScopes::Only(self.scopes.iter().cloned().collect())),
        }
    }
}

impl Maintenance {
    /// Runs `portcullis roles`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn roles(&self, command: RolesCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            RolesCommand::List { server, json } => {
                let server = self.server(Some(&server), "SERVER").await?;
                self.list_roles(&server, json, out).await
            }
            RolesCommand::Add {
                server,
                name,
                scopes,
                title,
                default,
            } => {
                let server = self.server(Some(&server), "SERVER").await?;
                let mut policy = server.policy.clone();
                let role = Role {
                    id: random_token(&OsRandom, "rol_"),
                    name,
                    title,
                    scopes: scopes
                        .said()
                        .unwrap_or_else(|| RoleScopes::Only(ScopeSet::new())),
                };
                if default {
                    policy.default_role = Some(role.id.clone());
                }
                let added = format!("role {} added", role.name);
                policy.roles.push(role);
                self.publish(&server, &policy, added.clone()).await?;
                out.line(added);
                if policy.default_role.is_none() {
                    out.line(format!(
                        "whoever was given no role may have nothing at {0}: give roles, or `portcullis roles set {0} ROLE --default`",
                        server.slug
                    ));
                }
                Ok(())
            }
            RolesCommand::Set {
                server,
                name,
                scopes,
                title,
                default,
                no_default,
            } => {
                let server = self.server(Some(&server), "SERVER").await?;
                let id = role(&server, &name)?.id.clone();
                let mut policy = server.policy.clone();
                if let Some(role) = policy.roles.iter_mut().find(|role| role.id == id) {
                    role.scopes = scopes.said().unwrap_or_else(|| role.scopes.clone());
                    role.title = title.unwrap_or_else(|| role.title.clone());
                }
                if default {
                    policy.default_role = Some(id.clone());
                } else if no_default && policy.default_role.as_ref() == Some(&id) {
                    policy.default_role = None;
                }
                self.publish(&server, &policy, format!("role {name} changed"))
                    .await?;
                out.line(format!("role {name} changed"));
                Ok(())
            }
            RolesCommand::Remove { server, name } => {
                let server = self.server(Some(&server), "SERVER").await?;
                self.remove_role(&server, &name, out).await
            }
            RolesCommand::Give(arguments) => self.hand_role(&arguments, true, out).await,
            RolesCommand::Take(arguments) => self.hand_role(&arguments, false, out).await,
        }
    }

    async fn remove_role(
        &self,
        server: &McpServer,
        name: &str,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let role = role(server, name)?;
        let mut policy = server.policy.clone();
        policy.roles.retain(|other| other.id != role.id);
        if policy.default_role.as_ref() == Some(&role.id) {
            policy.default_role = None;
        }
        if policy.roles.is_empty() {
            return Err(usage(format!(
                "{name} is the last role of {0}, and without roles everybody may have everything: \
                 let it permit everything instead (`portcullis roles set {0} {name} --all-scopes --default`)",
                server.slug
            )));
        }
        let removed = format!("role {} removed", role.name);
        self.publish(server, &policy, removed.clone()).await?;
        out.line(removed);
        Ok(())
    }

    async fn hand_role(
        &self,
        arguments: &HolderArguments,
        give: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(&arguments.server), "SERVER").await?;
        let role = role(&server, &arguments.name)?;
        let given = GivenRole {
            server: server.slug.clone(),
            role: role.id.clone(),
            holder: self
                .holder(arguments.person.as_ref(), arguments.group.as_deref())
                .await?,
        };
        let whom = match (&arguments.person, &arguments.group) {
            (Some(person), _) => person.to_string(),
            (None, group) => format!("group {}", group.as_deref().unwrap_or_default()),
        };
        let now = SystemClock.now();
        let name = &role.name;
        let changed = match give {
            true => oauth::roles::give(self.store(), now, given, name).await?,
            false => oauth::roles::take(self.store(), now, given, name).await?,
        };
        out.line(match (give, changed) {
            (true, true) => format!("{whom} has the role {name} at {}", server.slug),
            (true, false) => format!("{whom} had the role {name} before"),
            (false, true) => format!("{whom} has the role {name} no more at {}", server.slug),
            (false, false) => format!("{whom} did not have the role {name}"),
        });
        Ok(())
    }

    async fn list_roles(
        &self,
        server: &McpServer,
        json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let policy = &server.policy;
        let given = self
            .store()
            .list_given_roles(Some(&server.slug), None)
            .await?;
        let names = self.names_of_holders().await?;
        let holders = |role: &Role| -> Vec<String> {
            given
                .iter()
                .filter(|given| given.role == role.id)
                .map(|given| {
                    let id = given.holder.as_str();
                    names.get(id).cloned().unwrap_or_else(|| id.to_owned())
                })
                .collect()
        };
        let is_default = |role: &Role| policy.default_role.as_ref() == Some(&role.id);
        if json {
            let roles: Vec<_> = policy
                .roles
                .iter()
                .map(|role| {
                    json!({
                        "id": role.id,
                        "name": role.name,
                        "title": role.title,
                        "scopes": role.scopes,
                        "default": is_default(role),
                        "given_to": given.iter().filter(|given| given.role == role.id)
                            .map(|given| given.holder.as_str()).collect::<Vec<_>>(),
                    })
                })
                .collect();
            out.line(serde_json::to_string_pretty(&roles)?);
            return Ok(());
        }
        if policy.roles.is_empty() {
            out.line(format!(
                "{} has no roles: everybody who may sign in may have every scope",
                server.slug
            ));
            return Ok(());
        }
        let mut table = table(out, &["ROLE", "SCOPES", "GIVEN TO"]);
        for role in &policy.roles {
            let mut holders = holders(role);
            if is_default(role) {
                holders.push("whoever was given no role".to_owned());
            }
            table.add_row([
                role.name.clone(),
                match &role.scopes {
                    RoleScopes::All => "every scope".to_owned(),
                    RoleScopes::Only(scopes) => scopes.to_string(),
                },
                holders.join(", "),
            ]);
        }
        out.line(table.trim_fmt());
        Ok(())
    }

    /// E-mail addresses of people and names of groups, by id.
    pub(super) async fn names_of_holders(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let groups = self.store().list_groups().await?.into_iter();
        let mut names: BTreeMap<String, String> = groups
            .map(|group| {
                let id = RoleHolder::Group(group.id);
                (id.as_str().to_owned(), format!("group {}", group.name))
            })
            .collect();
        let mut after = None;
        loop {
            let page = self.store().list_users(after.as_ref(), PAGE).await?;
            after = page.last().map(|user| user.id.clone());
            let whole = page.len() == PAGE;
            names.extend(
                page.into_iter()
                    .map(|user| (user.id.to_string(), user.email.to_string())),
            );
            if !whole {
                return Ok(names);
            }
        }
    }
}
