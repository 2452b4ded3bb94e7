use base::{Digest, Timestamp, base64url};
use domain::{
    AuditEvent, ClientAuthentication, ClientId, FamilyEnd, GrantId, RefreshToken, ServerSlug,
    TokenFamily, UserId,
};
use wire::oauth::ScopeSet;

use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::job::Gated;
use crate::lookup::Lookup;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError, clients, withheld};

static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO refresh_token (digest, family_id, generation, expires_at) VALUES",
    4,
    "",
);

/// Writes a refresh token that is not spent yet.
pub(crate) fn insert_later(conn: &mut Conn, token: &RefreshToken) {
    let row = Args::with_capacity(4)
        .digest(&token.digest)
        .text(token.family.as_str())
        .int(token.generation)
        .time(token.expires_at);
    conn.insert_later(&INSERT, row);
}

/// A refresh token with what the token endpoint must know besides.
#[derive(Debug, Clone)]
pub struct FoundRefreshToken {
    /// The token; `spent` has the salt of its successor.
    pub token: RefreshToken,
    /// Its family.
    pub family: TokenFamily,
    /// Whether the token it was exchanged for has been exchanged in its turn.
    pub successor_used: bool,
    /// Whether the person was disabled or is gone.
    pub user_disabled: bool,
    /// Whether the client was disabled or is gone; never said of one with a metadata document, which is kept
    /// elsewhere.
    pub client_disabled: bool,
    /// How the client proves itself, as far as this table knows it.
    pub client_authentication: Option<ClientAuthentication>,
}

/// What [`Store::rotate_refresh_token`] writes.
#[derive(Debug, Clone)]
pub struct RotateRefreshToken {
    /// The token that was presented.
    pub digest: Digest,
    /// What the successor was computed from, to compute it again for a repeat.
    pub salt: Vec<u8>,
    /// The next one.
    pub successor: RefreshToken,
    /// The present moment; an expired token is unknown.
    pub now: Timestamp,
    /// Written only when the token was fresh.
    pub event: AuditEvent,
}

/// What came of rotating a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// It is spent now, and the successor is good.
    Fresh,
    /// It was spent before; look again for its salt. Nothing changed.
    AlreadySpent,
    /// Its family was ended or is over. Nothing changed.
    FamilyEnded,
    /// No such token, or its time is over. Nothing changed.
    Unknown,
}

/// What [`Store::end_family`] writes.
#[derive(Debug, Clone)]
pub struct EndFamily {
    /// The family.
    pub family: GrantId,
    /// Why.
    pub reason: FamilyEnd,
    /// When the last access token of the family has expired, so that the feed may forget it.
    pub revocation_until: Timestamp,
    /// The present moment.
    pub now: Timestamp,
    /// Written only when the family had not been ended before.
    pub event: AuditEvent,
}

impl Conn {
    /// Ends a token family, unless it was ended before; says whether this did it. A transaction that wrote anything before
    /// began with [`Conn::wait_for_other_changes`].
    pub(crate) async fn end_family(
        &mut self,
        family: &GrantId,
        reason: FamilyEnd,
        now: Timestamp,
        revocation_until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "UPDATE token_family SET ended_at = $2, end_reason = $3, revocation_until = $4, \
                   revoked_change = (SELECT counter + 1 FROM change WHERE id = 1) \
                   WHERE id = $1 AND ended_at IS NULL";
        let args = Args::with_capacity(4)
            .text(family.as_str())
            .time(now)
            .text(reason.as_str())
            .time(revocation_until);
        if self.execute(sql, args).await? == 0 {
            return Ok(false);
        }
        self.count_change().await?;
        Ok(true)
    }
}

impl Store {
    /// The refresh token of this digest with its family.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_refresh_token(
        &self,
        digest: Digest,
    ) -> Result<Option<FoundRefreshToken>, StoreError> {
        let row = self.find(&FIND, &digest.to_text()).await?;
        row.map(|row| read(&RowReader::new(&row, "refresh_token")))
            .transpose()
    }

    /// Spends a refresh token for its successor.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn rotate_refresh_token(
        &self,
        rotate: RotateRefreshToken,
    ) -> Result<Rotated, StoreError> {
        refuse_nul(&[("detail", &rotate.event.detail)])?;
        let work = Gated {
            gate: &ROTATE,
            key: |(key, _): &(String, RotateRefreshToken)| Some(key),
            row: |(key, rotate)| {
                Args::with_capacity(4)
                    .text(key)
                    .time(rotate.now)
                    .text(&base64url(&rotate.salt))
                    .digest(&rotate.successor.digest)
            },
            then: |conn, (key, rotate), passed| {
                Box::pin(async move {
                    if !passed {
                        return why_not_rotated(conn, key, rotate.now).await;
                    }
                    insert_later(conn, &rotate.successor);
                    conn.record(&rotate.event);
                    Ok(Rotated::Fresh)
                })
            },
        };
        self.write_gated((rotate.digest.to_text(), rotate), work)
            .await
    }

    /// Ends a token family, if it was not ended before, and says whether it was this call that did.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_family(&self, end: EndFamily) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &end.event.detail)])?;
        self.write(end, |conn, end| {
            Box::pin(async move {
                let ended = conn.end_family(&end.family, end.reason, end.now, end.revocation_until);
                if !ended.await? {
                    return Ok(false);
                }
                conn.record(&end.event);
                Ok(true)
            })
        })
        .await
    }

    /// The families that were ended by a later change than this one (-1 for all), while access tokens of theirs may still
    /// live: the MCP server of each, and the moment it may be forgotten. Those that a release before this one ended come
    /// each time. Those of people who were deleted are not among them: the feed names the person.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_revoked_grants(
        &self,
        after_change: i64,
        now: Timestamp,
    ) -> Result<Vec<(ServerSlug, GrantId, Timestamp)>, StoreError> {
        let mut revoked = Vec::new();
        // A page at a time: a busy authority has very many of them, and a row takes far more than what is in it.
        for (sql, mut change) in [(REVOKED, after_change + 1), (REVOKED_BEFORE, 0)] {
            let mut id = String::new();
            loop {
                let args = Args::with_capacity(4)
                    .time(now)
                    .int(change)
                    .text(&id)
                    .int(PAGE);
                let rows = self.fetch_all(sql, args).await?;
                for row in &rows {
                    let row = RowReader::new(row, "token_family");
                    let server = row.parse(2, |text| ServerSlug::parse(text).ok())?;
                    revoked.push((server, GrantId::from_text(row.text(0)?), row.time(1)?));
                }
                let last = rows.last().filter(|_| rows.len() == PAGE_ROWS);
                let Some(last) = last else {
                    break;
                };
                let last = RowReader::new(last, "token_family");
                (id, change) = (last.text(0)?.to_owned(), last.int(3)?);
            }
        }
        Ok(revoked)
    }
}

