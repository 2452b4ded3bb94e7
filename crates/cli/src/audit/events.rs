//! `portcullis audit list` and `export`: the events themselves.

use clap::Args;
use domain::{AuditEventKind, ServerSlug};
use serde_json::{Value, json};
use store::{AuditFilter, StoredAuditEvent};

use crate::maintenance::{Maintenance, PAGE, date, moment, table};
use crate::moment::Moment;
use crate::people::{Named, json_text};
use crate::terminal::{Terminal, plain};

/// Which events.
#[derive(Debug, Args)]
pub struct WantedEvents {
    /// From this day or time on
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    from: Option<Moment>,
    /// Before this day or time
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,
    /// Of this kind alone, such as policy_published
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<AuditEventKind>,
    /// At this MCP server alone
    #[arg(long, value_name = "SERVER", value_parser = ServerSlug::parse)]
    server: Option<ServerSlug>,
    /// Of this person alone: e-mail address or usr_… id
    #[arg(long, value_name = "PERSON", value_parser = Named::parse)]
    person: Option<Named>,
}

fn kind(text: &str) -> Result<AuditEventKind, String> {
    AuditEventKind::parse(text).ok_or_else(|| {
        let known = AuditEventKind::ALL.map(AuditEventKind::as_str).join(", ");
        format!("there is no such kind of event; there are: {known}")
    })
}

impl Maintenance {
    async fn wanted(&self, wanted: WantedEvents) -> anyhow::Result<AuditFilter> {
        let user = match wanted.person {
            None => None,
            // Also somebody who was deleted.
            Some(Named::Id(id)) => Some(id),
            Some(person) => Some(self.person(&person).await?.id),
        };
        Ok(AuditFilter {
            from: wanted.from.map(Moment::timestamp),
            until: wanted.until.map(Moment::timestamp),
            kind: wanted.kind,
            server: wanted.server,
            user,
        })
    }

    /// The newest, the oldest of them first.
    pub(super) async fn list_events(
        &self,
        wanted: WantedEvents,
        limit: usize,
        as_json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let filter = self.wanted(wanted).await?;
        let mut events = self
            .store()
            .find_newest_audit_events(&filter, limit)
            .await?;
        events.reverse();
        if as_json {
            let all: Vec<Value> = events.iter().map(document).collect();
            out.line(serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        let mut table = table(out, &["AT", "WHAT", "SERVER", "BY", "THROUGH", "DETAIL"]);
        for StoredAuditEvent { event, .. } in events {
            let by = match &event.user {
                None => String::new(),
                Some(id) => match self.store().find_user(id).await? {
                    Some(user) => plain(user.email.as_str(), 60),
                    None => id.to_string(),
                },
            };
            table.add_row([
                date(event.at),
                event.kind.as_str().to_owned(),
                event
                    .server
                    .map(|slug| slug.to_string())
                    .unwrap_or_default(),
                by,
                plain(event.client.as_ref().map_or("", |id| id.as_str()), 60),
                plain(&event.detail, 120),
            ]);
        }
        out.line(table.trim_fmt());
        Ok(())
    }

    /// A line for each, the oldest first.
    pub(super) async fn export_events(
        &self,
        wanted: WantedEvents,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let filter = self.wanted(wanted).await?;
        let mut after = 0;
        loop {
            let events = self.store().find_audit_events(&filter, after, PAGE).await?;
            let mut lines = String::new();
            for event in &events {
                lines.push_str(&json_text(&document(event)));
                lines.push('\n');
                after = event.id;
            }
            // Nobody waits for the rest of an answer that is not read.
            if !out.takes(&lines) || events.len() < PAGE {
                return Ok(());
            }
        }
    }
}

fn document(stored: &StoredAuditEvent) -> Value {
    let event = &stored.event;
    json!({
        "id": stored.id.to_string(),
        "at": moment(event.at),
        "kind": event.kind,
        "server": event.server,
        "user": event.user,
        "client": event.client,
        "grant": event.grant,
        "detail": event.detail,
    })
}
