use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, ClientId, GrantId, ServerSlug, UserId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::bulk::BulkStatement;
use crate::conn::{Conn, fetch_optional};
use crate::values::{Args, RowReader};
use crate::{Store, StoreError, event_id};

static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO audit_event (id, at, kind, server, user_id, client_id, grant_id, detail) VALUES",
    8,
    "",
);

/// An audit event with its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuditEvent {
    /// Orders the events; where the next page begins.
    pub id: i64,
    /// The event.
    pub event: AuditEvent,
}

/// Which audit events.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this one.
    pub until: Option<Timestamp>,
    /// Of this kind.
    pub kind: Option<AuditEventKind>,
    /// At this MCP server.
    pub server: Option<ServerSlug>,
    /// Of this person.
    pub user: Option<UserId>,
}

impl AuditFilter {
    fn args(&self, after: i64, limit: usize) -> Args {
        // Ids begin with the moment. One that was given while a clock was behind stands a little later than it says.
        let from = self.from.map_or(0, |from| event_id::first(from) - 1);
        Args::with_capacity(6)
            .int(after.max(from))
            .int(self.until.map_or(i64::MAX, event_id::first))
            .text(self.kind.map_or("", AuditEventKind::as_str))
            .text(self.server.as_ref().map_or("", ServerSlug::as_str))
            .text(self.user.as_ref().map_or("", UserId::as_str))
            .limit(limit)
    }
}

impl Conn {
    /// Writes `event` in this transaction.
    pub(crate) fn record(&mut self, event: &AuditEvent) {
        let row = Args::with_capacity(8)
            .int(event_id::next_in_order(event.at))
            .time(event.at)
            .text(event.kind.as_str())
            .optional_text(event.server.as_ref().map(ServerSlug::as_str))
            .optional_text(event.user.as_ref().map(UserId::as_str))
            .optional_text(event.client.as_ref().map(ClientId::as_str))
            .optional_text(event.grant.as_ref().map(GrantId::as_str))
            .text(&event.detail);
        self.insert_later(&INSERT, row);
    }
}

const LAST: &str = "SELECT MAX(id) FROM audit_event";

fn found_last(row: Option<&AnyRow>) -> Result<(), StoreError> {
    if let Some(row) = row
        && let Some(last) = RowReader::new(row, "audit_event").optional_int(0)?
    {
        event_id::found(last);
    }
    Ok(())
}

/// As [`Store::continue_audit_log`], on a connection that is no store yet.
pub(crate) async fn go_on_behind_the_last(
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let row = fetch_optional(connection, LAST, Args::default().finish()?).await?;
    found_last(row.as_ref())
}

impl Store {
    /// Goes on behind the last event that is there.
    pub(crate) async fn continue_audit_log(&self) -> Result<(), StoreError> {
        let row = self.fetch_optional(LAST, Args::default()).await?;
        found_last(row.as_ref())
    }

    /// Writes an event that goes with no other change, such as a refused sign-in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_audit_event(&self, event: AuditEvent) -> Result<(), StoreError> {
        crate::values::refuse_nul(&[("detail", &event.detail)])?;
        self.write(event, |conn, event| {
            Box::pin(async move {
                conn.record(event);
                Ok(())
            })
        })
        .await
    }

    /// The events behind `after` (0: from the beginning), oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_audit_events(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredAuditEvent>, StoreError> {
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   WHERE id > $1 ORDER BY id LIMIT $2";
        let args = Args::with_capacity(2).int(after).limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "audit_event")))
            .collect()
    }

    /// Those that `filter` lets through, behind `after` (0: from the beginning), oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn find_audit_events(
        &self,
        filter: &AuditFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredAuditEvent>, StoreError> {
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   WHERE id > $1 AND id < $2 AND ($3 = '' OR kind = $3) AND ($4 = '' OR server = $4) \
                   AND ($5 = '' OR user_id = $5) ORDER BY id LIMIT $6";
        let rows = self.fetch_all(sql, filter.args(after, limit)).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "audit_event")))
            .collect()
    }

    /// The newest of those that `filter` lets through, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn find_newest_audit_events(
        &self,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<StoredAuditEvent>, StoreError> {
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   WHERE id > $1 AND id < $2 AND ($3 = '' OR kind = $3) AND ($4 = '' OR server = $4) \
                   AND ($5 = '' OR user_id = $5) ORDER BY id DESC LIMIT $6";
        let rows = self.fetch_all(sql, filter.args(0, limit)).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "audit_event")))
            .collect()
    }

    /// The newest events, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_newest_audit_events(
        &self,
        limit: usize,
    ) -> Result<Vec<StoredAuditEvent>, StoreError> {
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   ORDER BY id DESC LIMIT $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).limit(limit))
            .await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "audit_event")))
            .collect()
    }
}

/// Reads the columns id, at, kind, server, user_id, client_id, grant_id, detail.
pub(crate) fn read(row: &RowReader<'_>) -> Result<StoredAuditEvent, StoreError> {
    let server = match row.optional_text(3)? {
        None => None,
        Some(_) => Some(row.parse(3, |text| ServerSlug::parse(text).ok())?),
    };
    Ok(StoredAuditEvent {
        id: row.int(0)?,
        event: AuditEvent {
            at: Timestamp::from_unix_ms(row.int(1)?),
            // A newer release may have written it while both run.
            kind: AuditEventKind::parse(row.text(2)?).unwrap_or(AuditEventKind::Unknown),
            server,
            user: row.optional_text(4)?.map(UserId::from_text),
            client: row.optional_text(5)?.map(ClientId::from_text),
            grant: row.optional_text(6)?.map(GrantId::from_text),
            detail: row.text(7)?.to_owned(),
        },
    })
}