/// How many revoked grants are read at once.
const PAGE_ROWS: usize = 1000;
const PAGE: i64 = 1000;

macro_rules! revoked {
    ($which:literal) => {
        concat!(
            "SELECT id, revocation_until, server, COALESCE(revoked_change, 0) FROM token_family \
             WHERE revocation_until IS NOT NULL AND revocation_until > $1 AND ",
            $which,
            " AND NOT EXISTS (SELECT 1 FROM deleted_user d WHERE d.id = token_family.user_id) \
             ORDER BY revoked_change, id LIMIT $4"
        )
    };
}

const REVOKED: &str = revoked!(
    "revoked_change IS NOT NULL AND revoked_change >= $2 AND (revoked_change > $2 OR id > $3)"
);

/// Of a release that did not write which change it was.
const REVOKED_BEFORE: &str = revoked!("revoked_change IS NULL AND $2 = 0 AND id > $3");

static ROTATE: BulkStatement = BulkStatement::new(
    "UPDATE refresh_token SET spent_at = v.column2, salt = v.column3, successor = v.column4 FROM (VALUES",
    4,
    ") AS v WHERE refresh_token.digest = v.column1 \
     AND refresh_token.spent_at IS NULL AND refresh_token.expires_at > v.column2 \
     AND EXISTS (SELECT 1 FROM token_family f WHERE f.id = refresh_token.family_id \
                 AND f.ended_at IS NULL AND f.expires_at > v.column2) \
     RETURNING digest",
);

static FIND: Lookup = Lookup::new(
    "SELECT t.digest, t.family_id, t.generation, t.expires_at, t.spent_at, t.salt, s.spent_at, \
     f.server, f.client_id, f.user_id, f.scopes, f.authenticated_at, f.created_at, f.expires_at, \
     f.ended_at, f.end_reason, u.id, k.authentication, f.withheld, f.redirect_uri \
     FROM refresh_token t \
     JOIN token_family f ON f.id = t.family_id \
     LEFT JOIN refresh_token s ON s.digest = t.successor \
     LEFT JOIN app_user u ON u.id = f.user_id AND u.disabled_at IS NULL \
     LEFT JOIN client k ON k.id = f.client_id AND k.disabled_at IS NULL \
     WHERE t.digest IN",
);

async fn why_not_rotated(
    conn: &mut Conn,
    key: &str,
    now: Timestamp,
) -> Result<Rotated, StoreError> {
    let sql = "SELECT t.digest, t.expires_at, t.spent_at, f.expires_at, f.ended_at FROM refresh_token t \
               JOIN token_family f ON f.id = t.family_id WHERE t.digest = $1";
    let args = Args::with_capacity(1).text(key);
    let Some(row) = conn.fetch_optional(sql, args).await? else {
        return Ok(Rotated::Unknown);
    };
    let row = RowReader::new(&row, "refresh_token");
    Ok(if !row.is_null(4)? || row.time(3)? <= now {
        Rotated::FamilyEnded
    } else if !row.is_null(2)? {
        Rotated::AlreadySpent
    } else {
        Rotated::Unknown
    })
}

fn read(row: &RowReader<'_>) -> Result<FoundRefreshToken, StoreError> {
    let spent = match (row.optional_time(4)?, row.optional_bytes(5)?) {
        (None, None) => None,
        (Some(at), Some(salt)) => Some((at, salt)),
        _ => return Err(row.corrupt("spent_at and salt come together")),
    };
    let ended = match row.optional_time(14)? {
        None => None,
        Some(at) => Some((at, row.parse(15, FamilyEnd::parse)?)),
    };
    let family = GrantId::from_text(row.text(1)?);
    let client = ClientId::from_text(row.text(8)?);
    Ok(FoundRefreshToken {
        client_disabled: row.is_null(17)? && !client.is_metadata_document(),
        client_authentication: clients::authentication(row, 17)?,
        token: RefreshToken {
            digest: row.digest(0)?,
            family: family.clone(),
            generation: row.int(2)?,
            expires_at: row.time(3)?,
            spent,
        },
        family: TokenFamily {
            id: family,
            server: row.parse(7, |text| ServerSlug::parse(text).ok())?,
            client,
            user: UserId::from_text(row.text(9)?),
            redirect_uri: row.optional_text(19)?.map(str::to_owned),
            scopes: ScopeSet::parse_lenient(row.text(10)?),
            withheld: withheld::from_column(row, 18)?,
            authenticated_at: row.time(11)?,
            created_at: row.time(12)?,
            expires_at: row.time(13)?,
            ended,
        },
        successor_used: !row.is_null(6)?,
        user_disabled: row.is_null(16)?,
    })
}
