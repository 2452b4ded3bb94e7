use base::Timestamp;
use domain::{ClientId, FamilyEnd, ServerSlug};

use crate::conn::Conn;
use crate::values::{Args, RowReader};
use crate::{Store, StoreError};

/// Takes everything from one client at one server.
#[derive(Debug, Clone)]
pub(crate) struct CutOff<'a> {
    pub server: &'a ServerSlug,
    pub client: &'a ClientId,
    pub reason: FamilyEnd,
    pub now: Timestamp,
    /// Access tokens issued before this moment are refused everywhere.
    pub issued_before: Timestamp,
    /// When the last of them has expired.
    pub remembered_until: Timestamp,
}

/// The access tokens of a client that are refused everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCutOff {
    /// At this server.
    pub server: ServerSlug,
    /// Of this client.
    pub client: ClientId,
    /// Issued before this moment.
    pub issued_before: Timestamp,
}

impl Conn {
    /// Ends every token family of a client at a server and has its access tokens refused from now on. The feed carries
    /// one moment, not each family: a client may have very many. Says how many families it ended.
    pub(crate) async fn cut_off_client(&mut self, cut: CutOff<'_>) -> Result<u64, StoreError> {
        let sql = "UPDATE token_family SET ended_at = $3, end_reason = $4 \
                   WHERE client_id = $2 AND server = $1 AND ended_at IS NULL AND expires_at > $3";
        let args = Args::with_capacity(4)
            .text(cut.server.as_str())
            .text(cut.client.as_str())
            .time(cut.now)
            .text(cut.reason.as_str());
        let ended = self.execute(sql, args).await?;
        let sql = "INSERT INTO client_cut_off (server, client_id, issued_before, remembered_until) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (server, client_id) DO UPDATE \
                   SET issued_before = excluded.issued_before, remembered_until = excluded.remembered_until";
        let args = Args::with_capacity(4)
            .text(cut.server.as_str())
            .text(cut.client.as_str())
            .time(cut.issued_before)
            .time(cut.remembered_until);
        self.execute(sql, args).await?;
        self.count_change().await?;
        Ok(ended)
    }
}

impl Store {
    /// The clients whose older access tokens are refused, while such a token may still live. Of one that is still
    /// refused itself it is every token: some may have been minted while the decision waited to be written.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_client_cut_offs(
        &self,
        now: Timestamp,
    ) -> Result<Vec<ClientCutOff>, StoreError> {
        let sql = "SELECT o.server, o.client_id, \
                   CASE WHEN t.decision = 'blocked' \
                        OR (k.id IS NULL AND o.client_id NOT LIKE 'https://%') \
                        THEN o.remembered_until ELSE o.issued_before END \
                   FROM client_cut_off o \
                   LEFT JOIN client k ON k.id = o.client_id AND k.disabled_at IS NULL \
                   LEFT JOIN client_trust t ON t.server = o.server AND t.client_id = o.client_id \
                   WHERE o.remembered_until > $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).time(now))
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "client_cut_off");
                Ok(ClientCutOff {
                    server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
                    client: ClientId::from_text(row.text(1)?),
                    issued_before: row.time(2)?,
                })
            })
            .collect()
    }
}
