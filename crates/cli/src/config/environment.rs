//! Variables over the file: `PORTCULLIS__LIMITS__REQUEST_BODY=8MiB` is `limits.request_body`.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::Config;
use super::schema::{Kind, Shape};

/// What such a variable begins with.
pub const PREFIX: &str = "PORTCULLIS__";

/// The most that one of them may hold.
const BYTES_MAX: usize = 64 * 1024;

/// A value that a variable says.
#[derive(Debug)]
pub struct Override {
    /// The variable.
    pub name: String,
    /// Where the value belongs, as keys.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
}

/// Reads `name=text`, which begins with [`PREFIX`].
///
/// # Errors
/// When there is no such key, or the text is no value of its kind.
pub fn read(root: &Shape<'_>, name: &str, text: &str) -> Result<Override, String> {
    let path: Vec<String> = name[PREFIX.len()..]
        .split("__")
        .map(str::to_ascii_lowercase)
        .collect();
    let mut shape = root.clone();
    for (depth, key) in path.iter().enumerate() {
        shape = match shape.key(key) {
            Some(found) => found,
            None => {
                let known = shape.keys().into_iter().map(|(known, _)| known);
                let hint = match nearest(key, known) {
                    Some(near) => {
                        let mut right = path[..depth].to_vec();
                        right.push(near.to_owned());
                        format!("; did you mean {}", variable(&right))
                    }
                    None => String::new(),
                };
                return Err(format!("there is no such setting{hint}"));
            }
        };
    }
    if text.len() > BYTES_MAX {
        return Err(format!("holds more than {BYTES_MAX} bytes"));
    }
    let value = value(&shape, text)?;
    let over = Override {
        name: name.to_owned(),
        path,
        value,
    };
    let mut alone = Table::new();
    over.apply(&mut alone);
    match Config::deserialize(Value::Table(alone)) {
        Ok(_) => Ok(over),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// Variables of a single underscore that are ours, and mean what a setting means.
const OTHERS: [&str; 2] = ["PORTCULLIS_DATA_DIR", "PORTCULLIS_LOG_FORMAT"];

/// The variable that was meant by a name with one underscore where there must be two, which would be nobody's otherwise.
/// Names that only begin like a section are left alone: Kubernetes makes such for services.
pub fn meant(root: &Shape<'_>, name: &str) -> Option<String> {
    let rest = name.strip_prefix("PORTCULLIS_")?.to_ascii_lowercase();
    if rest.starts_with('_') || OTHERS.contains(&name) {
        return None;
    }
    if let Some((section, _)) = rest.split_once("__")
        && root.key(section).is_some()
    {
        return Some(format!("{PREFIX}{}", rest.to_ascii_uppercase()));
    }
    setting(root, &rest).map(|path| variable(&path))
}

/// The path of the setting whose keys are joined to `words` by one underscore each.
fn setting<'a>(shape: &Shape<'a>, words: &str) -> Option<Vec<&'a str>> {
    shape.keys().into_iter().find_map(|(key, inner)| {
        let rest = words.strip_prefix(key)?;
        if inner.kind() != Kind::Table {
            return rest.is_empty().then(|| vec![key]);
        }
        let mut path = setting(&inner, rest.strip_prefix('_')?)?;
        path.insert(0, key);
        Some(path)
    })
}

fn value(shape: &Shape<'_>, text: &str) -> Result<Value, String> {
    match shape.kind() {
        Kind::Table => Err("is a section; name one of its settings".to_owned()),
        Kind::Integer => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("{text:?} is no whole number")),
        Kind::Boolean => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| format!("{text:?} is neither true nor false")),
        Kind::Text => Ok(Value::String(text.to_owned())),
        Kind::List if text.trim_start().starts_with('[') => {
            let document: Table = format!("list = {text}")
                .parse()
                .map_err(|error: toml::de::Error| format!("is no list: {}", error.message()))?;
            match document.into_iter().next() {
                Some((_, list @ Value::Array(_))) => Ok(list),
                _ => Err("is no list".to_owned()),
            }
        }
        Kind::List if shape.item().kind() == Kind::Table => {
            Err("is a list of tables; write it as [{ key = \"value\" }]".to_owned())
        }
        Kind::List => Ok(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(|entry| Value::String(entry.to_owned()))
                .collect(),
        )),
    }
}

impl Override {
    /// Puts the value into `table`.
    pub fn apply(&self, table: &mut Table) {
        let Some((last, sections)) = self.path.split_last() else {
            return;
        };
        let mut table = table;
        for section in sections {
            let inner = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            // The file was read already, so that a section of it is a table.
            match inner {
                Value::Table(inner) => table = inner,
                _ => return,
            }
        }
        table.insert(last.clone(), self.value.clone());
    }
}

/// The variable for a path.
pub fn variable(path: &[impl AsRef<str>]) -> String {
    let keys: Vec<String> = path
        .iter()
        .map(|key| key.as_ref().to_ascii_uppercase())
        .collect();
    format!("{PREFIX}{}", keys.join("__"))
}

/// The known name that somebody probably meant.
pub fn nearest<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}
