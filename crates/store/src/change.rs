use domain::AuditEvent;

use crate::conn::Conn;
use crate::values::{Args, RowReader};
use crate::{Store, StoreError};

impl Conn {
    /// Counts a change that the policy feed carries; every node polls the counter.
    pub(crate) async fn count_change(&mut self) -> Result<(), StoreError> {
        self.execute(
            "UPDATE change SET counter = counter + 1 WHERE id = 1",
            Args::default(),
        )
        .await
        .map(|_| ())
    }

    /// For the beginning of a transaction that reads what it then relies on, and of any that writes a server's row, so that
    /// all take the two in one order. Those that begin so, or by counting a change,
    /// wait for each other and see what the one before wrote: somebody joins a group before it is given a role or
    /// afterwards, and the one that comes second cuts them off. Nothing is counted.
    pub(crate) async fn wait_for_other_changes(&mut self) -> Result<(), StoreError> {
        self.execute(
            "UPDATE change SET counter = counter WHERE id = 1",
            Args::default(),
        )
        .await
        .map(|_| ())
    }

    /// Carries out one statement. When it changed something, records the event and counts a change; says whether it did.
    pub(crate) async fn change(
        &mut self,
        sql: &'static str,
        args: Args,
        event: &AuditEvent,
    ) -> Result<bool, StoreError> {
        if self.execute(sql, args).await? == 0 {
            return Ok(false);
        }
        self.record(event);
        self.count_change().await?;
        Ok(true)
    }
}

/// How far that which the policy feed carries has come. Another one says that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeMark {
    /// How many changes there were.
    pub counter: i64,
    /// The number of the epoch: a database that was put in the place of this one is another, however it counts.
    pub epoch: i64,
}

impl Store {
    /// How many changes the policy feed has had to carry: servers, policies, revocations, keys. Read it before
    /// what it counts; a change in between then shows at the next look.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn change_counter(&self) -> Result<i64, StoreError> {
        Ok(self.change_mark().await?.counter)
    }

    /// As [`Store::change_counter`], with the epoch.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn change_mark(&self) -> Result<ChangeMark, StoreError> {
        let sql =
            "SELECT counter, (SELECT number FROM epoch WHERE id = 1) FROM change WHERE id = 1";
        let row = self
            .fetch_optional(sql, Args::default())
            .await?
            .ok_or_else(|| StoreError::Corrupt {
                table: "change",
                id: "1".to_owned(),
                problem: "it is missing".to_owned(),
            })?;
        let row = RowReader::new(&row, "change");
        Ok(ChangeMark {
            counter: row.int(0)?,
            epoch: row.int(1)?,
        })
    }
}
