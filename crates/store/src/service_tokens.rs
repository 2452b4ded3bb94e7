use base::{Digest, Timestamp};
use domain::{
    AuditEvent, ClientId, FamilyEnd, GrantId, ServerSlug, ServiceGrant, ServiceToken,
    ServiceTokenId, UserId,
};
use wire::oauth::ScopeSet;

use crate::lookup::Lookup;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What came of making a service token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertServiceToken {
    /// It is kept.
    Inserted,
    /// Its owner has as many as anybody may have at this server.
    TooMany,
}

/// A service token with what its exchange must know besides.
#[derive(Debug, Clone)]
pub struct FoundServiceToken {
    /// The token.
    pub token: ServiceToken,
    /// Whether its grant was ended.
    pub ended: bool,
    /// Whether the person whose rights it has was disabled or is gone; false when it stands for itself.
    pub user_disabled: bool,
}

/// What [`Store::revoke_service_token`] writes.
#[derive(Debug, Clone)]
pub struct RevokeServiceToken {
    /// The token.
    pub id: ServiceTokenId,
    /// When given, only a token of this person.
    pub owner: Option<UserId>,
    /// When its last access token has expired, so that the feed may forget it.
    pub revocation_until: Timestamp,
    /// The present moment.
    pub now: Timestamp,
    /// Written only when it was not revoked before.
    pub event: AuditEvent,
}

static FIND: Lookup = Lookup::new(
    "SELECT t.digest, t.id, t.server, t.user_id, t.name, t.scopes, t.grant_id, t.created_at, t.expires_at, \
     t.revoked_at, f.id, u.id \
     FROM service_token t \
     LEFT JOIN token_family f ON f.id = t.grant_id AND f.ended_at IS NULL \
     LEFT JOIN app_user u ON u.id = t.user_id AND u.disabled_at IS NULL \
     WHERE t.digest IN",
);

impl Store {
    /// Keeps a service token and its grant, unless its owner has `live_max` at this server already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_service_token(
        &self,
        token: &ServiceToken,
        live_max: i64,
        event: AuditEvent,
    ) -> Result<InsertServiceToken, StoreError> {
        refuse_nul(&[("name", &token.name), ("detail", &event.detail)])?;
        let data = (token.clone(), live_max, event);
        self.write(data, |conn, (token, live_max, event)| {
            Box::pin(async move {
                // Whoever makes one at the same time counts it.
                conn.wait_for_other_changes().await?;
                let user = token.user.as_ref().map(UserId::as_str);
                // IS NOT DISTINCT FROM is spelled differently on the two databases; an id is never empty.
                let sql = "SELECT COUNT(*) FROM service_token WHERE server = $1 \
                           AND COALESCE(user_id, '') = $2 AND revoked_at IS NULL AND expires_at > $3";
                let args = Args::with_capacity(3)
                    .text(token.server.as_str())
                    .text(user.unwrap_or_default())
                    .time(token.created_at);
                let live = match conn.fetch_optional(sql, args).await? {
                    Some(row) => RowReader::new(&row, "service_token").int(0)?,
                    None => 0,
                };
                if live >= *live_max {
                    return Ok(InsertServiceToken::TooMany);
                }
                let sql = "INSERT INTO service_token \
                           (id, digest, server, user_id, name, scopes, grant_id, created_at, expires_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                let args = Args::with_capacity(9)
                    .text(token.id.as_str())
                    .digest(&token.digest)
                    .text(token.server.as_str())
                    .optional_text(user)
                    .text(&token.name)
                    .text(&token.scopes.to_string())
                    .text(token.grant.as_str())
                    .time(token.created_at)
                    .time(token.expires_at);
                conn.execute(sql, args).await?;
                let grant = ServiceGrant {
                    id: token.grant.clone(),
                    server: token.server.clone(),
                    client: ClientId::from_text(token.id.as_str()),
                    subject: token.subject().to_owned(),
                    scopes: token.scopes.clone(),
                    withheld: Vec::new(),
                    created_at: token.created_at,
                    expires_at: token.expires_at,
                };
                conn.insert_service_grant(&grant, None);
                conn.record(event);
                Ok(InsertServiceToken::Inserted)
            })
        })
        .await
    }

    /// The service token of this digest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_service_token(
        &self,
        digest: Digest,
    ) -> Result<Option<FoundServiceToken>, StoreError> {
        let Some(row) = self.find(&FIND, &digest.to_text()).await? else {
            return Ok(None);
        };
        let row = RowReader::new(&row, "service_token");
        let token = read(&row)?;
        Ok(Some(FoundServiceToken {
            ended: row.is_null(10)?,
            user_disabled: token.user.is_some() && row.is_null(11)?,
            token,
        }))
    }

    /// Service tokens behind `after`, by id: of one server, of one person, or all.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_service_tokens(
        &self,
        server: Option<&ServerSlug>,
        user: Option<&UserId>,
        after: Option<&ServiceTokenId>,
        limit: usize,
    ) -> Result<Vec<ServiceToken>, StoreError> {
        let sql = "SELECT digest, id, server, user_id, name, scopes, grant_id, created_at, expires_at, revoked_at \
                   FROM service_token WHERE ($1 = '' OR server = $1) AND ($2 = '' OR user_id = $2) AND id > $3 \
                   ORDER BY id LIMIT $4";
        let args = Args::with_capacity(4)
            .text(server.map_or("", ServerSlug::as_str))
            .text(user.map_or("", UserId::as_str))
            .text(after.map_or("", ServiceTokenId::as_str))
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "service_token")))
            .collect()
    }

    /// Revokes a service token and ends its grant; false when there is none to revoke.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn revoke_service_token(
        &self,
        revoke: RevokeServiceToken,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &revoke.event.detail)])?;
        self.write(revoke, |conn, revoke| {
            Box::pin(async move {
                conn.wait_for_other_changes().await?;
                let sql = "UPDATE service_token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL \
                           AND ($3 = '' OR user_id = $3) RETURNING id, grant_id";
                let args = Args::with_capacity(3)
                    .text(revoke.id.as_str())
                    .time(revoke.now)
                    .text(revoke.owner.as_ref().map_or("", UserId::as_str));
                let Some(row) = conn.fetch_optional(sql, args).await? else {
                    return Ok(false);
                };
                let grant = GrantId::from_text(RowReader::new(&row, "service_token").text(1)?);
                conn.end_family(
                    &grant,
                    FamilyEnd::Revoked,
                    revoke.now,
                    revoke.revocation_until,
                )
                .await?;
                conn.record(&revoke.event);
                Ok(true)
            })
        })
        .await
    }
}

fn read(row: &RowReader<'_>) -> Result<ServiceToken, StoreError> {
    Ok(ServiceToken {
        digest: row.digest(0)?,
        id: ServiceTokenId::from_text(row.text(1)?),
        server: row.parse(2, |text| ServerSlug::parse(text).ok())?,
        user: row.optional_text(3)?.map(UserId::from_text),
        name: row.text(4)?.to_owned(),
        scopes: ScopeSet::parse_lenient(row.text(5)?),
        grant: GrantId::from_text(row.text(6)?),
        created_at: row.time(7)?,
        expires_at: row.time(8)?,
        revoked_at: row.optional_time(9)?,
    })
}
