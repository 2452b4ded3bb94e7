use std::time::Duration;

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
    /// How long the one writer of SQLite took for its last commit, or takes for the present one: whoever can wait keeps out of
    /// the way on a disk that is slow. Nothing on PostgreSQL, where nobody waits for another's commit.
    pub fn commit_takes(&self) -> Duration {
        self.database().commit_takes()
    }

    /// How busy the database is. Asks nobody, so it is known even when nothing answers.
    pub fn load(&self) -> StoreLoad {
        self.database().load()
    }
}
