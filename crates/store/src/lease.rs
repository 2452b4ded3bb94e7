use base::Timestamp;

use crate::values::Args;
use crate::{Store, StoreError};

impl Store {
    /// Takes the chore `name` for `holder` until then, or holds on to it; false while another holder's time is not over. One
    /// conditional write, so that of several nodes one gets it. A lease that lasts twice as long as ours would is of a clock that
    /// was ahead, and not waited for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn take_lease(
        &self,
        name: &'static str,
        holder: &str,
        now: Timestamp,
        held_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let data = (name, holder.to_owned(), now, held_until);
        self.write(data, |conn, (name, holder, now, held_until)| {
            Box::pin(async move {
                let sql = "INSERT INTO lease (name, holder, held_until) VALUES ($1, $2, $3) \
                           ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until \
                           WHERE lease.holder = excluded.holder OR lease.held_until < $4 OR lease.held_until > $5";
                let life = held_until.since(*now);
                let args = Args::with_capacity(5)
                    .text(name)
                    .text(holder)
                    .time(*held_until)
                    .time(*now)
                    .time(held_until.after(life));
                Ok(conn.execute(sql, args).await? == 1)
            })
        })
        .await
    }

    /// Gives the chore back, when it is still `holder`'s.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn give_lease_back(
        &self,
        name: &'static str,
        holder: &str,
    ) -> Result<(), StoreError> {
        self.write((name, holder.to_owned()), |conn, (name, holder)| {
            Box::pin(async move {
                let sql = "DELETE FROM lease WHERE name = $1 AND holder = $2";
                let args = Args::with_capacity(2).text(name).text(holder);
                conn.execute(sql, args).await.map(|_| ())
            })
        })
        .await
    }
}
