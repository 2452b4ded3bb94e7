use std::collections::BTreeMap;

use wire::mcp::Json;
use wire::mcp::definition::Definition;
use wire::mcp::json::Object;

use super::schema::{Side, compare_schemas, reads_as_words, says_words};
use super::{ChangeKind, DefinitionChange};
use crate::fingerprint::{judged, same_meaning};

/// The hints by which clients decide whether to ask the person. With what each means when it is missing (MCP schema,
/// `ToolAnnotations`).
const FLIPPING: &[(&str, bool)] = &[
    ("readOnlyHint", false),
    ("destructiveHint", true),
    ("openWorldHint", true),
];
/// Nobody is asked, or not asked, because of these.
const HINTS: &[&str] = &["idempotentHint", "audience", "priority"];
/// Whom `audience` may name (MCP schema, `Role`).
const AUDIENCES: &[&str] = &["user", "assistant"];

/// What differs between two definitions of one element, in the order of names; nothing when, and only when, both have the
/// same [`crate::fingerprint`].
pub fn definition_changes(before: &Definition, after: &Definition) -> Vec<DefinitionChange> {
    let mut changes = Vec::new();
    let (before, after) = (judged(before), judged(after));
    for (member, old, new) in paired(&before, &after) {
        let path = format!("/{}", pointer(member));
        if same_meaning(old, new) {
            continue;
        }
        match member {
            "annotations" => annotations(&path, old, new, &mut changes),
            "arguments" => prompt_arguments(&path, old, new, &mut changes),
            "inputSchema" => compare_schemas(Side::Input, &path, old, new, &mut changes),
            "outputSchema" => compare_schemas(Side::Output, &path, old, new, &mut changes),
            "description" | "title" | "name" => words(&path, old, new, &mut changes),
            _ => changes.push(DefinitionChange::new(ChangeKind::Unclear, &path, old, new)),
        }
    }
    if changes.is_empty() && !same_meaning(Some(&before.into()), Some(&after.into())) {
        // The same said in another way, such as an empty `properties` that was missing.
        changes.push(DefinitionChange::new(ChangeKind::Layout, "", None, None));
    }
    changes
}

/// What a model or a person reads. Layout is white space of ASCII alone: other kinds hide things.
pub(super) fn words(
    path: &str,
    old: Option<&Json>,
    new: Option<&Json>,
    changes: &mut Vec<DefinitionChange>,
) {
    if same_meaning(old, new) {
        return;
    }
    let laid_out = |text: Option<&Json>| -> Option<Vec<String>> {
        let text = text?.as_str()?;
        Some(text.split_ascii_whitespace().map(str::to_owned).collect())
    };
    let kind = match (laid_out(old), laid_out(new)) {
        (Some(old), Some(new)) if old == new => ChangeKind::Layout,
        _ => ChangeKind::Wording,
    };
    changes.push(DefinitionChange::new(kind, path, old, new));
}

fn annotations(
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
        if same_meaning(old, new) {
            continue;
        }
        let default = FLIPPING.iter().find(|(hint, _)| *hint == name);
        let kind = match default {
            Some((_, default)) => {
                let meant = |said: Option<&Json>| match said {
                    None => Some(*default),
                    Some(said) => said.as_bool(),
                };
                match (meant(old), meant(new)) {
                    // Said what was meant before, or no more.
                    (Some(old), Some(new)) if old == new => ChangeKind::Hint,
                    _ => ChangeKind::AnnotationFlipped,
                }
            }
            None if HINTS.contains(&name) && is_hint(name, new) => ChangeKind::Hint,
            None => {
                words(&path, old, new, changes);
                continue;
            }
        };
        changes.push(DefinitionChange::new(kind, &path, old, new));
    }
}

