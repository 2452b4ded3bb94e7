/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too many writes are waiting, or another process holds the database. Nothing was written; trying again
    /// later helps (503 with `Retry-After`).
    #[error("the database is busy; try again")]
    Busy,
    /// The database cannot be reached, is full, read-only, locked, closed or set up in a way we must refuse.
    /// The text says which and what to do.
    #[error("{0}")]
    Unavailable(String),
    /// Something with this name exists already; the text names the table and column.
    #[error("{0} exists already")]
    Conflict(&'static str),
    /// A text that no database may hold; the text names the field.
    #[error("{0} must not contain the character U+0000")]
    NulCharacter(&'static str),
    /// A row that cannot be true.
    #[error("the row {id:?} of table {table} cannot be true: {problem}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's first column.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody can say here who may do what at an MCP server.
    #[error(
        "the policy of the MCP server {server} cannot be read, as when a later release of Portcullis wrote it; use that one: \
         {problem}"
    )]
    UnreadablePolicy {
        /// Its slug.
        server: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The database was written by a newer Portcullis.
    #[error(
        "the database has schema version {found}, and this Portcullis knows versions up to {known}: use the newer Portcullis that wrote it"
    )]
    Newer {
        /// The version in the database.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Anything unexpected.
    #[error("the database failed: {0}")]
    Internal(String),
}
