use domain::{AuditEvent, ClientId, GrantId, ServerSlug, ServiceGrant, WithheldScope};
use wire::oauth::ScopeSet;

use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::lookup::Lookup;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError, withheld};

/// What is known of the grant of an access token, whoever holds it.
#[derive(Debug, Clone)]
pub struct FoundGrant {
    /// The MCP server.
    pub server: ServerSlug,
    /// The client.
    pub client: ClientId,
    /// The `sub`: a person, or the machine itself.
    pub subject: String,
    /// What was approved.
    pub scopes: ScopeSet,
    /// What was asked for besides.
    pub withheld: Vec<WithheldScope>,
    /// Whether it was ended.
    pub ended: bool,
    /// Whether there is a person of the subject's id, not disabled.
    pub person_is_live: bool,
    /// Whether there is a registered client of that id, not disabled.
    pub client_is_live: bool,
}

/// No person proved anything, so the time of the sign-in is that of the beginning; no token tells it.
static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO token_family \
     (id, server, client_id, user_id, scopes, withheld, authenticated_at, created_at, expires_at) VALUES",
    9,
    "",
);

static FIND: Lookup = Lookup::new(
    "SELECT f.id, f.server, f.client_id, f.user_id, f.scopes, f.withheld, f.ended_at, u.id, k.id \
     FROM token_family f \
     LEFT JOIN app_user u ON u.id = f.user_id AND u.disabled_at IS NULL \
     LEFT JOIN client k ON k.id = f.client_id AND k.disabled_at IS NULL \
     WHERE f.id IN",
);

impl Conn {
    /// Writes what a machine may do before the transaction ends.
    pub(crate) fn insert_service_grant(&mut self, grant: &ServiceGrant, withheld: Option<&str>) {
        let row = Args::with_capacity(9)
            .text(grant.id.as_str())
            .text(grant.server.as_str())
            .text(grant.client.as_str())
            .text(&grant.subject)
            .text(&grant.scopes.to_string())
            .optional_text(withheld)
            .time(grant.created_at)
            .time(grant.created_at)
            .time(grant.expires_at);
        self.insert_later(&INSERT, row);
    }
}

impl Store {
    /// Keeps what a machine was given on its own behalf.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_service_grant(
        &self,
        grant: ServiceGrant,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        refuse_nul(&[
            ("client_id", grant.client.as_str()),
            ("detail", &event.detail),
        ])?;
        let withheld = withheld::to_column(&grant.withheld)?;
        self.write(
            (grant, withheld, event),
            |conn, (grant, withheld, event)| {
                Box::pin(async move {
                    conn.insert_service_grant(grant, withheld.as_deref());
                    conn.record(event);
                    Ok(())
                })
            },
        )
        .await
    }

    /// The grant of this id, a person's or a machine's.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_grant(&self, id: &GrantId) -> Result<Option<FoundGrant>, StoreError> {
        let Some(row) = self.find(&FIND, id.as_str()).await? else {
            return Ok(None);
        };
        let row = RowReader::new(&row, "token_family");
        Ok(Some(FoundGrant {
            server: row.parse(1, |text| ServerSlug::parse(text).ok())?,
            client: ClientId::from_text(row.text(2)?),
            subject: row.text(3)?.to_owned(),
            scopes: ScopeSet::parse_lenient(row.text(4)?),
            withheld: withheld::from_column(&row, 5)?,
            ended: !row.is_null(6)?,
            person_is_live: !row.is_null(7)?,
            client_is_live: !row.is_null(8)?,
        }))
    }
}
