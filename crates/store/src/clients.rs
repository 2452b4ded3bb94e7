use base::{Digest, Timestamp};
use domain::{AuditEvent, Client, ClientAuthentication, ClientId, ClientRegistration, ServerSlug};
use wire::oauth::{RedirectUri, ScopeSet};

use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::job::Gated;
use crate::lookup::Lookup;
use crate::values::{Args, RowReader, refuse_nul, to_json};
use crate::{Store, StoreError};

/// What came of registering a client.
#[derive(Debug, Clone)]
pub enum Registered {
    /// It is new.
    Inserted,
    /// The same registration was made before; this is its client.
    Same(Box<Client>),
}

/// What is written of a client, with the event that tells of it.
pub(crate) struct ClientRow {
    client: Client,
    redirect_uris: String,
    metadata: String,
    authentication: String,
    fingerprint: Option<Digest>,
    event: AuditEvent,
}

impl ClientRow {
    pub(crate) fn new(
        client: &Client,
        fingerprint: Option<Digest>,
        event: AuditEvent,
    ) -> Result<Self, StoreError> {
        refuse_nul(&[
            ("client_id", client.id.as_str()),
            ("client_name", &client.name),
            ("detail", &event.detail),
        ])?;
        let redirect_uris: Vec<&str> = client
            .redirect_uris
            .iter()
            .map(RedirectUri::as_str)
            .collect();
        Ok(Self {
            redirect_uris: to_json(&redirect_uris)?,
            metadata: to_json(&client.metadata)?,
            authentication: to_json(&client.authentication)?,
            client: client.clone(),
            fingerprint,
            event,
        })
    }
}

impl Conn {
    /// Adds a client; the gate of [`Store::insert_client`] for a transaction that does more.
    pub(crate) async fn insert_client(
        &mut self,
        row: &ClientRow,
    ) -> Result<Registered, StoreError> {
        let gate = self.fetch_optional(INSERT.one(), client_row(row)).await?;
        self.client_passed(row, gate.is_some()).await
    }

    async fn client_passed(
        &mut self,
        row: &ClientRow,
        passed: bool,
    ) -> Result<Registered, StoreError> {
        if passed {
            self.record(&row.event);
            return Ok(Registered::Inserted);
        }
        let fingerprint = row.fingerprint.map(|digest| digest.to_text());
        let args = Args::with_capacity(2)
            .text(fingerprint.as_deref().unwrap_or_default())
            .text(row.client.server.as_str());
        match self.fetch_optional(FIND_SAME, args).await? {
            Some(same) => {
                let same = read(&RowReader::new(&same, "client"))?;
                Ok(Registered::Same(Box::new(same)))
            }
            None => Err(StoreError::Conflict("a client with this id")),
        }
    }

    /// Writes what an admin may change of a client; false when there is no such client.
    pub(crate) async fn update_client(&mut self, row: &ClientRow) -> Result<bool, StoreError> {
        let sql = "UPDATE client SET name = $3, redirect_uris = $4, metadata = $5, authentication = $6, \
                   service_scopes = $7 WHERE id = $1 AND server = $2";
        let service_scopes = row.client.service_scopes.as_ref().map(ScopeSet::to_string);
        let args = Args::with_capacity(7)
            .text(row.client.id.as_str())
            .text(row.client.server.as_str())
            .text(&row.client.name)
            .text(&row.redirect_uris)
            .text(&row.metadata)
            .text(&row.authentication)
            .optional_text(service_scopes.as_deref());
        self.change(sql, args, &row.event).await
    }
}

