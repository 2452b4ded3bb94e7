use base::{Clock as _, SystemClock};
use domain::ClientId;
use store::{ActivityLog, CallFilter};

use super::command::WantedCalls;
use super::document;
use crate::maintenance::Maintenance;
use crate::people::{Named, json_text};
use crate::terminal::Terminal;

impl Maintenance {
    /// A line for each call, a page at a time, up to the moment at which it began: a log that is being written ends too.
    pub(super) async fn export_calls(
        &self,
        log: &ActivityLog,
        wanted: &WantedCalls,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let filter = self.filter(wanted).await?;
        let mut from = None;
        loop {
            let page = log.look(&filter, from).await?;
            let mut lines = String::new();
            for call in &page.calls {
                lines.push_str(&json_text(&document(call)));
                lines.push('\n');
            }
            // Nobody waits for the rest of an answer that is not read.
            if !out.takes(&lines) {
                return Ok(());
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// What was asked for, in the words of the log.
    pub(super) async fn filter(&self, wanted: &WantedCalls) -> anyhow::Result<CallFilter> {
        let subject = match &wanted.person {
            None => None,
            // Also of somebody who was deleted.
            Some(Named::Id(id)) => Some(id.to_string()),
            Some(person) => Some(self.person(person).await?.id.to_string()),
        };
        let client = wanted.client.as_deref().map(ClientId::from_text);
        Ok(CallFilter {
            since: wanted.since,
            until: Some(wanted.until.unwrap_or_else(|| SystemClock.now())),
            server: wanted.server.as_ref().map(ToString::to_string),
            subject,
            client: client.map(|client| client.to_string()),
            denied: wanted.denied,
        })
    }
}
