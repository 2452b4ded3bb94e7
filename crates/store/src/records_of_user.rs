//! What is kept about one person, page by page, for whoever has to hand it to them.

use base::Timestamp;
use domain::{
    Client, ClientId, ClientTrust, Consent, FamilyEnd, GrantId, ServerSlug, SessionId, TokenFamily,
    UserId,
};
use wire::oauth::ScopeSet;

use crate::values::{Args, RowReader};
use crate::{Store, StoreError, StoredAuditEvent, audit, client_trust, clients, withheld};

/// A sign-in with a browser, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRecord {
    /// The session's public id.
    pub id: SessionId,
    /// When the person proved who they are.
    pub authenticated_at: Timestamp,
    /// When it ends however much it is used.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

impl Store {
    /// The sign-ins of a person behind `after`, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_sign_ins_of(
        &self,
        user: &UserId,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SignInRecord>, StoreError> {
        let sql = "SELECT id, authenticated_at, expires_at, ended_at FROM login_session \
                   WHERE id > $1 AND user_id = $2 ORDER BY id LIMIT $3";
        let args = behind(after.map_or("", SessionId::as_str), user, limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "login_session");
                Ok(SignInRecord {
                    id: SessionId::from_text(row.text(0)?),
                    authenticated_at: row.time(1)?,
                    expires_at: row.time(2)?,
                    ended_at: row.optional_time(3)?,
                })
            })
            .collect()
    }

    /// What a person approved and has not taken back, behind `after`, by server, client and return address.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list_consents_of(
        &self,
        user: &UserId,
        after: Option<&Consent>,
        limit: usize,
    ) -> Result<Vec<Consent>, StoreError> {
        let sql = "SELECT server, client_id, redirect_uri, scopes, approved_at FROM client_consent \
                   WHERE user_id = $1 AND (server > $2 OR (server = $2 AND (client_id > $3 \
                   OR (client_id = $3 AND redirect_uri > $4)))) \
                   ORDER BY server, client_id, redirect_uri LIMIT $5";
        let (server, client, redirect_uri) = after.map_or(("", "", ""), |consent| {
            (
                consent.server.as_str(),
                consent.client.as_str(),
                consent.redirect_uri.as_str(),
            )
        });
        let args = Args::with_capacity(5)
            .text(user.as_str())
            .text(server)
            .text(client)
            .text(redirect_uri)
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "client_consent");
                Ok(Consent {
                    user: user.clone(),
                    server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
                    client: ClientId::from_text(row.text(1)?),
                    redirect_uri: row.text(2)?.to_owned(),
                    scopes: ScopeSet::parse_lenient(row.text(3)?),
                    approved_at: row.time(4)?,
                })
            })
            .collect()
    }

    /// The token families on behalf of a person behind `after`, by id; those of their service tokens too.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_families_of(
        &self,
        user: &UserId,
        after: Option<&GrantId>,
        limit: usize,
    ) -> Result<Vec<TokenFamily>, StoreError> {
        let sql = "SELECT id, server, client_id, scopes, withheld, authenticated_at, created_at, expires_at, \
                   ended_at, end_reason, redirect_uri FROM token_family WHERE id > $1 AND user_id = $2 ORDER BY id LIMIT $3";
        let args = behind(after.map_or("", GrantId::as_str), user, limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "token_family");
                let ended = match row.optional_time(8)? {
                    None => None,
                    Some(at) => Some((at, row.parse(9, FamilyEnd::parse)?)),
                };
                Ok(TokenFamily {
                    id: GrantId::from_text(row.text(0)?),
                    server: row.parse(1, |text| ServerSlug::parse(text).ok())?,
                    client: ClientId::from_text(row.text(2)?),
                    user: user.clone(),
                    redirect_uri: row.optional_text(10)?.map(str::to_owned),
                    scopes: ScopeSet::parse_lenient(row.text(3)?),
                    withheld: withheld::from_column(&row, 4)?,
                    authenticated_at: row.time(5)?,
                    created_at: row.time(6)?,
                    expires_at: row.time(7)?,
                    ended,
                })
            })
            .collect()
    }

    /// The registered clients that a person approved, or that act on their behalf, behind `after`, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_clients_of(
        &self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<Client>, StoreError> {
        let sql = "SELECT id, server, name, redirect_uris, registration, metadata, created_at, disabled_at, \
                   authentication, service_scopes, waiting_since FROM client WHERE id > $1 AND id IN \
                   (SELECT client_id FROM client_consent WHERE user_id = $2 \
                    UNION SELECT client_id FROM token_family WHERE user_id = $2) ORDER BY id LIMIT $3";
        let args = behind(after.map_or("", ClientId::as_str), user, limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| clients::read(&RowReader::new(row, "client")))
            .collect()
    }

    /// What a person asked or decided about clients with a metadata document, behind `after`, by server and client.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list_client_trust_by(
        &self,
        user: &UserId,
        after: Option<&ClientTrust>,
        limit: usize,
    ) -> Result<Vec<ClientTrust>, StoreError> {
        let sql = "SELECT server, client_id, decision, at, user_id FROM client_trust WHERE user_id = $1 \
                   AND (server > $2 OR (server = $2 AND client_id > $3)) ORDER BY server, client_id LIMIT $4";
        let (server, client) = after.map_or(("", ""), |trust| {
            (trust.server.as_str(), trust.client.as_str())
        });
        let args = Args::with_capacity(4)
            .text(user.as_str())
            .text(server)
            .text(client)
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter().map(client_trust::read).collect()
    }

    /// The audit events about a person behind `after` (0: from the beginning), oldest first: those that name them, and
    /// those that name nobody but a grant of theirs.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_audit_events_of(
        &self,
        user: &UserId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredAuditEvent>, StoreError> {
        let sql = "SELECT id, at, kind, server, user_id, client_id, grant_id, detail FROM audit_event \
                   WHERE id > $1 AND (user_id = $2 OR (user_id IS NULL AND EXISTS \
                   (SELECT 1 FROM token_family f WHERE f.id = audit_event.grant_id AND f.user_id = $2))) \
                   ORDER BY id LIMIT $3";
        let args = Args::with_capacity(3)
            .int(after)
            .text(user.as_str())
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| audit::read(&RowReader::new(row, "audit_event")))
            .collect()
    }
}

fn behind(after: &str, user: &UserId, limit: usize) -> Args {
    Args::with_capacity(3)
        .text(after)
        .text(user.as_str())
        .limit(limit)
}
