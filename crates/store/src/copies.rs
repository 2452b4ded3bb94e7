use std::path::Path;

use base::Timestamp;

use crate::migrate::{ACTIVITY, AUTHORITY};
use crate::{ActivityLog, Store, StoreError};

/// The version of the authority's tables that this binary knows.
pub fn schema_version() -> i64 {
    AUTHORITY.known()
}

impl Store {
    /// Writes everything, as it is at one moment, to a new SQLite file, while others write.
    ///
    /// # Errors
    /// When it cannot be read, or the file not be written.
    pub async fn copy_to(&self, path: &Path, now: Timestamp) -> Result<(), StoreError> {
        self.database().copy_to(path, &AUTHORITY, now).await
    }

    /// On PostgreSQL: puts a copy, of this very version, in the place of everything and begins a new epoch, in one
    /// transaction. Without `replace`, only where nothing is yet. Whoever was deleted here is deleted again; says how many.
    ///
    /// # Errors
    /// When something is there, or the copy cannot be read.
    pub async fn replace_from(
        &self,
        path: &Path,
        replace: bool,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let again = self
            .database()
            .replace_from(path, replace, Some(reason), now)
            .await?;
        self.refresh_epoch().await?;
        Ok(again)
    }
}

impl ActivityLog {
    /// As [`Store::copy_to`].
    ///
    /// # Errors
    /// When it cannot be read, or the file not be written.
    pub async fn copy_to(&self, path: &Path, now: Timestamp) -> Result<(), StoreError> {
        self.database().copy_to(path, &ACTIVITY, now).await
    }

    /// As [`Store::replace_from`], without an epoch.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub async fn replace_from(&self, path: &Path, now: Timestamp) -> Result<(), StoreError> {
        self.database()
            .replace_from(path, true, None, now)
            .await
            .map(drop)
    }
}
