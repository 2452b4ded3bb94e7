use domain::{AuditEvent, KeyAlgorithm, KeyId, KeyPurpose, SigningKeyRecord};

use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

impl Store {
    /// Adds a signing key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_signing_key(
        &self,
        key: &SigningKeyRecord,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((key.clone(), event), |conn, (key, event)| {
            Box::pin(async move {
                let sql = "INSERT INTO signing_key \
                           (id, purpose, algorithm, sealed_private_key, public_jwk, created_at, retired_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7)";
                let args = Args::with_capacity(7)
                    .text(key.id.as_str())
                    .text(key.purpose.as_str())
                    .text(key.algorithm.as_str())
                    .text(&key.sealed_private_key)
                    .text(&key.public_jwk)
                    .time(key.created_at)
                    .optional_time(key.retired_at);
                conn.execute(sql, args).await?;
                conn.record(event);
                conn.count_change().await
            })
        })
        .await
    }

    /// All signing keys, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let sql = "SELECT id, purpose, algorithm, sealed_private_key, public_jwk, created_at, retired_at \
                   FROM signing_key ORDER BY created_at, id";
        let rows = self.fetch_all(sql, Args::default()).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "signing_key");
                Ok(SigningKeyRecord {
                    id: KeyId::from_text(row.text(0)?),
                    purpose: row.parse(1, KeyPurpose::parse)?,
                    algorithm: row.parse(2, KeyAlgorithm::parse)?,
                    sealed_private_key: row.text(3)?.to_owned(),
                    public_jwk: row.text(4)?.to_owned(),
                    created_at: row.time(5)?,
                    retired_at: row.optional_time(6)?,
                })
            })
            .collect()
    }
}
