use domain::{AuditEvent, KeyAlgorithm, KeyId, KeyPurpose, SigningKeyRecord};

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

/// What came of adding a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAdded {
    /// It is there, and with it whatever was to be withdrawn is.
    Added,
    /// Another key was added in between: read again and decide anew.
    Stale,
}

impl Store {
    /// Adds a signing key, provided that `newest` still is the newest of its purpose; of several nodes that make a key
    /// at the same moment, one succeeds. With `withdraw_others` no other key of the purpose is good from then on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_signing_key(
        &self,
        key: &SigningKeyRecord,
        newest: Option<&KeyId>,
        withdraw_others: bool,
        events: Vec<AuditEvent>,
    ) -> Result<KeyAdded, StoreError> {
        for event in &events {
            refuse_nul(&[("detail", &event.detail)])?;
        }
        let data = (key.clone(), newest.cloned(), withdraw_others, events);
        self.write(data, |conn, (key, newest, withdraw_others, events)| {
            Box::pin(async move {
                // First, since it makes every other node wait for its turn.
                conn.count_change().await?;
                if conn.newest_signing_key(key.purpose).await? != *newest {
                    return Ok(KeyAdded::Stale);
                }
                if *withdraw_others {
                    let sql = "UPDATE signing_key SET withdrawn_at = $2 \
                               WHERE purpose = $1 AND withdrawn_at IS NULL";
                    let args = Args::with_capacity(2)
                        .text(key.purpose.as_str())
                        .time(key.created_at);
                    conn.execute(sql, args).await?;
                }
                conn.insert_signing_key(key).await?;
                for event in events {
                    conn.record(event);
                }
                Ok(KeyAdded::Added)
            })
        })
        .await
    }

    /// All signing keys, in the order in which they sign.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let sql = "SELECT id, purpose, algorithm, sealed_private_key, public_jwk, created_at, signs_from, \
                   token_seconds_max, withdrawn_at FROM signing_key ORDER BY signs_from, id";
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
                    signs_from: row.time(6)?,
                    token_seconds_max: u64::try_from(row.int(7)?)
                        .map_err(|_| row.corrupt("token_seconds_max is negative"))?,
                    withdrawn_at: row.optional_time(8)?,
                })
            })
            .collect()
    }

    /// Writes down that the key signs tokens that live this long, unless it has signed longer ones.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn raise_token_seconds(&self, id: &KeyId, seconds: u64) -> Result<(), StoreError> {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.write((id.clone(), seconds), |conn, (id, seconds)| {
            Box::pin(async move {
                let sql = "UPDATE signing_key SET token_seconds_max = $2 \
                           WHERE id = $1 AND token_seconds_max < $2";
                let args = Args::with_capacity(2).text(id.as_str()).int(*seconds);
                conn.execute(sql, args).await.map(|_| ())
            })
        })
        .await
    }

    /// Deletes a signing key under which no token can be good any more; false when it is gone already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn delete_signing_key(
        &self,
        id: &KeyId,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((id.clone(), event), |conn, (id, event)| {
            Box::pin(async move {
                let sql = "DELETE FROM signing_key WHERE id = $1";
                let args = Args::with_capacity(1).text(id.as_str());
                conn.change(sql, args, event).await
            })
        })
        .await
    }

    /// Writes the settings of signing keys, over earlier values too, and says so to every node.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn put_key_settings(
        &self,
        settings: Vec<(&'static str, String)>,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        self.write((settings, event), |conn, (settings, event)| {
            Box::pin(async move {
                for (name, value) in settings {
                    let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) \
                               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                    conn.execute(sql, Args::with_capacity(2).text(name).text(value))
                        .await?;
                }
                conn.record(event);
                conn.count_change().await
            })
        })
        .await
    }
}

impl Conn {
    async fn newest_signing_key(
        &mut self,
        purpose: KeyPurpose,
    ) -> Result<Option<KeyId>, StoreError> {
        let sql = "SELECT id FROM signing_key WHERE purpose = $1 ORDER BY signs_from DESC, id DESC LIMIT 1";
        let args = Args::with_capacity(1).text(purpose.as_str());
        self.fetch_optional(sql, args)
            .await?
            .map(|row| {
                RowReader::new(&row, "signing_key")
                    .text(0)
                    .map(KeyId::from_text)
            })
            .transpose()
    }

    async fn insert_signing_key(&mut self, key: &SigningKeyRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO signing_key \
                   (id, purpose, algorithm, sealed_private_key, public_jwk, created_at, signs_from, \
                   token_seconds_max, withdrawn_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let args = Args::with_capacity(9)
            .text(key.id.as_str())
            .text(key.purpose.as_str())
            .text(key.algorithm.as_str())
            .text(&key.sealed_private_key)
            .text(&key.public_jwk)
            .time(key.created_at)
            .time(key.signs_from)
            .int(i64::try_from(key.token_seconds_max).unwrap_or(i64::MAX))
            .optional_time(key.withdrawn_at);
        self.execute(sql, args).await.map(|_| ())
    }
}
