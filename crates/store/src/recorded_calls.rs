//! What a replay of calls needs: who called which tool through which client, and with what scopes they may come again.

use base::Timestamp;
use domain::ServerSlug;
use wire::oauth::ScopeSet;

use crate::values::{Args, RowReader};
use crate::{ActivityLog, Store, StoreError, event_id};

/// How many of the newest calls are looked at.
const LOOKED_AT_MAX: i64 = 200_000;
/// How many kinds of calls are told apart, the most frequent ones.
const KINDS_MAX: i64 = 5_000;
/// How many grants are looked at for scopes, the newest ones.
const GRANTS_MAX: i64 = 20_000;

/// The calls of tools at one server, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedCalls {
    /// The most frequent first.
    pub calls: Vec<RecordedCall>,
    /// From when on calls were looked at, when there were more than are looked at.
    pub cut_at: Option<Timestamp>,
    /// How many calls of rarer kinds there are beside them.
    pub rarer: i64,
}

/// Calls of one tool, on behalf of one subject, through one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The `sub` of the token.
    pub subject: String,
    /// Its `client_id`.
    pub client: String,
    /// The tool.
    pub tool: String,
    /// How often.
    pub count: i64,
}

/// What a live grant has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldScopes {
    /// On whose behalf.
    pub subject: String,
    /// Whose.
    pub client: String,
    /// Where the code was sent, when that is known.
    pub redirect_uri: Option<String>,
    /// As approved.
    pub scopes: ScopeSet,
}

impl ActivityLog {
    /// The calls of tools with a valid token at a server since `since`, among the newest of all that are in the log.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn count_recorded_calls(
        &self,
        server: &ServerSlug,
        since: Timestamp,
    ) -> Result<RecordedCalls, StoreError> {
        let database = self.database();
        let sql = "SELECT id FROM call_record WHERE id >= $1 ORDER BY id DESC LIMIT 1 OFFSET $2";
        let first = event_id::first(since);
        let args = Args::with_capacity(2).int(first).int(LOOKED_AT_MAX);
        let cut = database.fetch_optional(sql, args).await?;
        let cut = cut
            .map(|row| RowReader::new(&row, "call_record").int(0))
            .transpose()?;
        let sql = "SELECT subject, client_id, name, COUNT(*), CAST(SUM(COUNT(*)) OVER () AS BIGINT) FROM call_record \
                   WHERE id > $1 AND server = $2 AND method = 'tools/call' AND subject IS NOT NULL \
                   AND client_id IS NOT NULL AND name IS NOT NULL \
                   GROUP BY subject, client_id, name ORDER BY 4 DESC, 1, 2, 3 LIMIT $3";
        let args = Args::with_capacity(3)
            .int(cut.unwrap_or(first - 1))
            .text(server.as_str())
            .int(KINDS_MAX);
        let rows = database.fetch_all(sql, args).await?;
        let mut all = 0;
        let calls = rows.iter().map(|row| {
            let row = RowReader::new(row, "call_record");
            // A sum over all groups, also those behind the limit.
            all = row.int(4)?;
            Ok(RecordedCall {
                subject: row.text(0)?.to_owned(),
                client: row.text(1)?.to_owned(),
                tool: row.text(2)?.to_owned(),
                count: row.int(3)?,
            })
        });
        let calls = calls.collect::<Result<Vec<_>, StoreError>>()?;
        let told: i64 = calls.iter().map(|one| one.count).sum();
        Ok(RecordedCalls {
            calls,
            cut_at: cut.map(event_id::time),
            rarer: all - told,
        })
    }
}

impl Store {
    /// What the live grants at a server have, the newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list_held_scopes(
        &self,
        server: &ServerSlug,
        now: Timestamp,
    ) -> Result<Vec<HeldScopes>, StoreError> {
        let sql = "SELECT user_id, client_id, scopes, redirect_uri FROM token_family \
                   WHERE server = $1 AND ended_at IS NULL AND expires_at > $2 \
                   ORDER BY created_at DESC LIMIT $3";
        let args = Args::with_capacity(3)
            .text(server.as_str())
            .time(now)
            .int(GRANTS_MAX);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "token_family");
                Ok(HeldScopes {
                    subject: row.text(0)?.to_owned(),
                    client: row.text(1)?.to_owned(),
                    scopes: ScopeSet::parse_lenient(row.text(2)?),
                    redirect_uri: row.optional_text(3)?.map(str::to_owned),
                })
            })
            .collect()
    }
}
