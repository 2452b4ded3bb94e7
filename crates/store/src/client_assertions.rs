use base::{Digest, Timestamp};

use crate::bulk::BulkStatement;
use crate::job::Gated;
use crate::values::Args;
use crate::{Store, StoreError};

static SPEND: BulkStatement = BulkStatement::new(
    "INSERT INTO client_assertion_id (digest, expires_at) VALUES",
    2,
    " ON CONFLICT (digest) DO NOTHING RETURNING digest",
);

impl Store {
    /// Spends the id of a client assertion; false when it was spent before. It is remembered until `until`, when the
    /// assertion has expired.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn spend_assertion_id(
        &self,
        id: Digest,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = Gated {
            gate: &SPEND,
            key: |(id, _): &(String, Timestamp)| Some(id),
            row: |(id, until)| Args::with_capacity(2).text(id).time(*until),
            then: |_, _, passed| Box::pin(async move { Ok(passed) }),
        };
        self.write_gated((id.to_text(), until), work).await
    }
}
