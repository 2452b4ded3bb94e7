//! The shape of the configuration, read from the JSON schema of its types: which keys there are, of what kind, and their words.

use serde_json::Value;

use super::Config;

/// One place in the configuration: a table, a list or a value.
#[derive(Clone)]
pub struct Shape<'a> {
    root: &'a Value,
    /// What the member itself says: its words and its default.
    said: &'a Value,
    /// What its type says.
    kind: &'a Value,
}

/// What a shape can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys with values.
    Table,
    /// Values or tables, one after the other.
    List,
    /// Text, perhaps of a form.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// The JSON schema of the file (draft 2020-12).
pub fn document() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Value::Object(members) = &mut schema {
        members.insert("title".into(), "Portcullis configuration".into());
    }
    schema
}

impl<'a> Shape<'a> {
    /// The whole file.
    pub fn root(document: &'a Value) -> Self {
        Self {
            root: document,
            said: document,
            kind: document,
        }
    }

    fn of(root: &'a Value, said: &'a Value) -> Self {
        Self {
            root,
            said,
            kind: resolve(root, said),
        }
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        let named = |name: &str| match &self.kind["type"] {
            Value::String(kind) => kind == name,
            Value::Array(kinds) => kinds.iter().any(|kind| kind == name),
            _ => false,
        };
        if named("object") {
            Kind::Table
        } else if named("array") {
            Kind::List
        } else if named("integer") {
            Kind::Integer
        } else if named("boolean") {
            Kind::Boolean
        } else {
            Kind::Text
        }
    }

    /// The keys of a table, in the order of the schema.
    pub fn keys(&self) -> Vec<(&'a str, Shape<'a>)> {
        let properties = self.kind["properties"].as_object();
        properties
            .into_iter()
            .flatten()
            .map(|(name, said)| (name.as_str(), Self::of(self.root, said)))
            .collect()
    }

    /// The value under `key`, in a table.
    pub fn key(&self, key: &str) -> Option<Shape<'a>> {
        self.kind["properties"]
            .get(key)
            .map(|said| Self::of(self.root, said))
    }

    /// What each entry of a list is.
    pub fn item(&self) -> Shape<'a> {
        Self::of(self.root, &self.kind["items"])
    }

    /// What it is for.
    pub fn words(&self) -> &'a str {
        let own = self.said["description"].as_str();
        own.or_else(|| self.kind["description"].as_str())
            .unwrap_or_default()
    }

    /// What it is when nothing is said.
    pub fn default(&self) -> &'a Value {
        &self.said["default"]
    }

    /// What it may look like.
    pub fn examples(&self) -> Vec<&'a str> {
        let examples = self.kind["examples"].as_array();
        examples
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The words that it may be, each with what it means.
    pub fn choices(&self) -> Vec<(&'a str, &'a str)> {
        let choices = self.kind["oneOf"].as_array();
        choices
            .into_iter()
            .flatten()
            .filter_map(|choice| {
                let words = choice["description"].as_str().unwrap_or_default();
                Some((choice["const"].as_str()?, words))
            })
            .collect()
    }

    /// The least and the greatest number.
    pub fn range(&self) -> (Option<i64>, Option<i64>) {
        let bound = |name: &str| {
            let own = self.said[name].as_i64();
            own.or_else(|| self.kind[name].as_i64())
        };
        (bound("minimum"), bound("maximum"))
    }

    /// Whether it must never be shown.
    pub fn is_secret(&self) -> bool {
        self.kind["writeOnly"] == true
    }
}

/// Follows references, and takes what is beside `null`.
fn resolve<'a>(root: &'a Value, said: &'a Value) -> &'a Value {
    if let Some(reference) = said["$ref"].as_str()
        && let Some(found) = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
    {
        return resolve(root, found);
    }
    for several in ["anyOf", "allOf"] {
        let one = said[several]
            .as_array()
            .and_then(|all| all.iter().find(|candidate| candidate["type"] != "null"));
        if let Some(one) = one {
            return resolve(root, one);
        }
    }
    said
}
