use domain::WithheldScope;

use crate::StoreError;
use crate::values::{RowReader, to_json};

/// The column of withheld scopes: nothing when none was withheld, as nearly always.
pub(crate) fn to_column(withheld: &[WithheldScope]) -> Result<Option<String>, StoreError> {
    if withheld.is_empty() {
        return Ok(None);
    }
    to_json(&withheld).map(Some)
}

/// Reads what [`to_column`] wrote.
pub(crate) fn from_column(
    row: &RowReader<'_>,
    at: usize,
) -> Result<Vec<WithheldScope>, StoreError> {
    match row.optional_text(at)? {
        None => Ok(Vec::new()),
        Some(_) => row.json(at),
    }
}
