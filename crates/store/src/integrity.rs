use crate::values::{Args, RowReader};
use crate::{Store, StoreError};

/// What must never be found. Each statement gives the ids of at most 20 rows that cannot be true together.
const CHECKS: [(&str, &str); 4] = [
    (
        "SELECT digest FROM refresh_token t WHERE NOT EXISTS \
         (SELECT 1 FROM token_family f WHERE f.id = t.family_id) LIMIT 20",
        "refresh_token without its token_family",
    ),
    (
        "SELECT family_id FROM refresh_token GROUP BY family_id, generation HAVING COUNT(*) > 1 LIMIT 20",
        "token_family with two refresh tokens of one generation",
    ),
    (
        "SELECT family_id FROM refresh_token WHERE spent_at IS NULL \
         GROUP BY family_id HAVING COUNT(*) > 1 LIMIT 20",
        "token_family with two unspent refresh tokens",
    ),
    (
        "SELECT digest FROM refresh_token WHERE spent_at IS NOT NULL AND (salt IS NULL OR successor IS NULL) LIMIT 20",
        "refresh_token spent without a successor",
    ),
];

impl Store {
    /// Looks for damage to the files and for rows that cannot be true together; says what it found, one line
    /// each, empty when all is well. It reads everything, so it is for maintenance and tests.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        let mut found = self.database().damage().await?;
        for (sql, problem) in CHECKS {
            for row in self.fetch_all(sql, Args::default()).await? {
                let id = RowReader::new(&row, "integrity").text(0)?.to_owned();
                found.push(format!("{problem}: {id}"));
            }
        }
        Ok(found)
    }
}
