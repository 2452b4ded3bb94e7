use domain::{AuditEvent, ServerSettings, ServerSettingsChange, ServerSlug};
use serde_json::Value;

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul, to_json};
use crate::{Store, StoreError};

/// What came of changing the settings of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsChanged {
    /// They are so now.
    Changed {
        /// As they were.
        before: ServerSettings,
        /// As they are.
        after: ServerSettings,
    },
    /// They were so before.
    Unchanged,
    /// No such server.
    Unknown,
}

impl Conn {
    pub(crate) async fn change_server_settings(
        &mut self,
        slug: &ServerSlug,
        change: &ServerSettingsChange,
        event: &AuditEvent,
    ) -> Result<SettingsChanged, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "SELECT slug, settings FROM mcp_server WHERE slug = $1 AND removed_at IS NULL";
        let args = Args::with_capacity(1).text(slug.as_str());
        let Some(row) = self.fetch_optional(sql, args).await? else {
            return Ok(SettingsChanged::Unknown);
        };
        let row = RowReader::new(&row, "mcp_server");
        let before: ServerSettings = row.json(1)?;
        let after = change.of(&before);
        if before == after {
            return Ok(SettingsChanged::Unchanged);
        }
        // Somebody else's change in between makes the condition fail, and nothing of it is lost.
        let sql = "UPDATE mcp_server SET settings = $2 WHERE slug = $1 AND settings = $3";
        let args = Args::with_capacity(3)
            .text(slug.as_str())
            .text(&to_json(&after)?)
            .text(row.text(1)?);
        if self.execute(sql, args).await? == 0 {
            return Err(StoreError::Conflict("a change of these settings"));
        }
        let mut event = event.clone();
        event.detail = differences(&before, &after)?;
        self.record(&event);
        self.count_change().await?;
        Ok(SettingsChanged::Changed { before, after })
    }
}

impl Store {
    /// Changes some settings of a server and leaves the others, whatever somebody else changes meanwhile. The event
    /// gets what changed for its detail.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn change_server_settings(
        &self,
        slug: &ServerSlug,
        change: ServerSettingsChange,
        event: AuditEvent,
    ) -> Result<SettingsChanged, StoreError> {
        if let Some(Some(url)) = &change.documentation_url {
            refuse_nul(&[("documentation_url", url)])?;
        }
        let data = (slug.clone(), change, event);
        self.write(data, |conn, (slug, change, event)| {
            Box::pin(conn.change_server_settings(slug, change, event))
        })
        .await
    }
}

/// `native_schemes: "any" → "known"`, one beside the other.
fn differences(before: &ServerSettings, after: &ServerSettings) -> Result<String, StoreError> {
    let members = |settings: &ServerSettings| match serde_json::to_value(settings) {
        Ok(Value::Object(members)) => Ok(members),
        other => Err(StoreError::Internal(format!("settings as {other:?}"))),
    };
    let (before, after) = (members(before)?, members(after)?);
    let changed = after.iter().filter_map(|(name, new)| {
        let old = before.get(name).unwrap_or(&Value::Null);
        (old != new).then(|| format!("{name}: {old} → {new}"))
    });
    Ok(changed.collect::<Vec<_>>().join(", "))
}
