use std::sync::OnceLock;

use sqlx::AnyConnection;

use crate::StoreError;
use crate::conn::execute;
use crate::values::Args;

/// How many rows one statement may carry. Few sizes, so that few statements are prepared.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// An insert into one table whose rows may travel together.
pub(crate) struct BulkInsert {
    /// Up to and with the word `VALUES`.
    head: &'static str,
    columns: usize,
    texts: [OnceLock<&'static str>; SIZES.len()],
}

impl BulkInsert {
    pub(crate) const fn new(head: &'static str, columns: usize) -> Self {
        Self {
            head,
            columns,
            texts: [const { OnceLock::new() }; SIZES.len()],
        }
    }

    /// The statement for `SIZES[size]` rows; written once per process, so it may live as long as that.
    fn text(&self, size: usize) -> &'static str {
        self.texts[size].get_or_init(|| {
            let mut text = self.head.to_owned();
            for row in 0..SIZES[size] {
                text.push_str(if row == 0 { " (" } else { ", (" });
                for column in 1..=self.columns {
                    if column > 1 {
                        text.push_str(", ");
                    }
                    text.push_str(&format!("${}", row * self.columns + column));
                }
                text.push(')');
            }
            Box::leak(text.into_boxed_str())
        })
    }
}

/// Rows that wait for the end of their transaction, by table.
#[derive(Default)]
pub(crate) struct Pending {
    tables: Vec<(&'static BulkInsert, Vec<Args>)>,
}

impl Pending {
    pub(crate) fn push(&mut self, insert: &'static BulkInsert, row: Args) {
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
}

pub(crate) async fn write(
    connection: &mut AnyConnection,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    for (insert, rows) in &mut pending.tables {
        let mut rows = rows.drain(..);
        for (size, &count) in SIZES.iter().enumerate() {
            while rows.len() >= count {
                let args = Args::joined(rows.by_ref().take(count), count * insert.columns);
                execute(connection, insert.text(size), args.finish()?).await?;
            }
        }
    }
    Ok(())
}
