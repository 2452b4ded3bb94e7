use base::Timestamp;
use domain::ServerSlug;
use wire::oauth::Jwk;

use crate::values::{Args, RowReader, refuse_nul, to_json};
use crate::{Store, StoreError};

impl Store {
    /// Keeps the public key of a gateway of `server` until `expires_at`; forgets those that have ended. False when there are
    /// `keys_max` others, or another key of this id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_gateway_key(
        &self,
        server: &ServerSlug,
        key: &Jwk,
        now: Timestamp,
        expires_at: Timestamp,
        keys_max: i64,
    ) -> Result<bool, StoreError> {
        let id = key.kid.clone().unwrap_or_default();
        let jwk = to_json(key)?;
        refuse_nul(&[("kid", &id), ("jwk", &jwk)])?;
        let data = (server.clone(), id, jwk, now, expires_at, keys_max);
        self.write(data, |conn, (server, id, jwk, now, expires_at, keys_max)| {
            Box::pin(async move {
                let of_server = || Args::with_capacity(6).text(server.as_str());
                let sql = "DELETE FROM gateway_key WHERE server = $1 AND expires_at <= $2";
                conn.execute(sql, of_server().time(*now)).await?;
                let sql = "INSERT INTO gateway_key (server, id, jwk, expires_at) SELECT $1, $2, $3, $4 \
                           WHERE (SELECT COUNT(*) FROM gateway_key WHERE server = $1 AND id <> $2) < $5 \
                           ON CONFLICT (server, id) DO UPDATE SET expires_at = excluded.expires_at \
                           WHERE gateway_key.jwk = excluded.jwk";
                let args = of_server().text(id).text(jwk).time(*expires_at).int(*keys_max);
                Ok(conn.execute(sql, args).await? == 1)
            })
        })
        .await
    }

    /// The public keys of the gateways of `server`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_gateway_keys(
        &self,
        server: &ServerSlug,
        now: Timestamp,
    ) -> Result<Vec<Jwk>, StoreError> {
        let sql = "SELECT jwk FROM gateway_key WHERE server = $1 AND expires_at > $2 ORDER BY id";
        let args = Args::with_capacity(2).text(server.as_str()).time(now);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| RowReader::new(row, "gateway_key").json(0))
            .collect()
    }
}