impl Store {
    /// Adds a client. With a `fingerprint`, the digest of what a dynamic registration asked for, a repeat answers
    /// the client that is there, also when both come at once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_client(
        &self,
        client: &Client,
        fingerprint: Option<Digest>,
        event: AuditEvent,
    ) -> Result<Registered, StoreError> {
        let row = ClientRow::new(client, fingerprint, event)?;
        let work = Gated {
            gate: &INSERT,
            key: |row: &ClientRow| Some(row.client.id.as_str()),
            row: client_row,
            then: |conn, row, passed| Box::pin(conn.client_passed(row, passed)),
        };
        self.write_gated(row, work).await
    }

    /// The client of this id at this server; a client of another server is unknown.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_client(
        &self,
        server: &ServerSlug,
        id: &ClientId,
    ) -> Result<Option<Client>, StoreError> {
        let Some(row) = self.find(&FIND, id.as_str()).await? else {
            return Ok(None);
        };
        let client = read(&RowReader::new(&row, "client"))?;
        Ok((client.server == *server).then_some(client))
    }

    /// Whether a client has this id, at whichever server and however it came.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn client_id_is_taken(&self, id: &ClientId) -> Result<bool, StoreError> {
        Ok(self.find(&FIND, id.as_str()).await?.is_some())
    }

    /// The client that the same dynamic registration made before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_same_registration(
        &self,
        server: &ServerSlug,
        fingerprint: Digest,
    ) -> Result<Option<Client>, StoreError> {
        let args = Args::with_capacity(2)
            .digest(&fingerprint)
            .text(server.as_str());
        let row = self.fetch_optional(FIND_SAME, args).await?;
        row.map(|row| read(&RowReader::new(&row, "client")))
            .transpose()
    }

    /// The clients of all servers behind `after`, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_clients(
        &self,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<Client>, StoreError> {
        let sql = "SELECT id, server, name, redirect_uris, registration, metadata, created_at, disabled_at, \
                   authentication, service_scopes, waiting_since FROM client WHERE id > $1 ORDER BY id LIMIT $2";
        let args = Args::with_capacity(2)
            .text(after.map_or("", ClientId::as_str))
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "client")))
            .collect()
    }

    /// Registered clients that wait for an admin, the longest waiting first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_waiting_clients(&self, limit: usize) -> Result<Vec<Client>, StoreError> {
        let sql = "SELECT id, server, name, redirect_uris, registration, metadata, created_at, disabled_at, \
                   authentication, service_scopes, waiting_since FROM client \
                   WHERE waiting_since IS NOT NULL AND disabled_at IS NULL \
                   AND server IN (SELECT slug FROM mcp_server WHERE removed_at IS NULL) ORDER BY waiting_since, id LIMIT $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).limit(limit))
            .await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "client")))
            .collect()
    }

    /// Deletes clients that registered themselves before `before` and that nobody ever approved: the oldest, at most
    /// `limit`. Says how many went. Disabled ones stay, so that the same registration stays disabled.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub async fn forget_unused_clients(
        &self,
        server: &ServerSlug,
        before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let data = (server.clone(), before, limit);
        self.write(data, |conn, (server, before, limit)| {
            Box::pin(async move {
                let sql = "DELETE FROM client WHERE id IN \
                           (SELECT id FROM client WHERE server = $1 AND registration = $2 AND created_at < $3 \
                            AND disabled_at IS NULL AND id NOT IN (SELECT client_id FROM client_consent) \
                            ORDER BY created_at, id LIMIT $4)";
                let args = Args::with_capacity(4)
                    .text(server.as_str())
                    .text(ClientRegistration::Dynamic.as_str())
                    .time(*before)
                    .limit(*limit);
                conn.execute(sql, args).await
            })
        })
        .await
    }

    /// How many clients registered themselves at this server. It counts rows, so ask seldom.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub async fn count_dynamic_clients(&self, server: &ServerSlug) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM client WHERE server = $1 AND registration = $2";
        let args = Args::with_capacity(2)
            .text(server.as_str())
            .text(ClientRegistration::Dynamic.as_str());
        let row = self
            .fetch_optional(sql, args)
            .await?
            .ok_or_else(|| StoreError::Internal("a count came back empty".to_owned()))?;
        RowReader::new(&row, "client").int(0)
    }
}

static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO client \
     (id, server, name, redirect_uris, registration, fingerprint, metadata, created_at, disabled_at, authentication, \
      service_scopes, waiting_since) VALUES",
    12,
    " ON CONFLICT DO NOTHING RETURNING id",
);

static FIND: Lookup = Lookup::new(
    "SELECT id, server, name, redirect_uris, registration, metadata, created_at, disabled_at, authentication, \
     service_scopes, waiting_since FROM client WHERE id IN",
);

const FIND_SAME: &str = "SELECT id, server, name, redirect_uris, registration, metadata, created_at, disabled_at, \
     authentication, service_scopes, waiting_since FROM client WHERE fingerprint = $1 AND server = $2";

/// How nearly every client stands in the column; read without a parser, since each token request reads it.
const PUBLIC: &str = r#"{"methods":["none"]}"#;

/// Reads the column `authentication` of an outer join.
pub(crate) fn authentication(
    row: &RowReader<'_>,
    at: usize,
) -> Result<Option<ClientAuthentication>, StoreError> {
    match row.optional_text(at)? {
        None => Ok(None),
        Some(PUBLIC) => Ok(Some(ClientAuthentication::none())),
        Some(_) => row.json(at).map(Some),
    }
}

fn client_row(row: &ClientRow) -> Args {
    let client = &row.client;
    let fingerprint = row.fingerprint.map(|digest| digest.to_text());
    let service_scopes = client.service_scopes.as_ref().map(ScopeSet::to_string);
    Args::with_capacity(12)
        .text(client.id.as_str())
        .text(client.server.as_str())
        .text(&client.name)
        .text(&row.redirect_uris)
        .text(client.registration.as_str())
        .optional_text(fingerprint.as_deref())
        .text(&row.metadata)
        .time(client.created_at)
        .optional_time(client.disabled_at)
        .text(&row.authentication)
        .optional_text(service_scopes.as_deref())
        .optional_time(client.waiting_since)
}

/// Reads the columns that [`Store::list_clients`] selects.
pub(crate) fn read(row: &RowReader<'_>) -> Result<Client, StoreError> {
    let texts: Vec<String> = row.json(3)?;
    let redirect_uris = texts
        .iter()
        .map(|text| RedirectUri::parse(text))
        .collect::<Result<_, _>>()
        .map_err(|error| row.corrupt(error.to_string()))?;
    Ok(Client {
        id: ClientId::from_text(row.text(0)?),
        server: row.parse(1, |text| ServerSlug::parse(text).ok())?,
        name: row.text(2)?.to_owned(),
        redirect_uris,
        registration: row.parse(4, ClientRegistration::parse)?,
        metadata: row.json(5)?,
        created_at: row.time(6)?,
        disabled_at: row.optional_time(7)?,
        authentication: row.json(8)?,
        service_scopes: row.optional_text(9)?.map(ScopeSet::parse_lenient),
        waiting_since: row.optional_time(10)?,
    })
}
