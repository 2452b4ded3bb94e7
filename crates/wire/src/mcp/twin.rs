//! Member names that another reader could take for a name of the protocol.
//!
//! Go's reader matches names without regard to case, with Unicode's simple folding (`ſ` is `s`, the Kelvin sign is
//! `k`); Java's adds the dotless and the dotted `i`. A message with `method` and `Method` is two messages then.

use super::json::{Key, Object};

/// Read at the top of a message.
pub(super) const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// Read in `params`, over all methods and revisions.
const PARAMS: &[&str] = &[
    "_meta",
    "name",
    "arguments",
    "uri",
    "ref",
    "argument",
    "context",
    "cursor",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "level",
    "requestId",
    "reason",
    "progressToken",
    "progress",
    "total",
    "message",
    "task",
    "taskId",
    "inputResponses",
    "requestState",
    "notifications",
];

/// Read in `params._meta`.
const META: &[&str] = &[
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/subscriptionId",
];

/// Read in the objects directly below `params`.
const BELOW_PARAMS: &[(&str, &[&str])] = &[
    ("_meta", META),
    ("ref", &["type", "name", "uri"]),
    ("argument", &["name", "value"]),
    ("context", &["arguments"]),
    ("task", &["ttl"]),
    (
        "notifications",
        &[
            "toolsListChanged",
            "promptsListChanged",
            "resourcesListChanged",
            "resourceSubscriptions",
            "taskIds",
        ],
    ),
];

/// The first member of `params`, or of an object of the protocol below it, that is a twin.
pub(super) fn twin_in_params(params: &Object) -> Option<&Key> {
    twin_in(params, PARAMS).or_else(|| {
        BELOW_PARAMS.iter().find_map(|(name, names)| {
            params
                .get(name)
                .and_then(|below| below.as_object())
                .and_then(|below| twin_in(below, names))
        })
    })
}

/// The first member of `object` that reads like one of `names` to a careless reader and is not it.
pub(super) fn twin_in<'a>(object: &'a Object, names: &[&str]) -> Option<&'a Key> {
    let mut keys = object.iter().map(|(name, _)| name);
    keys.find(|key| is_twin_of_any(key, names))
}

/// Whether it reads like one of `names` to a careless reader and is none of them.
pub(super) fn is_twin_of_any(key: &Key, names: &[&str]) -> bool {
    // A name of the protocol's own is nobody's twin: no two of them differ in letter case only.
    !key.is_static()
        && !names.contains(&key.as_str())
        && names.iter().any(|name| folds_to(key, name))
}

/// Whether some reader takes the member `key` for the one called `name`, which it is not. `name` is ASCII.
pub fn is_twin(key: &str, name: &str) -> bool {
    key != name && folds_to(key, name)
}

/// Whether `key` folds to `name` in some reader's folding. All names are ASCII.
fn folds_to(key: &str, name: &str) -> bool {
    // Folding never makes a text longer in bytes, and at most three bytes become one.
    if key.len() < name.len() || key.len() > name.len() * 3 {
        return false;
    }
    key.chars()
        .map(fold)
        .eq(name.chars().map(|letter| letter.to_ascii_lowercase()))
}

fn fold(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        _ => letter.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mcp::json::{Limits, parse_strict};

    fn params(text: &str) -> Object {
        let json = parse_strict(text.as_bytes(), &Limits::default()).unwrap();
        json.as_object().unwrap().clone()
    }

    #[test]
    fn no_two_names_of_the_protocol_differ_in_letter_case_only() {
        let below = BELOW_PARAMS.iter().flat_map(|(_, names)| names.iter());
        let lists: Vec<_> = ENVELOPE.iter().chain(PARAMS).chain(below).collect();
        for name in Key::static_names() {
            let twin = lists
                .iter()
                .find(|other| ***other != name && folds_to(name, other));
            assert_eq!(twin, None, "{name}");
        }
    }

    #[test]
    fn a_name_that_some_reader_takes_for_a_protocol_name_is_found_and_others_are_not() {
        for twin in [
            r#"{"Name":1}"#,
            r#"{"NAME":1,"name":2}"#,
            r#"{"argument\u017f":1}"#,
            r#"{"ta\u017f\u212a":1}"#,
            r#"{"ur\u0131":1}"#,
            r#"{"_META":{}}"#,
            r#"{"_meta":{"io.ModelContextProtocol/protocolVersion":"x"}}"#,
            r#"{"ref":{"Type":"ref/prompt"}}"#,
            r#"{"notifications":{"resourcesubscriptions":[]}}"#,
        ] {
            assert!(twin_in_params(&params(twin)).is_some(), "{twin}");
        }
        for plain in [
            r#"{"name":"x","arguments":{"Name":1,"name":2}}"#,
            r#"{"names":1}"#,
            r#"{"_meta":{"com.example/Name":1}}"#,
            r#"{"ref":{"type":"ref/prompt","name":"x"}}"#,
            r#"{}"#,
        ] {
            assert!(twin_in_params(&params(plain)).is_none(), "{plain}");
        }
    }
}
