use sqlx::any::AnyRow;

use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError};

const FIND: &str = "SELECT name, value FROM setting WHERE name = $1";

fn value(row: Option<&AnyRow>) -> Result<Option<String>, StoreError> {
    row.map(|row| RowReader::new(row, "setting").text(1).map(str::to_owned))
        .transpose()
}

impl Conn {
    pub(crate) async fn find_setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let args = Args::with_capacity(1).text(name);
        value(self.fetch_optional(FIND, args).await?.as_ref())
    }

    pub(crate) async fn put_setting(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let args = Args::with_capacity(2).text(name).text(value);
        self.execute(sql, args).await.map(|_| ())
    }
}

impl Store {
    /// A setting that was fixed at the first start, such as the public URL.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let args = Args::with_capacity(1).text(name);
        value(self.fetch_optional(FIND, args).await?.as_ref())
    }

    /// Writes a setting, over an earlier value too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        refuse_nul(&[("name", name), ("value", value)])?;
        self.write(
            (name.to_owned(), value.to_owned()),
            |conn, (name, value)| Box::pin(conn.put_setting(name, value)),
        )
        .await
    }

    /// Writes a setting unless it has a value, and gives the value it then has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn find_or_put_setting(&self, name: &str, value: &str) -> Result<String, StoreError> {
        refuse_nul(&[("name", name), ("value", value)])?;
        self.write((name.to_owned(), value.to_owned()), |conn, (name, value)| {
            Box::pin(async move {
                let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) \
                           ON CONFLICT (name) DO UPDATE SET value = setting.value RETURNING name, value";
                let row = conn
                    .fetch_optional(sql, Args::with_capacity(2).text(name).text(value))
                    .await?
                    .ok_or_else(|| StoreError::Internal("no setting came back".to_owned()))?;
                RowReader::new(&row, "setting").text(1).map(str::to_owned)
            })
        })
        .await
    }
}
