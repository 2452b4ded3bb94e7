//! `portcullis activity list|export|observed`: the calls that went through the gateway.

mod call;
mod command;
mod export;
mod list;
mod names;
mod observed;
mod tally;

use store::ActivityLog;

pub(crate) use self::call::document;
pub use self::command::ActivityCommand;
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

impl Maintenance {
    /// Runs `portcullis activity`.
    ///
    /// # Errors
    /// In words, when there is no such person or MCP server, or the log cannot be read.
    pub async fn activity(&self, command: ActivityCommand, out: &Terminal) -> anyhow::Result<()> {
        let log = self.open_activity().await?;
        let ended = self.activity_of(&log, command, out).await;
        log.close().await;
        ended
    }

    async fn activity_of(
        &self,
        log: &ActivityLog,
        command: ActivityCommand,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        match command {
            ActivityCommand::List { calls, limit } => {
                self.list_calls(log, &calls, limit, out).await
            }
            ActivityCommand::Export { calls } => self.export_calls(log, &calls, out).await,
            ActivityCommand::Observed {
                server,
                since,
                json,
            } => self.observed_calls(log, &server, since, json, out).await,
        }
    }
}
