use authz::{LimitPer, LimitWhat, Rate, RateLimit};
use base::{OsRandom, random_token};
use clap::{Subcommand, ValueEnum};
use domain::{McpServer, ServerSlug};

use crate::failure::usage;
use crate::maintenance::{Maintenance, table};
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum LimitsCommand {
    /// List a server's rate limits
    List {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add a rate limit; it counts from the next call on, within a second
    Add(Box<AddLimit>),
    /// Change how many calls a rate limit lets through; what was counted under it goes on
    Set {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Its lim_… id
        limit: String,
        /// Such as 60/1m; it fills again evenly over that time
        rate: Rate,
        /// How many of them may come at once [default: all]
        #[arg(long, value_name = "CALLS")]
        burst: Option<u32>,
    },
    /// Remove a rate limit
    Remove {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Its lim_… id
        limit: String,
    },
}

/// Who shares one count.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Per {
    /// Each person has a count of their own
    Person,
    /// Each client has one, for whomever it calls
    Client,
    /// Each person has one for each client
    PersonAndClient,
    /// There is one for all
    Everybody,
}

/// What `limits add` takes.
#[derive(Debug, clap::Args)]
pub struct AddLimit {
    /// The MCP server
    #[arg(value_parser = ServerSlug::parse)]
    server: ServerSlug,
    /// How many calls in how long a time, such as 60/1m; it fills again evenly over that time
    rate: Rate,
    /// Who shares one count
    #[arg(long, value_enum, default_value = "person")]
    per: Per,
    /// Counts calls of this tool; may be repeated, they are counted together [default: all calls]
    #[arg(long = "tool", value_name = "TOOL")]
    tools: Vec<String>,
    /// How many of the calls may come at once [default: all]
    #[arg(long, value_name = "CALLS")]
    burst: Option<u32>,
    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

impl Maintenance {
    /// Runs `portcullis limits`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn limits(&self, command: LimitsCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            LimitsCommand::List { server, json } => {
                let server = self.server(Some(&server), "SERVER").await?;
                list(&server, json, out)
            }
            LimitsCommand::Add(said) => {
                let server = self.server(Some(&said.server), "SERVER").await?;
                let limit = read(*said);
                let added = format!("{}  {limit}", limit.id);
                let mut policy = server.policy.clone();
                policy.rate_limits.push(limit);
                self.publish(&server, &policy, format!("rate limit added: {added}"))
                    .await?;
                out.line(added);
                Ok(())
            }
            LimitsCommand::Set {
                server,
                limit,
                rate,
                burst,
            } => {
                let server = self.server(Some(&server), "SERVER").await?;
                let mut policy = server.policy.clone();
                let mut limits = policy.rate_limits.iter_mut();
                let Some(found) = limits.find(|other| other.id == limit) else {
                    return Err(unknown(&server, &limit));
                };
                found.rate = rate;
                found.burst = burst;
                let changed = format!("{limit}  {found}");
                self.publish(&server, &policy, format!("rate limit changed: {changed}"))
                    .await?;
                out.line(changed);
                Ok(())
            }
            LimitsCommand::Remove { server, limit } => {
                let server = self.server(Some(&server), "SERVER").await?;
                let mut policy = server.policy.clone();
                policy.rate_limits.retain(|other| other.id != limit);
                if policy.rate_limits.len() == server.policy.rate_limits.len() {
                    return Err(unknown(&server, &limit));
                }
                let removed = format!("rate limit {limit} removed");
                self.publish(&server, &policy, removed.clone()).await?;
                out.line(removed);
                Ok(())
            }
        }
    }
}

fn read(said: AddLimit) -> RateLimit {
    RateLimit {
        id: random_token(&OsRandom, "lim_"),
        per: match said.per {
            Per::Person => LimitPer::Person,
            Per::Client => LimitPer::Client,
            Per::PersonAndClient => LimitPer::PersonAndClient,
            Per::Everybody => LimitPer::Everybody,
        },
        what: match said.tools.is_empty() {
            true => LimitWhat::All,
            false => LimitWhat::Tools(said.tools.into_iter().collect()),
        },
        rate: said.rate,
        burst: said.burst,
        note: said.note,
    }
}

fn unknown(server: &McpServer, limit: &str) -> anyhow::Error {
    usage(format!(
        "{limit}: there is no such rate limit; `portcullis limits list {}` shows them",
        server.slug
    ))
}

fn list(server: &McpServer, json: bool, out: &Terminal) -> anyhow::Result<()> {
    let limits = &server.policy.rate_limits;
    if json {
        out.line(serde_json::to_string_pretty(limits)?);
        return Ok(());
    }
    let mut table = table(out, &["ID", "RATE", "AT ONCE", "FOR", "WHAT", "NOTE"]);
    for limit in limits {
        table.add_row([
            limit.id.clone(),
            limit.rate.to_string(),
            limit.at_once().to_string(),
            limit.per.to_string(),
            limit.what.to_string(),
            limit.note.clone(),
        ]);
    }
    out.line(table.trim_fmt());
    Ok(())
}
