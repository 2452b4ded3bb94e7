use std::sync::OnceLock;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::StoreError;
use crate::conn::{execute, fetch_all};
use crate::values::Args;

/// How many rows one statement may carry. Few sizes, so that few statements are prepared, and none large.
const SIZES: [usize; 5] = [16, 8, 4, 2, 1];

/// A statement over a list of rows of values, so that the jobs of a group can share it.
pub(crate) struct BulkStatement {
    /// Up to and with the word `VALUES`.
    head: &'static str,
    columns: usize,
    /// What follows the rows.
    tail: &'static str,
    texts: [OnceLock<&'static str>; SIZES.len()],
    /// For SQLite, where a placeholder that has a number is looked up by it among all others: that costs the square of their
    /// count. These have none.
    texts_without_numbers: [OnceLock<&'static str>; SIZES.len()],
}

impl BulkStatement {
    pub(crate) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self {
            head,
            columns,
            tail,
            texts: [const { OnceLock::new() }; SIZES.len()],
            texts_without_numbers: [const { OnceLock::new() }; SIZES.len()],
        }
    }

    /// The statement for one row.
    pub(crate) fn one(&self) -> &'static str {
        self.text(SIZES.len() - 1, true)
    }

    /// As the database behind `connection` reads it best.
    fn text_for(&self, size: usize, connection: &AnyConnection) -> &'static str {
        self.text(size, connection.backend_name() != "SQLite")
    }

    /// The statement for `SIZES[size]` rows; written once per process, so it may live as long as that.
    fn text(&self, size: usize, with_numbers: bool) -> &'static str {
        let texts = match with_numbers {
            true => &self.texts,
            false => &self.texts_without_numbers,
        };
        texts[size].get_or_init(|| {
            let mut text = self.head.to_owned();
            for row in 0..SIZES[size] {
                text.push_str(if row == 0 { " (" } else { ", (" });
                match with_numbers {
                    true => push_placeholders(&mut text, row * self.columns, self.columns),
                    false => text.push_str(&vec!["?"; self.columns].join(", ")),
                }
                text.push(')');
            }
            text.push_str(self.tail);
            Box::leak(text.into_boxed_str())
        })
    }

    async fn execute(
        &self,
        connection: &mut AnyConnection,
        rows: &mut Vec<Args>,
    ) -> Result<(), StoreError> {
        let mut rows = rows.drain(..);
        for (size, &count) in SIZES.iter().enumerate() {
            while rows.len() >= count {
                let args = Args::joined(rows.by_ref().take(count), count * self.columns);
                let text = self.text_for(size, connection);
                execute(connection, text, args.finish()?).await?;
            }
        }
        Ok(())
    }

    /// Runs the statement over `rows` and gives what it returns.
    pub(crate) async fn fetch(
        &self,
        connection: &mut AnyConnection,
        rows: Vec<Args>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut found = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter();
        for (size, &count) in SIZES.iter().enumerate() {
            while rows.len() >= count {
                let args = Args::joined(rows.by_ref().take(count), count * self.columns);
                let text = self.text_for(size, connection);
                found.extend(fetch_all(connection, text, args.finish()?).await?);
            }
        }
        Ok(found)
    }
}

/// Appends `$n` placeholders behind the first `after`.
pub(crate) fn push_placeholders(text: &mut String, after: usize, count: usize) {
    for number in 1..=count {
        if number > 1 {
            text.push_str(", ");
        }
        text.push_str(&format!("${}", after + number));
    }
}

/// Rows that wait for the end of their transaction, by statement.
#[derive(Default)]
pub(crate) struct Pending {
    tables: Vec<(&'static BulkStatement, Vec<Args>)>,
}

impl Pending {
    pub(crate) fn push(&mut self, insert: &'static BulkStatement, row: Args) {
        for (table, rows) in &mut self.tables {
            if std::ptr::eq(*table, insert) {
                rows.push(row);
                return;
            }
        }
        self.tables.push((insert, vec![row]));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tables.iter().all(|(_, rows)| rows.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        for (_, rows) in &mut self.tables {
            rows.clear();
        }
    }

    pub(crate) async fn write(&mut self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        for (insert, rows) in &mut self.tables {
            insert.execute(connection, rows).await?;
        }
        Ok(())
    }
}
