use base::Timestamp;

use crate::values::{Args, RowReader};
use crate::{Store, StoreError, event_id};

impl Store {
    /// What the clock of the database says, where several nodes share one: on PostgreSQL.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.database().server_time().await
    }

    /// When the newest event happened, by the clock of who recorded it; nothing before the first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn newest_event_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(id) FROM audit_event";
        let Some(row) = self.fetch_optional(sql, Args::default()).await? else {
            return Ok(None);
        };
        let id = RowReader::new(&row, "audit_event").optional_int(0)?;
        Ok(id.map(event_id::time))
    }
}
