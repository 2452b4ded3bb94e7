use crate::Store;

/// How busy the database is at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreLoad {
    /// SQLite.
    Sqlite {
        /// Writes that wait for the one writer.
        writes_waiting: usize,
    },
    /// PostgreSQL.
    Postgres {
        /// Connections that are used now.
        connections_busy: usize,
        /// Connections that are open and not used.
        connections_idle: usize,
    },
}

impl Store {
    /// How busy the database is. Asks nobody, so it is known even when nothing answers.
    pub fn load(&self) -> StoreLoad {
        self.database().load()
    }
}
