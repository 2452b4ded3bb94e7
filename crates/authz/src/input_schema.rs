//! What a tool's input schema says of one argument: enough to see that a condition speaks of something.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::mcp::Json;

/// The most subschemas that are looked at for one argument.
const SUBSCHEMAS_MAX: usize = 256;

/// What a schema says of one argument.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Described {
    /// The types it may have; empty when the schema does not say.
    pub(crate) types: BTreeSet<String>,
    /// The values it may have, when they are listed.
    pub(crate) values: Option<Vec<Value>>,
}

impl Described {
    /// Whether a string, number or truth value of this kind can be meant.
    pub(crate) fn can_be(&self, kind: &str) -> bool {
        self.types.is_empty()
            || self.types.contains(kind)
            || (kind == "number" && self.types.contains("integer"))
    }
}

/// What the schema says of the argument at `steps`; `None` when it does not know it. References are followed inside the
/// schema only, nothing is fetched.
pub(crate) fn describe(schema: &Json, steps: &[String]) -> Option<Described> {
    let mut here = alternatives(schema, vec![schema]);
    for step in steps {
        let below = here
            .iter()
            .filter_map(|subschema| {
                let property = subschema.get("properties").and_then(|all| all.get(step));
                let is_index = step.bytes().all(|byte| byte.is_ascii_digit());
                property.or_else(|| subschema.get("items").filter(|_| is_index))
            })
            .collect();
        here = alternatives(schema, below);
    }
    if here.is_empty() {
        return None;
    }
    let mut described = Described::default();
    for subschema in here {
        match subschema.get("type") {
            Some(Json::String(name)) => {
                described.types.insert(name.clone());
            }
            Some(Json::Array(names)) => described
                .types
                .extend(names.iter().filter_map(Json::as_str).map(str::to_owned)),
            _ => {}
        }
        let listed = subschema.get("enum").and_then(Json::as_array);
        let constant = subschema.get("const").map(std::slice::from_ref);
        if let Some(values) = listed.or(constant) {
            let values = values.iter().filter_map(|value| value.deserialize().ok());
            described.values.get_or_insert_default().extend(values);
        }
    }
    Some(described)
}

/// These subschemas and all that they are put together from.
fn alternatives<'a>(root: &'a Json, mut open: Vec<&'a Json>) -> Vec<&'a Json> {
    let mut found: Vec<&Json> = Vec::new();
    while let Some(subschema) = open.pop() {
        if found.len() >= SUBSCHEMAS_MAX {
            break;
        }
        found.push(subschema);
        for word in ["anyOf", "oneOf", "allOf"] {
            open.extend(subschema.get(word).and_then(Json::as_array).unwrap_or(&[]));
        }
        let reference = subschema.get("$ref").and_then(Json::as_str);
        let target = reference
            .and_then(|reference| crate::condition::steps(reference.strip_prefix('#')?))
            .and_then(|steps| steps.iter().try_fold(root, |value, step| value.get(step)));
        open.extend(target);
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire::mcp::{Limits, parse_strict};

    use super::*;

    fn types(schema: &str, pointer: &str) -> Option<String> {
        let schema = parse_strict(schema.as_bytes(), &Limits::default()).unwrap();
        let steps = crate::condition::steps(pointer).unwrap();
        let described = describe(&schema, &steps)?;
        Some(described.types.into_iter().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn an_argument_is_found_through_references_alternatives_and_lists() {
        let schema = r##"{"type":"object","properties":{
            "list":{"type":"string"},
            "limit":{"anyOf":[{"type":"integer"},{"type":"null"}]},
            "items":{"type":"array","items":{"$ref":"#/$defs/item"}},
            "any":{},
            "loop":{"$ref":"#/properties/loop"}},
            "$defs":{"item":{"allOf":[{"properties":{"owner":{"type":["string","null"]}}}]}}}"##;
        for (pointer, expected) in [
            ("/list", Some("string")),
            ("/limit", Some("integer null")),
            ("/items/0/owner", Some("null string")),
            ("/items/owner", None),
            ("/any", Some("")),
            ("/loop", Some("")),
            ("/other", None),
        ] {
            assert_eq!(types(schema, pointer).as_deref(), expected, "{pointer}");
        }
    }
}
