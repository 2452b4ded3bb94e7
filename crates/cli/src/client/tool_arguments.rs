use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::failure::usage;

/// Arguments as they stand on the command line.
#[derive(Debug, PartialEq)]
pub enum Given {
    /// One object.
    Object(Map<String, Value>),
    /// Pairs whose types are the tool's to say.
    Pairs(Vec<(String, String)>),
}

/// Reads `KEY=VALUE…` or `--json`.
///
/// # Errors
/// Names the argument.
pub fn read(pairs: &[String], json: Option<&str>) -> anyhow::Result<Given> {
    if let Some(json) = json {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| usage(format!("--json is no JSON: {error}")))?;
        return match value {
            Value::Object(object) => Ok(Given::Object(object)),
            _ => Err(usage(
                "--json must be an object, such as '{\"title\": \"Buy milk\"}'",
            )),
        };
    }
    let mut read: Vec<(String, String)> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| {
                usage(format!(
                    "{pair:?} is no argument; write KEY=VALUE, or --json for all of them"
                ))
            })?;
        if read.iter().any(|(known, _)| known == key) {
            return Err(usage(format!("the argument {key} was given twice")));
        }
        read.push((key.into(), value.into()));
    }
    Ok(Given::Pairs(read))
}

impl Given {
    /// The arguments for `tool`, typed as its schema says.
    ///
    /// # Errors
    /// Names an argument that cannot have its type.
    pub fn for_tool(self, tool: &Value) -> anyhow::Result<Map<String, Value>> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Pairs(pairs) => pairs
                .into_iter()
                .map(|(key, text)| {
                    let schema = tool
                        .pointer("/inputSchema/properties")
                        .and_then(|all| all.get(&key));
                    let value = typed(&text, schema).with_context(|| format!("{key}={text}"))?;
                    Ok((key, value))
                })
                .collect(),
        }
    }
}

fn typed(text: &str, schema: Option<&Value>) -> anyhow::Result<Value> {
    let permits = |name: &str| match schema.and_then(|schema| schema.get("type")) {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    };
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let known = schema.is_some_and(|schema| schema.get("type").is_some());
    if !known {
        return Ok(parsed.unwrap_or_else(|| text.into()));
    }
    let fits = parsed.filter(|value| match value {
        Value::Null => permits("null"),
        Value::Bool(_) => permits("boolean"),
        Value::Number(number) => permits("number") || (permits("integer") && !number.is_f64()),
        // Quotes on the command line are the shell's; one that still has them means them.
        Value::String(_) => false,
        Value::Array(_) => permits("array"),
        Value::Object(_) => permits("object"),
    });
    match fits {
        Some(value) => Ok(value),
        None => {
            let wanted = schema
                .and_then(|schema| schema.get("type"))
                .map(Value::to_string)
                .unwrap_or_default();
            ensure!(
                permits("string"),
                "the tool wants {}",
                wanted.trim_matches('"')
            );
            Ok(text.into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn tool() -> Value {
        json!({ "inputSchema": { "properties": {
            "title": { "type": "string" }, "count": { "type": "integer" },
            "when": { "type": ["string", "null"] }, "free": {},
        } } })
    }

    #[test]
    fn values_get_the_type_that_the_schema_wants() {
        let pairs = ["title=3", "count=3", "when=null", "free=[1]", "other=x=y"].map(str::to_owned);
        let arguments = read(&pairs, None).unwrap().for_tool(&tool()).unwrap();
        assert_eq!(
            Value::Object(arguments),
            json!({ "title": "3", "count": 3, "when": null, "free": [1], "other": "x=y" })
        );
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_its_name() {
        let error = read(&["count=many".into()], None)
            .unwrap()
            .for_tool(&tool())
            .unwrap_err();
        assert_eq!(
            crate::failure::message(&error),
            "count=many: the tool wants integer"
        );
    }

    #[test]
    fn what_is_no_argument_is_refused_and_an_object_is_taken_as_it_is() {
        for (pairs, json) in [
            (vec!["title".to_owned()], None),
            (vec!["=x".to_owned()], None),
            (vec!["a=1".to_owned(), "a=2".to_owned()], None),
            (vec![], Some("[]")),
            (vec![], Some("{")),
        ] {
            assert!(read(&pairs, json).is_err(), "{pairs:?} {json:?}");
        }
        let read = read(&[], Some("{\"a\": 1}")).unwrap();
        assert_eq!(read.for_tool(&tool()).unwrap().get("a"), Some(&json!(1)));
    }
}
