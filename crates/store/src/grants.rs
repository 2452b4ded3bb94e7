//! The grants that are in force, whoever holds them, and their end.

use base::Timestamp;
use domain::{AuditEvent, ClientId, FamilyEnd, GrantId, ServerSlug};
use wire::oauth::ScopeSet;

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// A grant in force: what a person approved for a client, or what a machine was given for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// Its id, the `grant_id` of its tokens.
    pub id: GrantId,
    /// The MCP server.
    pub server: ServerSlug,
    /// To whom.
    pub client: ClientId,
    /// The client's name, when it is a registered one.
    pub client_name: Option<String>,
    /// The `sub`: a person, or the machine itself.
    pub subject: String,
    /// The person's e-mail address, when it is a person's.
    pub email: Option<String>,
    /// What was approved.
    pub scopes: ScopeSet,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends however much it is used.
    pub expires_at: Timestamp,
}

/// Which grants.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrantFilter<'a> {
    /// Those at this MCP server.
    pub server: Option<&'a ServerSlug>,
    /// Those of this `sub`.
    pub subject: Option<&'a str>,
    /// Those of this client.
    pub client: Option<&'a ClientId>,
}

/// What came of revoking a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantRevoked {
    /// It has ended: of this `sub`, for this client.
    Revoked {
        /// The MCP server.
        server: ServerSlug,
        /// Whose it was.
        subject: String,
        /// Which client had it.
        client: ClientId,
    },
    /// It had ended before.
    EndedBefore,
    /// There is no such grant.
    Unknown,
}

impl Conn {
    async fn revoke_grant(
        &mut self,
        grant: &GrantId,
        revocation_until: Timestamp,
        event: &AuditEvent,
    ) -> Result<GrantRevoked, StoreError> {
        self.wait_for_other_changes().await?;
        let sql = "SELECT id, server, client_id, user_id FROM token_family WHERE id = $1";
        let args = Args::with_capacity(1).text(grant.as_str());
        let Some(row) = self.fetch_optional(sql, args).await? else {
            return Ok(GrantRevoked::Unknown);
        };
        let row = RowReader::new(&row, "token_family");
        let server = row.parse(1, |text| ServerSlug::parse(text).ok())?;
        let (client, subject) = (ClientId::from_text(row.text(2)?), row.text(3)?.to_owned());
        let ending = self.end_family(grant, FamilyEnd::Revoked, event.at, revocation_until);
        if !ending.await? {
            return Ok(GrantRevoked::EndedBefore);
        }
        // Or the client would have the same again without a question.
        let sql =
            "DELETE FROM client_consent WHERE user_id = $1 AND server = $2 AND client_id = $3";
        let args = Args::with_capacity(3)
            .text(&subject)
            .text(server.as_str())
            .text(client.as_str());
        self.execute(sql, args).await?;
        self.record(&AuditEvent {
            server: Some(server.clone()),
            grant: Some(grant.clone()),
            detail: format!("{}: of {subject} for {client}", event.detail),
            ..event.clone()
        });
        Ok(GrantRevoked::Revoked {
            server,
            subject,
            client,
        })
    }
}

impl Store {
    /// The grants in force behind `after`, by id, which is the order in which they were given.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_live_grants(
        &self,
        filter: GrantFilter<'_>,
        now: Timestamp,
        after: Option<&GrantId>,
        limit: usize,
    ) -> Result<Vec<LiveGrant>, StoreError> {
        let sql = "SELECT f.id, f.server, f.client_id, f.user_id, f.scopes, f.created_at, f.expires_at, k.name, u.email \
                   FROM token_family f LEFT JOIN client k ON k.id = f.client_id AND k.server = f.server \
                   LEFT JOIN app_user u ON u.id = f.user_id \
                   WHERE f.id > $1 AND f.ended_at IS NULL AND f.expires_at > $2 AND ($3 = '' OR f.server = $3) \
                   AND ($4 = '' OR f.user_id = $4) AND ($5 = '' OR f.client_id = $5) ORDER BY f.id LIMIT $6";
        let args = Args::with_capacity(6)
            .text(after.map_or("", GrantId::as_str))
            .time(now)
            .text(filter.server.map_or("", ServerSlug::as_str))
            .text(filter.subject.unwrap_or(""))
            .text(filter.client.map_or("", ClientId::as_str))
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "token_family");
                Ok(LiveGrant {
                    id: GrantId::from_text(row.text(0)?),
                    server: row.parse(1, |text| ServerSlug::parse(text).ok())?,
                    client: ClientId::from_text(row.text(2)?),
                    subject: row.text(3)?.to_owned(),
                    scopes: ScopeSet::parse_lenient(row.text(4)?),
                    created_at: row.time(5)?,
                    expires_at: row.time(6)?,
                    client_name: row.optional_text(7)?.map(str::to_owned),
                    email: row.optional_text(8)?.map(str::to_owned),
                })
            })
            .collect()
    }

    /// Ends a grant, and forgets the consent that it came of. Who does it is in `event`, which gets whose grant it was for
    /// its detail.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn revoke_grant(
        &self,
        grant: &GrantId,
        revocation_until: Timestamp,
        event: AuditEvent,
    ) -> Result<GrantRevoked, StoreError> {
        refuse_nul(&[("grant", grant.as_str()), ("detail", &event.detail)])?;
        let data = (grant.clone(), revocation_until, event);
        self.write(data, |conn, (grant, until, event)| {
            Box::pin(conn.revoke_grant(grant, *until, event))
        })
        .await
    }
}
