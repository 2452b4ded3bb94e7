//! What the audit log is sealed with. What a seal means is for `oauth`, which has the key.

use std::collections::HashSet;
use std::time::Duration;

use base::{Timestamp, base64url, base64url_decode};
use domain::{AuditSeal, AuditSealEntry};

use crate::values::{Args, RowReader};
use crate::{Store, StoreError, event_id, metric};

/// Ids, or events, that are read at once.
const PAGE: usize = 1000;

/// Bytes of an entry: an id and two digests.
const ENTRY_BYTES: usize = 40;

/// An audit event as it is written, also one of a kind that only a newer release knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Orders the events.
    pub id: i64,
    /// When, in Unix milliseconds.
    pub at: i64,
    /// What.
    pub kind: String,
    /// The MCP server, when at one.
    pub server: Option<String>,
    /// The person.
    pub user: Option<String>,
    /// The client.
    pub client: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// Words; those that told who somebody was are taken out when that person is deleted.
    pub detail: String,
}

impl Store {
    /// The newest seal.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_last_audit_seal(&self) -> Result<Option<AuditSeal>, StoreError> {
        let sql = "SELECT number, made_at, entries, previous, head FROM audit_seal \
                   ORDER BY number DESC LIMIT 1";
        let row = self.fetch_optional(sql, Args::default()).await?;
        row.map(|row| read(&RowReader::new(&row, "audit_seal")))
            .transpose()
    }

    /// The seals behind number `after`, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_audit_seals(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditSeal>, StoreError> {
        let sql = "SELECT number, made_at, entries, previous, head FROM audit_seal \
                   WHERE number > $1 ORDER BY number LIMIT $2";
        let args = Args::with_capacity(2).int(after).limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "audit_seal")))
            .collect()
    }

    /// Events under no seal, oldest first, at most `limit`. Looked for from `margin` before the newest event under one on: a
    /// node may commit an event a little after later ones.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_unsealed_audit_rows(
        &self,
        now: Timestamp,
        margin: Duration,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT MAX(to_id) FROM audit_seal";
        let newest = match self.fetch_optional(sql, Args::default()).await? {
            Some(row) => RowReader::new(&row, "audit_seal").optional_int(0)?,
            None => None,
        };
        let from = newest.map_or(0, |id| {
            event_id::first(event_id::time(id).min(now).before(margin))
        });
        let sealed = self.sealed_ids(from).await?;
        let mut unsealed = HashSet::new();
        let (mut after, mut first, mut last) = (from, i64::MAX, i64::MIN);
        while unsealed.len() < limit {
            let sql = "SELECT id FROM audit_event WHERE id > $1 ORDER BY id LIMIT $2";
            let args = Args::with_capacity(2).int(after).limit(PAGE);
            let rows = self.fetch_all(sql, args).await?;
            for row in &rows {
                let id = RowReader::new(row, "audit_event").int(0)?;
                after = id;
                if unsealed.len() < limit && !sealed.contains(&id) {
                    unsealed.insert(id);
                    (first, last) = (first.min(id), last.max(id));
                }
            }
            if rows.len() < PAGE {
                break;
            }
        }
        let mut rows = Vec::new();
        let mut after = first.saturating_sub(1);
        while after < last {
            let page = self.list_audit_rows(after, last, PAGE).await?;
            let Some(end) = page.last() else {
                break;
            };
            after = end.id;
            rows.extend(page.into_iter().filter(|row| unsealed.contains(&row.id)));
        }
        Ok(rows)
    }

    async fn sealed_ids(&self, from: i64) -> Result<HashSet<i64>, StoreError> {
        let sql =
            "SELECT number, made_at, entries, previous, head FROM audit_seal WHERE to_id > $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).int(from))
            .await?;
        let mut ids = HashSet::new();
        for row in &rows {
            let seal = read(&RowReader::new(row, "audit_seal"))?;
            ids.extend(seal.entries.iter().map(|entry| entry.id));
        }
        Ok(ids)
    }

    /// The events behind `after` and up to `last`, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_audit_rows(
        &self,
        after: i64,
        last: i64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
        let args = Args::with_capacity(3).int(after).int(last).limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "audit_event");
                let text = |index| row.optional_text(index).map(|text| text.map(str::to_owned));
                Ok(AuditRow {
                    id: row.int(0)?,
                    at: row.int(1)?,
                    kind: row.text(2)?.to_owned(),
                    server: text(3)?,
                    user: text(4)?,
                    client: text(5)?,
                    grant: text(6)?,
                    detail: row.text(7)?.to_owned(),
                })
            })
            .collect()
    }

    /// Adds a seal behind the last one; false when another node was quicker.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_audit_seal(&self, seal: AuditSeal) -> Result<bool, StoreError> {
        let entries = entries_text(&seal.entries);
        self.write((seal, entries), |conn, (seal, entries)| {
            Box::pin(async move {
                let from = seal.entries.iter().map(|entry| entry.id).min();
                let sql = "INSERT INTO audit_seal (number, from_id, to_id, made_at, entries, previous, head) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
                let args = Args::with_capacity(7)
                    .int(seal.number)
                    .int(from.unwrap_or(0))
                    .int(seal.to_id())
                    .time(seal.made_at)
                    .text(entries)
                    .text(&seal.previous)
                    .text(&seal.head);
                Ok(conn.execute(sql, args).await? == 1)
            })
        })
        .await
    }

    /// Deletes seals that were made before `before` and whose events are all gone, at most `limit`. The last of these stays: it
    /// shows that what was before it was older still.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub async fn purge_audit_seals(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let gone = self
            .write((before, limit), |conn, (before, limit)| {
                Box::pin(async move {
                    let sql = "DELETE FROM audit_seal WHERE number IN (SELECT number FROM audit_seal \
                               WHERE number < (SELECT MAX(number) FROM audit_seal WHERE made_at < $1 \
                               AND to_id < (SELECT MIN(id) FROM audit_event)) ORDER BY number LIMIT $2)";
                    let args = Args::with_capacity(2).time(*before).limit(*limit);
                    conn.execute(sql, args).await
                })
            })
            .await?;
        metric::purged("audit_seal", gone);
        Ok(gone)
    }
}

/// When the event with this id happened, as whoever recorded it had it.
pub fn audit_event_time(id: i64) -> Timestamp {
    event_id::time(id)
}

fn entries_text(entries: &[AuditSealEntry]) -> String {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend(entry.id.to_be_bytes());
        bytes.extend(entry.facts);
        bytes.extend(entry.words);
    }
    base64url(bytes)
}

/// Reads the columns number, made_at, entries, previous, head. Entries that are none are an empty list, which no seal has:
/// it shows where the log is looked over.
fn read(row: &RowReader<'_>) -> Result<AuditSeal, StoreError> {
    let bytes = base64url_decode(row.text(2)?).unwrap_or_default();
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    Ok(AuditSeal {
        number: row.int(0)?,
        made_at: row.time(1)?,
        entries: entries.iter().filter_map(read_entry).collect(),
        previous: row.text(3)?.to_owned(),
        head: row.text(4)?.to_owned(),
    })
}

fn read_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<AuditSealEntry> {
    let (id, digests) = bytes.split_first_chunk()?;
    let (facts, words) = digests.split_first_chunk()?;
    Some(AuditSealEntry {
        id: i64::from_be_bytes(*id),
        facts: *facts,
        words: *words.first_chunk()?,
    })
}
