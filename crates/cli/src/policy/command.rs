use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use domain::ServerSlug;

use crate::maintenance::Maintenance;
use crate::people::Named;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List who saved a server's policy, when, and what made it
    History {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// As many of the newest revisions, up to 1000
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a server's policy as it is, or was at a revision
    Show {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// The revision [default: the one in force]
        #[arg(long, value_name = "NUMBER", value_parser = revision)]
        revision: Option<i64>,
        /// Print it as JSON, as it is stored
        #[arg(long)]
        json: bool,
    },
    /// Say in words what differs between two revisions
    Diff {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// The earlier revision
        #[arg(value_parser = revision)]
        from: i64,
        /// The later one [default: the one in force]
        #[arg(value_parser = revision)]
        to: Option<i64>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what another policy would change: in words, for each person and tool, and for the calls of the last 30 days. It
    /// changes nothing
    Preview(Preview),
    /// Publish an earlier revision again. Tools keep the definitions and the quarantine that they have
    #[command(visible_alias = "roll-back")]
    Rollback {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// The revision to go back to
        #[arg(value_parser = revision)]
        revision: i64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Show who reaches what: people by what tells them apart, and tools
    Table(TableArguments),
}

/// What `policy preview` takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("other").required(true), after_help = "\
Examples:
  portcullis policy preview todo --file edited.toml     what `apply` would change, of this server's policy
  portcullis policy preview todo --revision 12          what `policy rollback todo 12` would change")]
pub struct Preview {
    /// The MCP server
    #[arg(value_parser = ServerSlug::parse)]
    pub server: ServerSlug,
    /// The policy in a file that `export` wrote and somebody edited
    #[arg(long, value_name = "FILE", group = "other")]
    pub file: Option<PathBuf>,
    /// An earlier revision
    #[arg(long, value_name = "NUMBER", group = "other", value_parser = revision)]
    pub revision: Option<i64>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `policy table` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis policy table todo
  portcullis policy table todo --person ann@example.com          with the rule for each yes and no
  portcullis policy table todo --client https://claude.ai/oauth/client.json")]
pub struct TableArguments {
    /// The MCP server
    #[arg(value_parser = ServerSlug::parse)]
    pub server: ServerSlug,
    /// One person alone, with the rule that decides: e-mail address or usr_… id
    #[arg(long, value_name = "PERSON", value_parser = Named::parse)]
    pub person: Option<Named>,
    /// Through the client with this id [default: one that registered itself]
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// As the policy was at a revision, for the people of today [default: the one in force]
    #[arg(long, value_name = "NUMBER", value_parser = revision)]
    pub revision: Option<i64>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

fn revision(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => {
            Err("a revision is a number from 1 on, as `portcullis policy history` shows it".into())
        }
    }
}

impl Maintenance {
    /// Runs `portcullis policy`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn policy(&self, command: PolicyCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            PolicyCommand::History {
                server,
                limit,
                json,
            } => self.policy_history(&server, limit.into(), json, out).await,
            PolicyCommand::Show {
                server,
                revision,
                json,
            } => self.show_policy(&server, revision, json, out).await,
            PolicyCommand::Diff {
                server,
                from,
                to,
                json,
            } => self.diff_policies(&server, from, to, json, out).await,
            PolicyCommand::Preview(asked) => self.preview_policy(asked, out).await,
            PolicyCommand::Rollback {
                server,
                revision,
                yes,
            } => self.roll_back_policy(&server, revision, yes, out).await,
            PolicyCommand::Table(asked) => self.policy_table(asked, out).await,
        }
    }
}
