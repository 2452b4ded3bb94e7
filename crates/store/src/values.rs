use base::{Digest, Timestamp, base64url_decode};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Arguments as _, Row as _};

use crate::StoreError;

/// The values of one statement's placeholders, in order.
#[derive(Default)]
pub(crate) struct Args {
    values: Vec<Value>,
    has_nul: bool,
}

enum Value {
    Text(String),
    Int(i64),
    NoText,
    NoInt,
}

impl Args {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            values: Vec::with_capacity(capacity),
            has_nul: false,
        }
    }

    /// The values of several rows, one after the other.
    pub(crate) fn joined(rows: impl Iterator<Item = Self>, capacity: usize) -> Self {
        let mut all = Self::with_capacity(capacity);
        for row in rows {
            all.has_nul |= row.has_nul;
            all.values.extend(row.values);
        }
        all
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        // SQLite would keep it, PostgreSQL would not, and a reader in C would stop at it.
        self.has_nul |= text.as_bytes().contains(&0);
        self.values.push(Value::Text(text.to_owned()));
        self
    }

    pub(crate) fn optional_text(mut self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => {
                self.values.push(Value::NoText);
                self
            }
        }
    }

    /// A text from a stranger that is only shown: U+0000 becomes U+FFFD.
    pub(crate) fn clean_text(self, text: &str) -> Self {
        if text.as_bytes().contains(&0) {
            self.text(&text.replace('\0', "\u{fffd}"))
        } else {
            self.text(text)
        }
    }

    pub(crate) fn optional_clean_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.clean_text(text),
            None => self.optional_text(None),
        }
    }

    pub(crate) fn int(mut self, number: i64) -> Self {
        self.values.push(Value::Int(number));
        self
    }

    pub(crate) fn optional_int(mut self, number: Option<i64>) -> Self {
        self.values.push(number.map_or(Value::NoInt, Value::Int));
        self
    }

    pub(crate) fn time(self, time: Timestamp) -> Self {
        self.int(time.unix_ms())
    }

    pub(crate) fn optional_time(self, time: Option<Timestamp>) -> Self {
        self.optional_int(time.map(Timestamp::unix_ms))
    }

    pub(crate) fn digest(mut self, digest: &Digest) -> Self {
        self.values.push(Value::Text(digest.to_text()));
        self
    }

    /// A limit of a page, kept within what a page may hold.
    pub(crate) fn limit(self, limit: usize) -> Self {
        self.int(i64::try_from(limit.min(crate::PAGE_ROWS_MAX)).unwrap_or(1))
    }

    pub(crate) fn finish(self) -> Result<AnyArguments, StoreError> {
        if self.has_nul {
            return Err(StoreError::NulCharacter("a text"));
        }
        let mut out = AnyArguments::default();
        out.reserve(self.values.len(), 0);
        for value in self.values {
            match value {
                Value::Text(text) => out.add(text),
                Value::Int(number) => out.add(number),
                Value::NoText => out.add(None::<String>),
                Value::NoInt => out.add(None::<i64>),
            }
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        }
        Ok(out)
    }
}

/// Refuses U+0000 by the name of the field, before anything is queued.
pub(crate) fn refuse_nul(fields: &[(&'static str, &str)]) -> Result<(), StoreError> {
    match fields.iter().find(|(_, text)| text.as_bytes().contains(&0)) {
        Some((name, _)) => Err(StoreError::NulCharacter(name)),
        None => Ok(()),
    }
}

/// Reads one row by position. What cannot be true is an error naming the table and the row's first column.
pub(crate) struct RowReader<'r> {
    row: &'r AnyRow,
    table: &'static str,
}

impl<'r> RowReader<'r> {
    pub(crate) fn new(row: &'r AnyRow, table: &'static str) -> Self {
        Self { row, table }
    }

    pub(crate) fn corrupt(&self, problem: impl Into<String>) -> StoreError {
        let id = (self.row.try_get::<&str, _>(0).map(str::to_owned))
            .or_else(|_| self.row.try_get::<i64, _>(0).map(|id| id.to_string()))
            .unwrap_or_default();
        StoreError::Corrupt {
            table: self.table,
            id: id.chars().take(80).collect(),
            problem: problem.into(),
        }
    }

    fn column(&self, index: usize) -> String {
        use sqlx::Column as _;
        self.row
            .columns()
            .get(index)
            .map(|column| column.name().to_owned())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self, index: usize) -> Result<&'r str, StoreError> {
        self.row
            .try_get(index)
            .map_err(|_| self.corrupt(format!("{} is no text", self.column(index))))
    }

    pub(crate) fn optional_text(&self, index: usize) -> Result<Option<&'r str>, StoreError> {
        self.row
            .try_get(index)
            .map_err(|_| self.corrupt(format!("{} is no text", self.column(index))))
    }

    pub(crate) fn int(&self, index: usize) -> Result<i64, StoreError> {
        self.row
            .try_get(index)
            .map_err(|_| self.corrupt(format!("{} is no number", self.column(index))))
    }

    pub(crate) fn optional_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        self.row
            .try_get(index)
            .map_err(|_| self.corrupt(format!("{} is no number", self.column(index))))
    }

    pub(crate) fn is_null(&self, index: usize) -> Result<bool, StoreError> {
        use sqlx::ValueRef as _;
        self.row
            .try_get_raw(index)
            .map(|value| value.is_null())
            .map_err(|_| self.corrupt(format!("column {index} is missing")))
    }

    pub(crate) fn time(&self, index: usize) -> Result<Timestamp, StoreError> {
        self.int(index).map(Timestamp::from_unix_ms)
    }

    pub(crate) fn optional_time(&self, index: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_int(index)?.map(Timestamp::from_unix_ms))
    }

    pub(crate) fn digest(&self, index: usize) -> Result<Digest, StoreError> {
        self.parse(index, Digest::from_text)
    }

    pub(crate) fn optional_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, StoreError> {
        match self.optional_text(index)? {
            None => Ok(None),
            Some(text) => base64url_decode(text)
                .map(Some)
                .ok_or_else(|| self.corrupt(format!("{} is no base64url", self.column(index)))),
        }
    }

    /// A text that `read` must understand.
    pub(crate) fn parse<T>(
        &self,
        index: usize,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text(index)?;
        read(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            self.corrupt(format!("{} cannot be {shown:?}", self.column(index)))
        })
    }

    /// A text that is JSON of one type.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        index: usize,
    ) -> Result<T, StoreError> {
        serde_json::from_str(self.text(index)?)
            .map_err(|error| self.corrupt(format!("{}: {error}", self.column(index))))
    }

    /// The same, if there is one.
    pub(crate) fn optional_json<T: serde::de::DeserializeOwned>(
        &self,
        index: usize,
    ) -> Result<Option<T>, StoreError> {
        match self.optional_text(index)? {
            None => Ok(None),
            Some(_) => self.json(index).map(Some),
        }
    }
}

/// The JSON of one of our own types.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(error.to_string()))
}
