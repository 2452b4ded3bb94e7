use base::Digest;
use domain::{AuditEvent, ClientDocument, DocumentKind};

use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

impl Store {
    /// What this address said when it was last good.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_client_document(
        &self,
        kind: DocumentKind,
        url: &str,
    ) -> Result<Option<ClientDocument>, StoreError> {
        if url.as_bytes().contains(&0) {
            return Ok(None);
        }
        let sql = "SELECT kind, url, body, fetched_at, fresh_until, changed_at FROM client_document \
                   WHERE kind = $1 AND url = $2";
        let args = Args::with_capacity(2).text(kind.as_str()).text(url);
        let row = self.fetch_optional(sql, args).await?;
        row.as_ref().map(read).transpose()
    }

    /// The document of this kind with this body, wherever it came from.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_client_document_by_digest(
        &self,
        kind: DocumentKind,
        digest: Digest,
    ) -> Result<Option<ClientDocument>, StoreError> {
        let sql = "SELECT kind, url, body, fetched_at, fresh_until, changed_at FROM client_document \
                   WHERE digest = $1 AND kind = $2 ORDER BY url LIMIT 1";
        let args = Args::with_capacity(2).digest(&digest).text(kind.as_str());
        let row = self.fetch_optional(sql, args).await?;
        row.as_ref().map(read).transpose()
    }

    /// Keeps a document over the one that this address gave before, unless that one is younger, together with what
    /// is to be said about it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_client_document(
        &self,
        document: ClientDocument,
        events: Vec<AuditEvent>,
    ) -> Result<(), StoreError> {
        refuse_nul(&[("url", &document.url), ("body", &document.body)])?;
        self.write((document, events), |conn, (document, events)| {
            Box::pin(async move {
                let sql = "INSERT INTO client_document \
                           (kind, url, body, digest, fetched_at, fresh_until, changed_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7) \
                           ON CONFLICT (kind, url) DO UPDATE SET body = excluded.body, digest = excluded.digest, \
                           fetched_at = excluded.fetched_at, fresh_until = excluded.fresh_until, \
                           changed_at = excluded.changed_at \
                           WHERE client_document.fetched_at <= excluded.fetched_at";
                let args = Args::with_capacity(7)
                    .text(document.kind.as_str())
                    .text(&document.url)
                    .text(&document.body)
                    .digest(&Digest::of(&document.body))
                    .time(document.fetched_at)
                    .time(document.fresh_until)
                    .time(document.changed_at);
                if conn.execute(sql, args).await? > 0 {
                    for event in events.iter() {
                        conn.record(event);
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// The client metadata documents behind the address `after`, by address.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_client_documents(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ClientDocument>, StoreError> {
        let sql = "SELECT kind, url, body, fetched_at, fresh_until, changed_at FROM client_document \
                   WHERE kind = $1 AND url > $2 ORDER BY url LIMIT $3";
        let args = Args::with_capacity(3)
            .text(DocumentKind::Client.as_str())
            .text(after)
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &sqlx::any::AnyRow) -> Result<ClientDocument, StoreError> {
    let row = RowReader::new(row, "client_document");
    Ok(ClientDocument {
        kind: row.parse(0, DocumentKind::parse)?,
        url: row.text(1)?.to_owned(),
        body: row.text(2)?.to_owned(),
        fetched_at: row.time(3)?,
        fresh_until: row.time(4)?,
        changed_at: row.time(5)?,
    })
}
