use base::Timestamp;

use crate::values::{Args, RowReader};
use crate::{Store, StoreError};

/// A certificate that an ACME server issued for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeCertificate {
    /// The name.
    pub domain: String,
    /// The directory of the ACME server that issued it.
    pub directory: String,
    /// PEM: the certificate, then those between it and its root.
    pub chain: String,
    /// Its private key, sealed under a key from outside the database.
    pub sealed_private_key: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When the next one is ordered.
    pub renew_at: Timestamp,
    /// When the ACME server is asked again when it wants it renewed.
    pub ask_at: Timestamp,
}

/// How far the order of a certificate has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcmeOrder {
    /// The ACME server's.
    pub directory: String,
    /// The order that goes on.
    pub order_url: Option<String>,
    /// The private key of the certificate to come, sealed.
    pub sealed_private_key: Option<String>,
    /// How many orders in a row have failed.
    pub failures: i64,
    /// None begins before.
    pub next_try_at: Timestamp,
}

impl Store {
    /// The account at an ACME server, sealed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_acme_account(&self, directory: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT sealed_credentials FROM acme_account WHERE directory = $1";
        let args = Args::with_capacity(1).text(directory);
        self.fetch_optional(sql, args)
            .await?
            .map(|row| {
                RowReader::new(&row, "acme_account")
                    .text(0)
                    .map(str::to_owned)
            })
            .transpose()
    }

    /// Keeps the account at an ACME server, instead of an earlier one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_acme_account(
        &self,
        directory: &str,
        sealed_credentials: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let data = (directory.to_owned(), sealed_credentials, now);
        self.write(data, |conn, (directory, sealed_credentials, now)| {
            Box::pin(async move {
                let sql = "INSERT INTO acme_account (directory, sealed_credentials, created_at) VALUES ($1, $2, $3) \
                           ON CONFLICT (directory) DO UPDATE \
                           SET sealed_credentials = excluded.sealed_credentials, created_at = excluded.created_at";
                let args = Args::with_capacity(3)
                    .text(directory)
                    .text(sealed_credentials)
                    .time(*now);
                conn.execute(sql, args).await.map(|_| ())
            })
        })
        .await
    }

    /// The certificates that ACME servers have issued, at most a thousand.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_acme_certificates(&self) -> Result<Vec<AcmeCertificate>, StoreError> {
        let sql = "SELECT domain, directory, chain, sealed_private_key, issued_at, renew_at, ask_at \
                   FROM acme_certificate ORDER BY domain LIMIT 1000";
        let rows = self.fetch_all(sql, Args::default()).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "acme_certificate");
                Ok(AcmeCertificate {
                    domain: row.text(0)?.to_owned(),
                    directory: row.text(1)?.to_owned(),
                    chain: row.text(2)?.to_owned(),
                    sealed_private_key: row.text(3)?.to_owned(),
                    issued_at: row.time(4)?,
                    renew_at: row.time(5)?,
                    ask_at: row.time(6)?,
                })
            })
            .collect()
    }

    /// Keeps a new certificate, ends its order with its challenges, and says so to every node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_acme_certificate(
        &self,
        certificate: AcmeCertificate,
    ) -> Result<(), StoreError> {
        self.write(certificate, |conn, certificate| {
            Box::pin(async move {
                let sql = "INSERT INTO acme_certificate \
                           (domain, directory, chain, sealed_private_key, issued_at, renew_at, ask_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (domain) DO UPDATE \
                           SET directory = excluded.directory, chain = excluded.chain, \
                           sealed_private_key = excluded.sealed_private_key, issued_at = excluded.issued_at, \
                           renew_at = excluded.renew_at, ask_at = excluded.ask_at";
                let args = Args::with_capacity(7)
                    .text(&certificate.domain)
                    .text(&certificate.directory)
                    .text(&certificate.chain)
                    .text(&certificate.sealed_private_key)
                    .time(certificate.issued_at)
                    .time(certificate.renew_at)
                    .time(certificate.ask_at);
                conn.execute(sql, args).await?;
                let domain = || Args::with_capacity(1).text(&certificate.domain);
                conn.execute("DELETE FROM acme_order WHERE domain = $1", domain())
                    .await?;
                conn.execute("DELETE FROM acme_challenge WHERE domain = $1", domain())
                    .await?;
                conn.count_change().await
            })
        })
        .await
    }

    /// Writes down when the certificate is renewed and when its ACME server is asked about that again, and says so to every
    /// node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_acme_renewal(
        &self,
        domain: &str,
        renew_at: Timestamp,
        ask_at: Timestamp,
    ) -> Result<(), StoreError> {
        let data = (domain.to_owned(), renew_at, ask_at);
        self.write(data, |conn, (domain, renew_at, ask_at)| {
            Box::pin(async move {
                let sql =
                    "UPDATE acme_certificate SET renew_at = $2, ask_at = $3 WHERE domain = $1";
                let args = Args::with_capacity(3)
                    .text(domain)
                    .time(*renew_at)
                    .time(*ask_at);
                conn.execute(sql, args).await?;
                conn.count_change().await
            })
        })
        .await
    }

    /// The order of a name, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_acme_order(&self, domain: &str) -> Result<Option<AcmeOrder>, StoreError> {
        let sql = "SELECT domain, directory, order_url, sealed_private_key, failures, next_try_at \
                   FROM acme_order WHERE domain = $1";
        let args = Args::with_capacity(1).text(domain);
        self.fetch_optional(sql, args)
            .await?
            .map(|row| {
                let row = RowReader::new(&row, "acme_order");
                Ok(AcmeOrder {
                    directory: row.text(1)?.to_owned(),
                    order_url: row.optional_text(2)?.map(str::to_owned),
                    sealed_private_key: row.optional_text(3)?.map(str::to_owned),
                    failures: row.int(4)?,
                    next_try_at: row.time(5)?,
                })
            })
            .transpose()
    }

    /// Writes down how far the order of a name has come.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_acme_order(&self, domain: &str, order: AcmeOrder) -> Result<(), StoreError> {
        self.write((domain.to_owned(), order), |conn, (domain, order)| {
            Box::pin(async move {
                let sql = "INSERT INTO acme_order \
                           (domain, directory, order_url, sealed_private_key, failures, next_try_at) \
                           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain) DO UPDATE \
                           SET directory = excluded.directory, order_url = excluded.order_url, \
                           sealed_private_key = excluded.sealed_private_key, failures = excluded.failures, \
                           next_try_at = excluded.next_try_at";
                let args = Args::with_capacity(6)
                    .text(domain)
                    .text(&order.directory)
                    .optional_text(order.order_url.as_deref())
                    .optional_text(order.sealed_private_key.as_deref())
                    .int(order.failures)
                    .time(order.next_try_at);
                conn.execute(sql, args).await.map(|_| ())
            })
        })
        .await
    }

    /// Lets every node answer a challenge.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_acme_challenge(
        &self,
        domain: &str,
        token: &str,
        key_authorization: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let data = [domain, token, key_authorization].map(str::to_owned);
        self.write((data, expires_at), |conn, (data, expires_at)| {
            Box::pin(async move {
                let [domain, token, key_authorization] = data;
                let sql = "INSERT INTO acme_challenge (domain, token, key_authorization, expires_at) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT (domain, token) DO UPDATE \
                           SET key_authorization = excluded.key_authorization, expires_at = excluded.expires_at";
                let args = Args::with_capacity(4)
                    .text(domain)
                    .text(token)
                    .text(key_authorization)
                    .time(*expires_at);
                conn.execute(sql, args).await.map(|_| ())
            })
        })
        .await
    }

    /// The key authorization to answer a challenge of this token at this name with.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_acme_challenge(
        &self,
        domain: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT key_authorization FROM acme_challenge \
                   WHERE domain = $1 AND token = $2 AND expires_at > $3";
        let args = Args::with_capacity(3).text(domain).text(token).time(now);
        self.key_authorization(sql, args).await
    }

    /// The key authorization of the newest challenge at this name, for a handshake, which names no token (RFC 8737).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn newest_acme_challenge(
        &self,
        domain: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT key_authorization FROM acme_challenge \
                   WHERE domain = $1 AND expires_at > $2 ORDER BY expires_at DESC LIMIT 1";
        let args = Args::with_capacity(2).text(domain).time(now);
        self.key_authorization(sql, args).await
    }

    async fn key_authorization(
        &self,
        sql: &'static str,
        args: Args,
    ) -> Result<Option<String>, StoreError> {
        self.fetch_optional(sql, args)
            .await?
            .map(|row| {
                RowReader::new(&row, "acme_challenge")
                    .text(0)
                    .map(str::to_owned)
            })
            .transpose()
    }
}
