use authz::{RuleClient, RuleEffect, RuleWhat, RuleWho, SubjectRule};
use base::{OsRandom, random_token};
use clap::{ArgGroup, Subcommand, ValueEnum};
use domain::{McpServer, ServerSlug};
use wire::oauth::Scope;

use super::role;
use crate::failure::usage;
use crate::maintenance::{Maintenance, table};
use crate::people::Named;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// List a server's rules for people and clients
    List {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add a rule; it binds tokens that are there already, within a second
    Add(Box<AddRule>),
    /// Remove a rule
    Remove {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Its rul_… id
        rule: String,
    },
}

/// Allow or deny.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Effect {
    /// They may have what their roles do not permit
    Allow,
    /// They may not; this wins over everything
    Deny,
}

/// What `rules add` takes.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub struct AddRule {
    /// The MCP server
    #[arg(value_parser = ServerSlug::parse)]
    server: ServerSlug,
    /// Whether it gives or takes
    effect: Effect,
    /// Of this person: e-mail address or usr_… id [default: of anyone]
    #[arg(long, value_name = "PERSON", value_parser = Named::parse, conflicts_with_all = ["group", "role"])]
    person: Option<Named>,
    /// Of everybody in this group
    #[arg(long, value_name = "GROUP", conflicts_with = "role")]
    group: Option<String>,
    /// Of everybody who has this role
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Through the client with this id [default: through any]
    #[arg(long, value_name = "CLIENT", conflicts_with_all = ["host", "unverified"])]
    client: Option<String>,
    /// Through clients of this host, such as claude.ai or *.example.com
    #[arg(long, value_name = "HOST", conflicts_with = "unverified")]
    host: Option<String>,
    /// Through clients that nobody vouches for: they registered themselves, or name a document without proof
    #[arg(long)]
    unverified: bool,
    /// This scope; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = Scope::parse, group = "what",
          conflicts_with_all = ["tools", "everything"])]
    scopes: Vec<Scope>,
    /// This tool; may be repeated
    #[arg(
        long = "tool",
        value_name = "TOOL",
        group = "what",
        conflicts_with = "everything"
    )]
    tools: Vec<String>,
    /// Everything
    #[arg(long, group = "what")]
    everything: bool,
    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

impl Maintenance {
    /// Runs `portcullis rules`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn rules(&self, command: RulesCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            RulesCommand::List { server, json } => {
                let server = self.server(Some(&server), "SERVER").await?;
                self.list_rules(&server, json, out).await
            }
            RulesCommand::Add(said) => {
                let server = self.server(Some(&said.server), "SERVER").await?;
                let rule = self.read_rule(&server, *said).await?;
                let added = format!("{}  {rule}", rule.id);
                let mut policy = server.policy.clone();
                policy.subject_rules.push(rule);
                self.publish(&server, &policy, format!("rule added: {added}"))
                    .await?;
                out.line(added);
                Ok(())
            }
            RulesCommand::Remove { server, rule } => {
                let server = self.server(Some(&server), "SERVER").await?;
                let mut policy = server.policy.clone();
                policy.subject_rules.retain(|other| other.id != rule);
                if policy.subject_rules.len() == server.policy.subject_rules.len() {
                    return Err(usage(format!(
                        "{rule}: there is no such rule; `portcullis rules list {}` shows them",
                        server.slug
                    )));
                }
                let removed = format!("rule {rule} removed");
                self.publish(&server, &policy, removed.clone()).await?;
                out.line(removed);
                Ok(())
            }
        }
    }

    async fn read_rule(&self, server: &McpServer, said: AddRule) -> anyhow::Result<SubjectRule> {
        let who = match (&said.person, &said.group, &said.role) {
            (Some(person), _, _) => RuleWho::Person(self.person(person).await?.id.to_string()),
            (_, Some(group), _) => RuleWho::Group(self.group(group).await?.id.to_string()),
            (_, _, Some(name)) => RuleWho::Role(role(server, name)?.id.clone()),
            (None, None, None) => RuleWho::Anyone,
        };
        let client = match (said.client, said.host, said.unverified) {
            (Some(id), _, _) => RuleClient::Id(id),
            (_, Some(host), _) => RuleClient::VerifiedHost(host),
            (_, _, true) => RuleClient::Unverified,
            (None, None, false) => RuleClient::Any,
        };
        let what = match (said.scopes.is_empty(), said.tools.is_empty()) {
            (false, _) => RuleWhat::Scopes(said.scopes.into_iter().collect()),
            (_, false) => RuleWhat::Tools(said.tools.into_iter().collect()),
            (true, true) => RuleWhat::All,
        };
        Ok(SubjectRule {
            id: random_token(&OsRandom, "rul_"),
            effect: match said.effect {
                Effect::Allow => RuleEffect::Allow,
                Effect::Deny => RuleEffect::Deny,
            },
            who,
            client,
            what,
            note: said.note,
        })
    }

    async fn list_rules(
        &self,
        server: &McpServer,
        json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let rules = &server.policy.subject_rules;
        if json {
            out.line(serde_json::to_string_pretty(rules)?);
            return Ok(());
        }
        let names = self.names_of_holders().await?;
        let mut table = table(out, &["ID", "RULE", "OF", "THROUGH", "WHAT", "NOTE"]);
        for rule in rules {
            let of = match &rule.who {
                RuleWho::Person(id) | RuleWho::Group(id) => names.get(id).cloned(),
                RuleWho::Role(id) => server
                    .policy
                    .role(id)
                    .map(|role| format!("role {}", role.name)),
                RuleWho::Anyone => None,
            };
            table.add_row([
                rule.id.clone(),
                rule.effect.to_string(),
                of.unwrap_or_else(|| rule.who.to_string()),
                rule.client.to_string(),
                rule.what.to_string(),
                rule.note.clone(),
            ]);
        }
        out.line(table.trim_fmt());
        Ok(())
    }
}
