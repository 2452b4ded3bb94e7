//! `portcullis tools list|diff|approve|reject|map`: what an MCP server offers, and what was decided of it.

mod command;
mod decide;
mod diff;
mod element;
mod list;

pub use command::ToolsCommand;
pub(crate) use decide::words;

use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

impl Maintenance {
    /// Runs `portcullis tools` with a subcommand.
    ///
    /// # Errors
    /// In words, when there is no such server or tool, or what was looked at changed meanwhile.
    pub async fn tools(&self, command: ToolsCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            ToolsCommand::List { server, json } => self.list_tools(&server, json, out).await,
            ToolsCommand::Diff { one, json } => self.diff_tool(&one, json, out).await,
            ToolsCommand::Approve(asked) => self.approve_tools(asked, out).await,
            ToolsCommand::Reject { one, fingerprint } => {
                self.reject_tool(&one, fingerprint, out).await
            }
            ToolsCommand::Map(asked) => self.map_tool(asked, out).await,
        }
    }
}
