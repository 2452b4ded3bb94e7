use wire::mcp::{Json, Object};

use crate::{Entry, condition};

/// The longest text that is recorded of one argument, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// The longest number, in bytes of its text.
const NUMBER_BYTES_MAX: usize = 64;
/// The most that is recorded of one call, in bytes of JSON.
const BYTES_MAX: usize = 1024;

/// What the record of a call may say of its arguments: those that the policy declares safe, each by its JSON Pointer.
/// Nothing where none is. Texts that are too long are cut; lists and objects are left out, since nobody looked at what a
/// caller puts into them; and so is what finds no room any more.
pub fn recorded_arguments(entry: &Entry, arguments: Option<&Json>) -> Option<Object> {
    let arguments = arguments?;
    let mut recorded = Object::new();
    let mut bytes = 2;
    for pointer in &entry.recorded_arguments {
        let Some(value) = condition::at(arguments, pointer).and_then(shown) else {
            continue;
        };
        // With quotes, colon and comma.
        let takes = Json::from(pointer.as_str()).to_bytes().len() + value.to_bytes().len() + 2;
        if bytes + takes > BYTES_MAX {
            break;
        }
        bytes += takes;
        recorded.insert(pointer.as_str(), value);
    }
    (!recorded.is_empty()).then_some(recorded)
}

fn shown(value: &Json) -> Option<Json> {
    match value {
        Json::String(text) => Some(match text.char_indices().nth(TEXT_CHARS_MAX) {
            None => value.clone(),
            Some((end, _)) => format!("{}…", &text[..end]).into(),
        }),
        Json::Number(number) if number.as_str().len() > NUMBER_BYTES_MAX => None,
        Json::Number(_) | Json::Bool(_) | Json::Null => Some(value.clone()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use wire::mcp::{Limits, parse_strict};

    use super::*;

    fn recorded(pointers: &[&str], arguments: &str) -> Option<String> {
        let entry = Entry {
            recorded_arguments: pointers.iter().map(|&pointer| pointer.to_owned()).collect(),
            ..Entry::default()
        };
        let arguments = parse_strict(arguments.as_bytes(), &Limits::default()).unwrap();
        recorded_arguments(&entry, Some(&arguments)).map(|object| Json::from(object).to_text())
    }

    #[test]
    fn only_what_was_declared_is_recorded_and_only_where_it_is_one_value() {
        let arguments = r#"{"path":"/srv/a","password":"s3cret","n":1e2,"in":{"a":[true,null]}}"#;
        for (pointers, expected) in [
            (&[][..], None),
            (&["/nothing"], None),
            (&["/path"], Some(r#"{"/path":"/srv/a"}"#)),
            (&["/in"], None),
            (&["/in/a"], None),
            (
                &["/in/a/0", "/in/a/1"],
                Some(r#"{"/in/a/0":true,"/in/a/1":null}"#),
            ),
            (&["/n", "/path"], Some(r#"{"/n":1e2,"/path":"/srv/a"}"#)),
        ] {
            assert_eq!(
                recorded(pointers, arguments).as_deref(),
                expected,
                "{pointers:?}"
            );
        }
        // Some readers take the one for the other.
        assert_eq!(recorded(&["/path"], r#"{"path":"a","Path":"b"}"#), None);
        assert_eq!(recorded_arguments(&Entry::default(), None), None);
    }

    #[test]
    fn what_is_recorded_has_an_end() {
        let text = |length: usize| format!(r#"{{"a":"{}"}}"#, "ä".repeat(length));
        let whole = recorded(&["/a"], &text(TEXT_CHARS_MAX)).unwrap();
        assert_eq!(whole.matches('ä').count(), TEXT_CHARS_MAX);
        assert!(!whole.contains('…'));
        let cut = recorded(&["/a"], &text(TEXT_CHARS_MAX + 1)).unwrap();
        assert_eq!(cut.matches('ä').count(), TEXT_CHARS_MAX);
        assert!(cut.contains('…'));

        let number = |length: usize| format!(r#"{{"a":{}}}"#, "1".repeat(length));
        assert!(recorded(&["/a"], &number(NUMBER_BYTES_MAX)).is_some());
        assert_eq!(recorded(&["/a"], &number(NUMBER_BYTES_MAX + 1)), None);

        let names = ["/a", "/b", "/c", "/d", "/e", "/f"];
        let members: Vec<String> = names
            .iter()
            .map(|name| format!(r#""{}":"{}""#, &name[1..], "x".repeat(TEXT_CHARS_MAX)))
            .collect();
        let arguments = format!("{{{}}}", members.join(","));
        let of_four = recorded(&names[..4], &arguments).unwrap();
        assert!(of_four.contains("/d") && of_four.len() <= BYTES_MAX);
        assert_eq!(recorded(&names, &arguments).unwrap(), of_four);
    }
}
