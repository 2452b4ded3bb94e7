//! What the audit log is sealed with. What a seal means is for `oauth`, which has the key.

use base::{Timestamp, base64url, base64url_decode};
use domain::{AuditSeal, AuditSealEntry};

use crate::values::{Args, RowReader};
use crate::{Store, StoreError, event_id, metric};

/// Bytes of an entry: an id and two digests.
const ENTRY_BYTES: usize = 40;

/// An audit event as it is written, also one of a kind that only a newer release knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Orders the events. Two nodes may have given the same one.
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

/// A stretch of the audit log in order.
#[derive(Debug, Default)]
pub struct AuditPage {
    /// All events with their ids, of each id all.
    pub rows: Vec<AuditRow>,
    /// Where the next page begins; none when this is the last.
    pub next: Option<i64>,
}

impl Store {
    /// The newest seals, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_newest_audit_seals(
        &self,
        limit: usize,
    ) -> Result<Vec<AuditSeal>, StoreError> {
        let sql = "SELECT number, made_at, entries, previous, head FROM audit_seal \
                   ORDER BY number DESC LIMIT $1";
        self.seals(sql, Args::with_capacity(1).limit(limit)).await
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
        self.seals(sql, args).await
    }

    /// The seals that may cover events with ids from `from` to `to`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_audit_seals_over(
        &self,
        from: i64,
        to: i64,
    ) -> Result<Vec<AuditSeal>, StoreError> {
        let sql = "SELECT number, made_at, entries, previous, head FROM audit_seal \
                   WHERE to_id >= $1 AND from_id <= $2";
        let args = Args::with_capacity(2).int(from).int(to);
        self.seals(sql, args).await
    }

    async fn seals(&self, sql: &'static str, args: Args) -> Result<Vec<AuditSeal>, StoreError> {
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "audit_seal")))
            .collect()
    }

    /// The events with ids from `from` on, oldest first, about `limit` and a thousand at most.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn audit_page(&self, from: i64, limit: usize) -> Result<AuditPage, StoreError> {
        let limit = limit.min(1000);
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   WHERE id >= $1 ORDER BY id LIMIT $2";
        let args = Args::with_capacity(2).int(from).limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        let mut rows = rows
            .iter()
            .map(|row| read_row(&RowReader::new(row, "audit_event")))
            .collect::<Result<Vec<_>, _>>()?;
        let mut next = None;
        if rows.len() >= limit
            && let Some(last) = rows.last().map(|row| row.id)
        {
            // There may be more with the last id: they come together.
            next = Some(match rows.first() {
                Some(first) if first.id < last => last,
                _ => last.saturating_add(1),
            });
            rows.retain(|row| row.id < next.unwrap_or(i64::MAX));
        }
        Ok(AuditPage { rows, next })
    }

    /// Adds a seal behind the one that it was made behind; false when that is not the last one, or not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_audit_seal(&self, seal: AuditSeal) -> Result<bool, StoreError> {
        let entries = entries_text(&seal.entries);
        self.write((seal, entries), |conn, (seal, entries)| {
            Box::pin(async move {
                let sql = "SELECT head FROM audit_seal WHERE number = $1";
                let args = Args::with_capacity(1).int(seal.number - 1);
                let previous = conn.fetch_optional(sql, args).await?;
                let previous = match &previous {
                    Some(row) => RowReader::new(row, "audit_seal").text(0)?,
                    None => "",
                };
                if previous != seal.previous || (seal.number > 1 && previous.is_empty()) {
                    return Ok(false);
                }
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

    /// Deletes the first seals that were made before `before` and whose events are all gone, at most `limit`. The last of these
    /// stays: it shows that what was before it was older still.
    ///
    /// # Errors
    /// When they cannot be read or deleted.
    pub async fn purge_audit_seals(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT MIN(id) FROM audit_event";
        let oldest = match self.fetch_optional(sql, Args::default()).await? {
            Some(row) => RowReader::new(&row, "audit_event").optional_int(0)?,
            None => None,
        };
        let Some(oldest) = oldest else {
            return Ok(0);
        };
        // Found without the writer, which others wait for.
        let sql = "SELECT number, made_at, to_id FROM audit_seal ORDER BY number LIMIT $1";
        let args = Args::with_capacity(1).limit(limit.saturating_add(1));
        let mut last = None;
        for row in &self.fetch_all(sql, args).await? {
            let row = RowReader::new(row, "audit_seal");
            if row.time(1)? >= before || row.int(2)? >= oldest {
                break;
            }
            last = Some(row.int(0)?);
        }
        let Some(last) = last else {
            return Ok(0);
        };
        let gone = self
            .write(last, |conn, last| {
                Box::pin(async move {
                    let sql = "DELETE FROM audit_seal WHERE number < $1";
                    conn.execute(sql, Args::with_capacity(1).int(*last)).await
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

/// The smallest id of an event at `at`.
pub fn first_audit_event_id(at: Timestamp) -> i64 {
    event_id::first(at)
}

fn read_row(row: &RowReader<'_>) -> Result<AuditRow, StoreError> {
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
