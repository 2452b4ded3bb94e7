//! `portcullis grants`: what people approved and machines were given, and its end.

use base::{Clock as _, SystemClock, Timestamp};
use clap::Subcommand;
use domain::{ClientId, GrantId, ServerSlug};
use serde_json::json;
use store::{GrantFilter, GrantRevoked, LiveGrant};

use crate::confirm::agreed;
use crate::failure::usage;
use crate::id_list::IdList;
use crate::maintenance::{Maintenance, PAGE, date, moment};
use crate::people::Named;
use crate::terminal::{Terminal, plain};

#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// List the grants in force: whose, for which client, with which scopes
    List {
        /// At this MCP server alone
        #[arg(long, value_name = "SERVER", value_parser = ServerSlug::parse)]
        server: Option<ServerSlug>,
        /// Of this person alone: e-mail address or usr_… id
        #[arg(long, value_name = "PERSON", value_parser = Named::parse)]
        person: Option<Named>,
        /// Of this client alone
        #[arg(long, value_name = "CLIENT")]
        client: Option<String>,
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a grant: its tokens are refused within a second, and its client has to ask the person again
    Revoke {
        /// Its gra_… id
        grant: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Maintenance {
    /// Runs `portcullis grants`.
    ///
    /// # Errors
    /// In words, when there is no such grant.
    pub async fn grants(&self, command: GrantsCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            GrantsCommand::List {
                server,
                person,
                client,
                json,
            } => {
                let subject = match person {
                    None => None,
                    Some(Named::Id(id)) => Some(id),
                    Some(person) => Some(self.person(&person).await?.id),
                };
                let client = client.map(ClientId::from_text);
                let filter = GrantFilter {
                    server: server.as_ref(),
                    subject: subject.as_ref().map(|id| id.as_str()),
                    client: client.as_ref(),
                };
                self.list_grants(filter, json, out).await
            }
            GrantsCommand::Revoke { grant, yes } => self.revoke_grant(&grant, yes, out).await,
        }
    }

    async fn list_grants(
        &self,
        filter: GrantFilter<'_>,
        as_json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let mut all: Vec<LiveGrant> = Vec::new();
        loop {
            let after = all.last().map(|grant| grant.id.clone());
            let store = self.store();
            let page = store.list_live_grants(filter, now, after.as_ref(), PAGE);
            let page = page.await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                break;
            }
        }
        if as_json {
            let all: Vec<_> = all.iter().map(document).collect();
            out.line(serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        let heads = ["GRANT", "OF", "CLIENT", "SERVER", "SCOPES", "SINCE", "ENDS"];
        let mut list = IdList::new(out, &heads);
        for grant in all {
            list.add([
                grant.id.to_string(),
                match &grant.email {
                    Some(email) => plain(email, 60),
                    None => "itself".to_owned(),
                },
                plain(
                    grant
                        .client_name
                        .as_deref()
                        .unwrap_or(grant.client.as_str()),
                    60,
                ),
                grant.server.to_string(),
                grant.scopes.to_string(),
                date(grant.created_at),
                date(grant.expires_at),
            ]);
        }
        list.show();
        Ok(())
    }

    async fn revoke_grant(&self, id: &str, yes: bool, out: &Terminal) -> anyhow::Result<()> {
        if !yes {
            agreed(&format!("End {}?", plain(id, 60)))?;
        }
        let (grant, now): (_, Timestamp) = (GrantId::from_text(id), SystemClock.now());
        match oauth::grants::revoke(self.store(), now, &grant).await? {
            GrantRevoked::Revoked { .. } => {
                out.line(format!("{grant} has ended"));
                Ok(())
            }
            GrantRevoked::EndedBefore | GrantRevoked::Unknown => Err(usage(format!(
                "{}: there is no such grant in force; `portcullis grants list` shows them",
                plain(id, 60)
            ))),
        }
    }
}

fn document(grant: &LiveGrant) -> serde_json::Value {
    json!({
        "id": grant.id,
        "server": grant.server,
        "client": grant.client,
        "client_name": grant.client_name,
        "subject": grant.subject,
        "email": grant.email,
        "scopes": grant.scopes,
        "created_at": moment(grant.created_at),
        "expires_at": moment(grant.expires_at),
    })
}
