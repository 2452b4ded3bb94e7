//! `portcullis people`, or `portcullis users`: who may sign in, and what is kept about them.

mod delete;
mod export;
mod json;
mod named;
mod password;

use std::path::PathBuf;

use anyhow::Context as _;
use base::{Clock as _, OsRandom, SystemClock};
use clap::Subcommand;
use domain::{EmailAddress, User, UserRole};

pub(crate) use self::json::text as json_text;
pub(crate) use self::named::Named;
use crate::failure::usage;
use crate::maintenance::{Maintenance, PAGE, date, moment, table};
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// Add a person
    Add {
        /// How they sign in
        #[arg(value_parser = EmailAddress::parse)]
        email: EmailAddress,
        /// Read the password from the first line of stdin
        #[arg(long, required = true)]
        password_stdin: bool,
        /// They may do everything, as the first person may
        #[arg(long)]
        owner: bool,
    },
    /// List the people
    List {
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Sign a person out everywhere within a second, and end every token on their behalf
    Disable {
        /// Their e-mail address or usr_… id
        #[arg(value_name = "PERSON", value_parser = Named::parse)]
        person: Named,
    },
    /// Let a person in again; what they had granted stays ended
    Enable {
        /// Their e-mail address or usr_… id
        #[arg(value_name = "PERSON", value_parser = Named::parse)]
        person: Named,
    },
    /// Write everything that is kept about a person as one JSON document, without any secret
    Export {
        /// Their e-mail address or usr_… id
        #[arg(value_name = "PERSON", value_parser = Named::parse)]
        person: Named,
        /// A new file that only you may read [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Delete a person: within a second nothing on their behalf is good any more, and nothing of them is left but the
    /// opaque id in audit events
    Delete {
        /// Their e-mail address or usr_… id
        #[arg(value_name = "PERSON", value_parser = Named::parse)]
        person: Named,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Maintenance {
    /// Runs `portcullis people`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn people(&self, command: PeopleCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            PeopleCommand::Add { email, owner, .. } => self.add_person(email, owner, out).await,
            PeopleCommand::List { json } => self.list_people(json, out).await,
            PeopleCommand::Disable { person } => self.disable_person(&person, out).await,
            PeopleCommand::Enable { person } => self.enable_person(&person, out).await,
            PeopleCommand::Export { person, output } => {
                self.export_person(&person, output.as_deref(), out).await
            }
            PeopleCommand::Delete { person, yes } => self.delete_person(&person, yes, out).await,
        }
    }

    async fn add_person(
        &self,
        email: EmailAddress,
        owner: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let password = password::read()?;
        let (store, clock, random) = (self.store(), &SystemClock, &OsRandom);
        let added = match owner {
            true => {
                oauth::users::add(store, clock, random, email, &password, UserRole::Owner).await
            }
            false => {
                oauth::users::add_member_or_first_owner(store, clock, random, email, &password)
                    .await
            }
        };
        let user = added.context("people add")?;
        out.line(format!(
            "{}  {}  {}",
            user.id,
            user.email,
            user.role.as_str()
        ));
        Ok(())
    }

    async fn disable_person(&self, person: &Named, out: &Terminal) -> anyhow::Result<()> {
        let user = self.person(person).await?;
        let now = SystemClock.now();
        let done = oauth::users::disable(self.store(), now, &user).await;
        out.line(match done.context("people disable")? {
            true => format!("{} is disabled", user.email),
            false => format!("{} was disabled before", user.email),
        });
        Ok(())
    }

    async fn enable_person(&self, person: &Named, out: &Terminal) -> anyhow::Result<()> {
        let user = self.person(person).await?;
        let done = oauth::users::enable(self.store(), SystemClock.now(), &user).await?;
        out.line(match done {
            true => format!("{} may sign in again", user.email),
            false => format!("{} was not disabled", user.email),
        });
        Ok(())
    }

    async fn find_person(&self, person: &Named) -> anyhow::Result<Option<User>> {
        Ok(match person {
            Named::Email(email) => self.store().find_user_by_email(email).await?,
            Named::Id(id) => self.store().find_user(id).await?,
        })
    }

    pub(crate) async fn person(&self, person: &Named) -> anyhow::Result<User> {
        let user = self.find_person(person).await?;
        user.ok_or_else(|| usage(format!("{person}: there is no such person")))
    }

    async fn list_people(&self, json: bool, out: &Terminal) -> anyhow::Result<()> {
        let mut documents = Vec::new();
        let mut table = table(out, &["ID", "EMAIL", "ROLE", "ADDED"]);
        let mut after = None;
        loop {
            let page = self.store().list_users(after.as_ref(), PAGE).await?;
            documents.extend(page.iter().filter(|_| json).map(document));
            for user in &page {
                let role = match user.disabled_at {
                    Some(_) => "disabled",
                    None => user.role.as_str(),
                };
                table.add_row([
                    user.id.to_string(),
                    user.email.to_string(),
                    role.into(),
                    date(user.created_at),
                ]);
            }
            after = page.last().map(|user| user.id.clone());
            if page.len() < PAGE {
                break;
            }
        }
        match json {
            true => out.line(serde_json::to_string_pretty(&documents)?),
            false => out.line(table.trim_fmt()),
        }
        Ok(())
    }
}

/// One person for a program.
fn document(user: &User) -> serde_json::Value {
    serde_json::json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled_at.is_some(),
        "has_password": user.password_hash.is_some(),
        "added_at": moment(user.created_at),
    })
}