/// Whether it is what such a hint can be, or gone. Anything else is words.
fn is_hint(name: &str, said: Option<&Json>) -> bool {
    said.is_none_or(|said| match name {
        "idempotentHint" => said.as_bool().is_some(),
        "priority" => number(said).is_some(),
        _ => said.as_array().is_some_and(|names| {
            let mut names = names.iter().map(Json::as_str);
            names.all(|name| name.is_some_and(|name| AUDIENCES.contains(&name)))
        }),
    })
}

/// What a number is worth; a string is none.
pub(super) fn number(said: &Json) -> Option<f64> {
    said.to_text().parse().ok()
}

/// The arguments of a prompt stand in a list, each with its name.
fn prompt_arguments(
    path: &str,
    old: Option<&Json>,
    new: Option<&Json>,
    changes: &mut Vec<DefinitionChange>,
) {
    let (Some(before), Some(after)) = (named(old), named(new)) else {
        changes.push(DefinitionChange::new(ChangeKind::Unclear, path, old, new));
        return;
    };
    let none = Object::new();
    for (name, old, new) in paired(&before, &after) {
        let path = format!("{path}/{}", pointer(name));
        let (old_members, new_members) = match (old, new) {
            (None, _) => {
                changes.push(DefinitionChange::new(ChangeKind::Widened, &path, old, new));
                let mut members = object(new, &none).into_iter().flat_map(Object::iter);
                let mut says = || {
                    members.any(|(member, value)| member.as_str() != "name" && says_words(value))
                };
                if reads_as_words(name) || says() {
                    changes.push(DefinitionChange::new(ChangeKind::Wording, &path, old, new));
                }
                continue;
            }
            (_, None) => {
                changes.push(DefinitionChange::new(ChangeKind::Narrowed, &path, old, new));
                continue;
            }
            (old, new) => match (object(old, &none), object(new, &none)) {
                (Some(old), Some(new)) => (old, new),
                _ => continue,
            },
        };
        for (member, old, new) in paired(old_members, new_members) {
            let path = format!("{path}/{}", pointer(member));
            if same_meaning(old, new) {
                continue;
            }
            let required = |said: Option<&Json>| said.and_then(Json::as_bool).unwrap_or(false);
            match member {
                "required" if new.is_none_or(|new| new.as_bool().is_some()) => {
                    let kind = match required(new) && !required(old) {
                        true => ChangeKind::Narrowed,
                        false => ChangeKind::Widened,
                    };
                    changes.push(DefinitionChange::new(kind, &path, old, new));
                }
                _ => words(&path, old, new, changes),
            }
        }
    }
}

/// By name; `None` when it is no list of objects with one name each.
fn named(list: Option<&Json>) -> Option<Object> {
    let Some(list) = list else {
        return Some(Object::new());
    };
    let mut by_name = BTreeMap::new();
    for argument in list.as_array()? {
        let name = argument.as_object()?.str("name")?;
        if by_name.insert(name.to_owned(), argument.clone()).is_some() {
            return None;
        }
    }
    Some(by_name.into_iter().collect())
}

/// What is missing is empty; `None` when it is no object.
pub(super) fn object<'a>(value: Option<&'a Json>, none: &'a Object) -> Option<&'a Object> {
    match value {
        None => Some(none),
        Some(value) => value.as_object(),
    }
}

/// The members of both by name, in the order of names. By an index: a stranger chooses how many there are.
pub(super) fn paired<'a>(
    one: &'a Object,
    two: &'a Object,
) -> impl Iterator<Item = (&'a str, Option<&'a Json>, Option<&'a Json>)> {
    let mut pairs: BTreeMap<&str, (Option<&Json>, Option<&Json>)> = BTreeMap::new();
    for (name, value) in one.iter() {
        pairs.entry(name.as_str()).or_default().0 = Some(value);
    }
    for (name, value) in two.iter() {
        pairs.entry(name.as_str()).or_default().1 = Some(value);
    }
    pairs.into_iter().map(|(name, (one, two))| (name, one, two))
}

/// One step of a JSON pointer (RFC 6901 section 3).
pub(super) fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
