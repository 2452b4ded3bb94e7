//! Second opinions: the same rules once more, written from the standards and in another way than the code under test.

use std::collections::BTreeSet;

/// What RFC 6749 section 5.2 permits in `error_description`, and no more of it than a log line should hold.
pub fn is_description(text: &str) -> bool {
    let permitted = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.len() <= 4096 && text.bytes().all(permitted)
}

/// An address in pieces, by cutting it at its delimiters and nothing else.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Cut {
    pub scheme: String,
    pub authority: String,
    /// From the first slash or question mark on.
    pub rest: String,
}

/// Cuts `scheme://authority/rest`.
pub fn cut(text: &str) -> Option<Cut> {
    let colon = text.find("://")?;
    let after = &text[colon + 3..];
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    Some(Cut {
        scheme: text[..colon].to_ascii_lowercase(),
        authority: after[..end].to_owned(),
        rest: after[end..].to_owned(),
    })
}

/// Host and port of an authority without user information.
pub fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (address, after) = inside.split_once(']')?;
            (format!("[{address}]"), after)
        }
        None => match authority.split_once(':') {
            Some((host, _)) => (host.to_owned(), &authority[host.len()..]),
            None => (authority.to_owned(), ""),
        },
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// Whether a JSON text has a member name twice in one object, by walking over it as text.
pub fn has_a_double_member(text: &str) -> bool {
    /// The names seen in an open object; `None` for an array.
    type Open = Option<BTreeSet<String>>;
    let mut open: Vec<Open> = Vec::new();
    let mut rest = text.char_indices();
    let mut last_string: Option<String> = None;
    while let Some((at, character)) = rest.next() {
        match character {
            '{' => open.push(Some(BTreeSet::new())),
            '[' => open.push(None),
            '}' | ']' => drop(open.pop()),
            '"' => {
                let mut end = text.len();
                while let Some((inner, character)) = rest.next() {
                    match character {
                        '\\' => drop(rest.next()),
                        '"' => {
                            end = inner + 1;
                            break;
                        }
                        _ => {}
                    }
                }
                last_string = serde_json::from_str(&text[at..end]).ok();
            }
            ':' => {
                if let (Some(Some(names)), Some(name)) = (open.last_mut(), last_string.take())
                    && !names.insert(name)
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_member_is_found_at_any_depth_and_in_any_spelling() {
        assert!(has_a_double_member(r#"{"a":1,"\u0061":2}"#));
        assert!(has_a_double_member(r#"{"x":[{"b":{},"b":1}]}"#));
        assert!(!has_a_double_member(r#"{"a":{"a":"a:a"},"b":["a","a"]}"#));
    }

    #[test]
    fn an_address_is_cut_at_its_delimiters() {
        let cut = cut("HTTP://[::1]:80?x").unwrap();
        assert_eq!((cut.scheme.as_str(), cut.rest.as_str()), ("http", "?x"));
        assert_eq!(
            host_and_port(&cut.authority),
            Some(("[::1]".into(), Some(80)))
        );
        assert_eq!(host_and_port("a:b"), None);
    }
}
