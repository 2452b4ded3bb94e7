use base::Timestamp;
use domain::{CallDecision, CallRecord};
use sqlx::any::AnyRow;

use super::row::{read, select_calls};
use crate::values::{Args, RowReader};
use crate::{ActivityLog, StoreError, event_id};

/// How many calls one look goes through: so few that no statement takes long, however many calls there are.
const LOOK_ROWS: i64 = 5000;

/// Which calls are asked for. By default all of them.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Those that began at this moment or later.
    pub since: Option<Timestamp>,
    /// Those that began before this moment.
    pub until: Option<Timestamp>,
    /// Those of this MCP server, by its slug.
    pub server: Option<String>,
    /// Those on behalf of this subject.
    pub subject: Option<String>,
    /// Those of this client.
    pub client: Option<String>,
    /// Those that the policy denied, asked more scope for, or would have denied if it were enforced.
    pub denied: bool,
}

/// What one look through the log found.
#[derive(Debug)]
pub struct CallPage {
    /// The calls, in the order of the look. There may be none though others follow.
    pub calls: Vec<CallRecord>,
    /// Where the next look begins; nothing when this was the last.
    pub next: Option<CallPlace>,
}

/// Where a look through the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPlace(i64);

impl CallFilter {
    /// Ids from the first one on, and below the second one.
    fn range(&self) -> (i64, i64) {
        let since = self.since.map_or(0, event_id::first);
        (since, self.until.map_or(i64::MAX, event_id::first))
    }

    /// The ids from `from` on and below `below`, and what else is asked.
    fn args(&self, from: i64, below: i64) -> Args {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Args::with_capacity(6)
            .int(from)
            .int(below)
            .text(&text(&self.server))
            .text(&text(&self.subject))
            .text(&text(&self.client))
            .int(i64::from(self.denied))
    }
}

impl ActivityLog {
    /// Looks through the calls from `from` on (nothing: from the beginning), oldest first. What is written meanwhile may be
    /// found or not; what was there before is.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn look(
        &self,
        filter: &CallFilter,
        from: Option<CallPlace>,
    ) -> Result<CallPage, StoreError> {
        let (since, until) = filter.range();
        let from = from.map_or(since, |place| place.0);
        let end =
            "SELECT id FROM call_record WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1 OFFSET $3";
        let end = self.edge(end, from, until).await?;
        // An id stands twice when two nodes gave it; both are before the edge or both are behind it.
        let below = end.map_or(until, |end| end.saturating_add(1));
        let sql = select_calls!(
            "WHERE id >= $1 AND id < $2 AND ($3 = '' OR server = $3) AND ($4 = '' OR subject = $4) \
             AND ($5 = '' OR client_id = $5) AND ($6 = 0 OR outcome IN ('denied', 'needs_scope') \
             OR decision IN ('denied', 'needs_scope', 'would_be_denied')) ORDER BY id"
        );
        let rows = self.database().fetch_all(sql, filter.args(from, below));
        Ok(CallPage {
            calls: calls(&rows.await?)?,
            next: end.map(|_| CallPlace(below)),
        })
    }

    /// Looks through the calls before `before` (nothing: from the end), newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn look_back(
        &self,
        filter: &CallFilter,
        before: Option<CallPlace>,
    ) -> Result<CallPage, StoreError> {
        let (since, until) = filter.range();
        let before = before.map_or(until, |place| place.0);
        let end = "SELECT id FROM call_record WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT 1 OFFSET $3";
        let end = self.edge(end, since, before).await?;
        let sql = select_calls!(
            "WHERE id >= $1 AND id < $2 AND ($3 = '' OR server = $3) AND ($4 = '' OR subject = $4) \
             AND ($5 = '' OR client_id = $5) AND ($6 = 0 OR outcome IN ('denied', 'needs_scope') \
             OR decision IN ('denied', 'needs_scope', 'would_be_denied')) ORDER BY id DESC"
        );
        let args = filter.args(end.unwrap_or(since), before);
        let rows = self.database().fetch_all(sql, args);
        Ok(CallPage {
            calls: calls(&rows.await?)?,
            next: end.map(CallPlace),
        })
    }

    /// How many calls of `server` there were of each decision from `from` on, as far as one look goes, and where the next
    /// one begins.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn count_decisions(
        &self,
        server: &str,
        filter: &CallFilter,
        from: Option<CallPlace>,
    ) -> Result<(Vec<(CallDecision, u64)>, Option<CallPlace>), StoreError> {
        let (since, until) = filter.range();
        let from = from.map_or(since, |place| place.0);
        let end =
            "SELECT id FROM call_record WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1 OFFSET $3";
        let end = self.edge(end, from, until).await?;
        let below = end.map_or(until, |end| end.saturating_add(1));
        let sql = "SELECT decision, COUNT(*) FROM call_record WHERE id >= $1 AND id < $2 AND server = $3 \
                   AND decision IS NOT NULL GROUP BY decision";
        let args = Args::with_capacity(3).int(from).int(below).text(server);
        let rows = self.database().fetch_all(sql, args).await?;
        let counts: Result<Vec<_>, StoreError> = rows
            .iter()
            .map(|row| {
                let row = RowReader::new(row, "call_record");
                let count = row.int(1)?.unsigned_abs();
                Ok(CallDecision::parse(row.text(0)?).map(|decision| (decision, count)))
            })
            .collect();
        let counts = counts?.into_iter().flatten().collect();
        Ok((counts, end.map(|_| CallPlace(below))))
    }

    /// The last id of one look.
    async fn edge(
        &self,
        sql: &'static str,
        from: i64,
        below: i64,
    ) -> Result<Option<i64>, StoreError> {
        let args = Args::with_capacity(3)
            .int(from)
            .int(below)
            .int(LOOK_ROWS - 1);
        let row = self.database().fetch_optional(sql, args).await?;
        row.map(|row| RowReader::new(&row, "call_record").int(0))
            .transpose()
    }
}

fn calls(rows: &[AnyRow]) -> Result<Vec<CallRecord>, StoreError> {
    rows.iter()
        .map(|row| read(&RowReader::new(row, "call_record")))
        .collect()
}
