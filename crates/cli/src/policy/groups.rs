use base::{Clock as _, OsRandom, SystemClock};
use clap::Subcommand;
use domain::Group;
use serde_json::json;
use store::{InsertGroup, RemoveGroup};

use crate::failure::usage;
use crate::maintenance::{Maintenance, table};
use crate::people::Named;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// List the groups and who is in them
    List {
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add a group
    Add {
        /// What it is called
        name: String,
    },
    /// Remove a group, with the roles that it was given
    Remove {
        /// The group
        name: String,
    },
    /// Put a person into a group; within a second their clients fetch new tokens, without a sign-in
    Join {
        /// The group
        name: String,
        /// Their e-mail address or usr_… id
        #[arg(value_name = "PERSON", value_parser = Named::parse)]
        person: Named,
    },
    /// Take a person out of a group, the same way
    Leave {
        /// The group
        name: String,
        /// Their e-mail address or usr_… id
        #[arg(value_name = "PERSON", value_parser = Named::parse)]
        person: Named,
    },
}

impl Maintenance {
    /// Runs `portcullis groups`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn groups(&self, command: GroupsCommand, out: &Terminal) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let store = self.store();
        match command {
            GroupsCommand::List { json } => self.list_groups(json, out).await,
            GroupsCommand::Add { name } => {
                if !Group::is_name(&name) {
                    return Err(usage(format!(
                        "{name:?}: a group's name is 1 to 40 of a-z, 0-9, - and _, beginning with a letter"
                    )));
                }
                let (group, inserted) =
                    oauth::roles::add_group(store, now, &OsRandom, &name).await?;
                match inserted {
                    InsertGroup::Inserted => {
                        out.line(format!("{}  {}", group.id, group.name));
                        Ok(())
                    }
                    InsertGroup::NameTaken => {
                        Err(usage(format!("there is a group {name} already")))
                    }
                    InsertGroup::TooMany => {
                        Err(usage("there are 1000 groups already; remove one first"))
                    }
                }
            }
            GroupsCommand::Remove { name } => {
                let group = self.group(&name).await?;
                match oauth::roles::remove_group(store, now, &group).await? {
                    RemoveGroup::Removed | RemoveGroup::Unknown => {
                        out.line(format!("group {} removed", group.name));
                        Ok(())
                    }
                    RemoveGroup::Named(server) => Err(usage(format!(
                        "a rule of {server} names the group {}; remove that first: portcullis rules list {server}",
                        group.name
                    ))),
                }
            }
            GroupsCommand::Join { name, person } => {
                let group = self.group(&name).await?;
                let user = self.person(&person).await?;
                let joined = oauth::roles::join(store, now, &group, &user.id).await?;
                out.line(match joined {
                    true => format!("{} is in {}", user.email, group.name),
                    false => format!("{} was in {} before", user.email, group.name),
                });
                Ok(())
            }
            GroupsCommand::Leave { name, person } => {
                let group = self.group(&name).await?;
                let user = self.person(&person).await?;
                let left = oauth::roles::leave(store, now, &group, &user.id).await?;
                out.line(match left {
                    true => format!("{} is in {} no more", user.email, group.name),
                    false => format!("{} was not in {}", user.email, group.name),
                });
                Ok(())
            }
        }
    }

    async fn list_groups(&self, json: bool, out: &Terminal) -> anyhow::Result<()> {
        let groups = self.store().list_groups().await?;
        let members = self.store().list_group_members().await?;
        let names = self.names_of_holders().await?;
        let of = |group: &Group| {
            let members = members.iter().filter(|(id, _)| *id == group.id);
            members.map(|(_, user)| user.as_str()).collect::<Vec<_>>()
        };
        if json {
            let documents: Vec<_> = groups
                .iter()
                .map(|group| json!({"id": group.id, "name": group.name, "members": of(group)}))
                .collect();
            out.line(serde_json::to_string_pretty(&documents)?);
            return Ok(());
        }
        let mut table = table(out, &["GROUP", "MEMBERS"]);
        for group in &groups {
            let members: Vec<&str> = of(group)
                .into_iter()
                .map(|id| names.get(id).map_or(id, String::as_str))
                .collect();
            table.add_row([group.name.clone(), members.join(", ")]);
        }
        out.line(table.trim_fmt());
        Ok(())
    }
}
