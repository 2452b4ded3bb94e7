use std::collections::BTreeSet;

use wire::mcp::Json;
use wire::mcp::json::Object;

use super::compare::{number, object, paired, pointer, words};
use super::{ChangeKind, DefinitionChange};
use crate::fingerprint::same_meaning;

/// Whose values a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// What is sent to the server.
    Input,
    /// What comes from it.
    Output,
}

/// A bound that is raised takes less.
const LOWER_BOUNDS: &[&str] = &[
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
    "minContains",
];
/// A bound that is raised takes more.
const UPPER_BOUNDS: &[&str] = &[
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
    "maxContains",
];
/// A schema stands there; without it everything is taken.
const SUBSCHEMAS: &[&str] = &[
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
];
/// Named schemas that say nothing where they stand.
const DEFINITIONS: &[&str] = &["$defs", "definitions"];
/// A name that is longer, in characters, is read as words.
const NAME_CHARS_MAX: usize = 64;
/// Every type that JSON Schema knows; `integer` is among the numbers.
const TYPES: &[&str] = &[
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// Keywords under which a schema that takes less makes the whole take more, or may.
const TURNING: &[&str] = &[
    "not",
    "oneOf",
    "if",
    "then",
    "else",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// What brings another piece of the schema to where it stands.
const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef"];

/// What differs between two schemas (JSON Schema 2020-12). A keyword that is not understood counts as words: a model reads
/// it. References are compared as text and never fetched.
pub(super) fn compare_schemas(
    side: Side,
    path: &str,
    old: Option<&Json>,
    new: Option<&Json>,
    changes: &mut Vec<DefinitionChange>,
) {
    let first = changes.len();
    compare(side, path, old, new, changes);
    let mut reach = Reach::default();
    for schema in [old, new].into_iter().flatten() {
        reach.look(schema);
    }
    for change in &mut changes[first..] {
        let is_graded = matches!(change.kind, ChangeKind::Narrowed | ChangeKind::Widened);
        if is_graded && reach.is_unclear(&change.path[path.len()..]) {
            change.kind = ChangeKind::Unclear;
        }
    }
}

/// From where pieces of a schema are referred to, as far as it matters: what is narrower where it stands may be wider where
/// it is used.
#[derive(Default)]
struct Reach {
    turns: bool,
    refers: bool,
    refers_elsewhere: bool,
}

impl Reach {
    fn look(&mut self, schema: &Json) {
        for element in schema.as_array().into_iter().flatten() {
            self.look(element);
        }
        for (keyword, value) in schema.as_object().into_iter().flat_map(Object::iter) {
            self.turns |= TURNING.contains(&keyword.as_str());
            if REFERENCES.contains(&keyword.as_str()) {
                self.refers = true;
                let place = value.as_str().and_then(|place| place.strip_prefix("#/"));
                let among = place.and_then(|place| place.split('/').next());
                self.refers_elsewhere |= !among.is_some_and(|among| DEFINITIONS.contains(&among));
            }
            self.look(value);
        }
    }

    /// Whether a change at this place of the schema may mean the contrary of what it says there.
    fn is_unclear(&self, path: &str) -> bool {
        let is_definition = || path.split('/').any(|step| DEFINITIONS.contains(&step));
        self.turns && self.refers && (self.refers_elsewhere || is_definition())
    }
}

fn compare(
    side: Side,
    path: &str,
    old: Option<&Json>,
    new: Option<&Json>,
    changes: &mut Vec<DefinitionChange>,
) {
    if same_meaning(old, new) {
        return;
    }
    let none = Object::new();
    let as_object = |schema| match takes_all(schema) {
        true => Some(&none),
        false => object(schema, &none),
    };
    let (Some(before), Some(after)) = (as_object(old), as_object(new)) else {
        // To or from `false`, which takes nothing.
        let kind = match (old.and_then(Json::as_bool), new.and_then(Json::as_bool)) {
            (_, Some(false)) => ChangeKind::Narrowed,
            (Some(false), _) => ChangeKind::Widened,
            _ => ChangeKind::Unclear,
        };
        changes.push(DefinitionChange::new(kind, path, old, new));
        if kind == ChangeKind::Widened && new.is_some_and(says_words) {
            changes.push(DefinitionChange::new(ChangeKind::Wording, path, old, new));
        }
        return;
    };
    for (keyword, old, new) in paired(before, after) {
        let path = format!("{path}/{}", pointer(keyword));
        if same_meaning(old, new) {
            continue;
        }
        let mut push = |kind| changes.push(DefinitionChange::new(kind, &path, old, new));
        match keyword {
            "type" => push(widened_or_narrowed(types(old), types(new))),
            "required" => push(required(before, old, new)),
            "enum" => push(values(old, new)),
            "properties" | "patternProperties" => properties(side, &path, old, new, changes),
            "uniqueItems" => push(match new.map(Json::as_bool) {
                Some(Some(true)) => ChangeKind::Narrowed,
                None | Some(Some(false)) => ChangeKind::Widened,
                Some(None) => ChangeKind::Wording,
            }),
            "allOf" | "anyOf" | "prefixItems" => {
                in_order(side, &path, old, new, changes);
            }
            name if LOWER_BOUNDS.contains(&name) => push(bound(1.0, old, new)),
            name if UPPER_BOUNDS.contains(&name) => push(bound(-1.0, old, new)),
            schema if SUBSCHEMAS.contains(&schema) => {
                compare(side, &path, old, new, changes);
            }
            definitions if DEFINITIONS.contains(&definitions) => {
                let (Some(old), Some(new)) = (object(old, &none), object(new, &none)) else {
                    push(ChangeKind::Unclear);
                    continue;
                };
                for (name, old, new) in paired(old, new) {
                    let path = format!("{path}/{}", pointer(name));
                    match (old, new) {
                        (Some(old), Some(new)) => {
                            compare(side, &path, Some(old), Some(new), changes);
                        }
                        (old, new) => {
                            let kind = ChangeKind::Unclear;
                            changes.push(DefinitionChange::new(kind, &path, old, new));
                        }
                    }
                }
            }
            "$ref" | "$dynamicRef" | "$schema" | "$id" | "$anchor" | "not" | "if" | "then"
            | "else" | "oneOf" | "contains" | "dependentRequired" | "dependentSchemas" => {
                push(ChangeKind::Unclear);
            }
            // `description`, `title`, `default`, `examples`, `const`, `pattern`, `format` and whatever there may be.
            _ => words(&path, old, new, changes),
        }
    }
}

fn takes_all(schema: Option<&Json>) -> bool {
    schema.is_none_or(|schema| schema.as_bool() == Some(true))
}

/// More of one is wider, less of it narrower, something else is both.
fn widened_or_narrowed(old: Option<BTreeSet<&str>>, new: Option<BTreeSet<&str>>) -> ChangeKind {
    match (old, new) {
        (Some(old), Some(new)) if new.is_subset(&old) => ChangeKind::Narrowed,
        (Some(_), Some(_)) => ChangeKind::Widened,
        _ => ChangeKind::Unclear,
    }
}

fn types(said: Option<&Json>) -> Option<BTreeSet<&str>> {
    let mut types: BTreeSet<&str> = match said {
        None => TYPES.iter().copied().collect(),
        Some(said) => match (said.as_str(), said.as_array()) {
            (Some(one), _) => [one].into(),
            (None, Some(several)) => several.iter().map(Json::as_str).collect::<Option<_>>()?,
            (None, None) => return None,
        },
    };
    if types.contains("number") {
        types.insert("integer");
    }
    // Another word is for whoever reads it.
    types
        .iter()
        .all(|name| TYPES.contains(name))
        .then_some(types)
}

/// An argument that was known and must be given now is narrower; a new one is told as a property that is new.
fn required(before: &Object, old: Option<&Json>, new: Option<&Json>) -> ChangeKind {
    let list = |said: Option<&Json>| -> Option<BTreeSet<String>> {
        let Some(said) = said else {
            return Some(BTreeSet::new());
        };
        let names = said.as_array()?.iter();
        names.map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let (Some(old), Some(new)) = (list(old), list(new)) else {
        return ChangeKind::Unclear;
    };
    let properties = before.get("properties").and_then(Json::as_object);
    let known: BTreeSet<&str> = properties
        .into_iter()
        .flat_map(|properties| properties.iter().map(|(name, _)| name.as_str()))
        .collect();
    let unknown = |name: &&String| !known.contains(name.as_str());
    let unknown: Vec<&String> = new.difference(&old).filter(unknown).collect();
    match unknown.is_empty() {
        _ if unknown.iter().any(|name| reads_as_words(name)) => ChangeKind::Wording,
        true if new.is_superset(&old) => ChangeKind::Narrowed,
        _ => ChangeKind::Widened,
    }
}

/// Only fewer values of an `enum` are nothing new; new ones may be words.
fn values(old: Option<&Json>, new: Option<&Json>) -> ChangeKind {
    let list = |said: Option<&Json>| -> Option<BTreeSet<String>> {
        Some(said?.as_array()?.iter().map(Json::to_text).collect())
    };
    let said = new.and_then(Json::as_array);
    match (old, new) {
        (Some(_), None) => ChangeKind::Widened,
        (None, Some(_)) => ChangeKind::Wording,
        _ => match (list(old), list(new)) {
            (Some(old), Some(new)) => match new.is_subset(&old) {
                true => ChangeKind::Narrowed,
                false => {
                    let values = said.into_iter().flatten();
                    let mut new = values.filter(|value| !old.contains(&value.to_text()));
                    match new.any(is_word_as_value) {
                        true => ChangeKind::Wording,
                        false => ChangeKind::Widened,
                    }
                }
            },
            _ => ChangeKind::Unclear,
        },
    }
}

/// Whether a name or a value is a sentence rather than a name. Some servers have names such as `Due date`, and some would tell a
/// model what to do in them: nobody can tell these apart but by reading.
pub(super) fn reads_as_words(name: &str) -> bool {
    name.chars().count() > NAME_CHARS_MAX || name.contains(char::is_whitespace)
}

fn is_word_as_value(value: &Json) -> bool {
    value
        .as_str()
        .map_or_else(|| says_words(value), reads_as_words)
}

fn properties(
    side: Side,
    path: &str,
    old: Option<&Json>,
    new: Option<&Json>,
    changes: &mut Vec<DefinitionChange>,
) {
    let none = Object::new();
    let (Some(before), Some(after)) = (object(old, &none), object(new, &none)) else {
        changes.push(DefinitionChange::new(ChangeKind::Unclear, path, old, new));
        return;
    };
    for (name, old, new) in paired(before, after) {
        let path = format!("{path}/{}", pointer(name));
        match (old, new) {
            (Some(_), Some(_)) => compare(side, &path, old, new, changes),
            (None, _) => {
                changes.push(DefinitionChange::new(ChangeKind::Widened, &path, old, new));
                if reads_as_words(name) || new.is_some_and(says_words) {
                    changes.push(DefinitionChange::new(ChangeKind::Wording, &path, old, new));
                }
            }
            // What comes back without it may be anything in its place.
            (_, None) => {
                let kind = match side {
                    Side::Input => ChangeKind::Narrowed,
                    Side::Output => ChangeKind::Widened,
                };
                changes.push(DefinitionChange::new(kind, &path, old, new));
            }
        }
    }
}

fn in_order(
    side: Side,
    path: &str,
    old: Option<&Json>,
    new: Option<&Json>,
    changes: &mut Vec<DefinitionChange>,
) {
    let list = |said: Option<&Json>| said.and_then(|said| Some(said.as_array()?.to_vec()));
    match (list(old), list(new)) {
        (Some(before), Some(after)) if before.len() == after.len() => {
            for (index, (old, new)) in before.iter().zip(&after).enumerate() {
                let path = format!("{path}/{index}");
                compare(side, &path, Some(old), Some(new), changes);
            }
        }
        _ => changes.push(DefinitionChange::new(ChangeKind::Unclear, path, old, new)),
    }
}

/// A bound where there was none is narrower, as is a lower one that went up or an upper one (`direction` -1) that went down.
fn bound(direction: f64, old: Option<&Json>, new: Option<&Json>) -> ChangeKind {
    let Some(said) = new else {
        return ChangeKind::Widened;
    };
    let Some(now) = number(said) else {
        return ChangeKind::Wording;
    };
    let Some(old) = old else {
        return ChangeKind::Narrowed;
    };
    match number(old).map(|old| (now - old) * direction) {
        Some(up) if up > 0.0 => ChangeKind::Narrowed,
        Some(up) if up < 0.0 => ChangeKind::Widened,
        // `5` and `5.0`.
        Some(_) => ChangeKind::Layout,
        None => ChangeKind::Unclear,
    }
}

/// Whether something stands in a new piece of a schema that a model reads as words: any text but the names of types, of
/// required properties and of the values of an `enum`, as far as these are names.
pub(super) fn says_words(schema: &Json) -> bool {
    if let Some(several) = schema.as_array() {
        return several.iter().any(says_words);
    }
    let Some(members) = schema.as_object() else {
        return schema.as_str().is_some();
    };
    let is_name = |keyword: &str, value: &Json| match keyword {
        "type" => types(Some(value)).is_some(),
        "required" | "enum" => value.as_array().is_some_and(|names| {
            let mut names = names.iter().map(Json::as_str);
            names.all(|name| name.is_some_and(|name| !reads_as_words(name)))
        }),
        _ => false,
    };
    members.iter().any(|(keyword, value)| {
        reads_as_words(keyword.as_str()) || (!is_name(keyword, value) && says_words(value))
    })
}
