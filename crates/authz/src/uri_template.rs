//! Whether a URI is one of those that a template (RFC 6570) describes.
//!
//! Matched as the SDKs of MCP servers match, not as RFC 6570 expands: `{id}` is anything without a slash, `{+path}`
//! anything at all. A template that matches too much only adds its own requirement to those of the others.

/// The longest template that is read, in bytes.
const TEMPLATE_BYTES_MAX: usize = 2048;
/// The longest URI that is matched, in bytes.
const URI_BYTES_MAX: usize = 8192;
/// The most parts of one template; with the two lengths it bounds the work.
const PARTS_MAX: usize = 65;

enum Part<'a> {
    Literal(&'a [u8]),
    /// Any number of bytes that this accepts.
    Run(fn(u8) -> bool),
}

/// Whether `uri` matches `template`, in time proportional to the URI's length times the template's parts.
pub(crate) fn matches(template: &str, uri: &str) -> bool {
    if template.len() > TEMPLATE_BYTES_MAX || uri.len() > URI_BYTES_MAX {
        return false;
    }
    // Most templates of a server begin otherwise; that is seen without taking them apart.
    let head = template.split('{').next().unwrap_or_default();
    if !uri.starts_with(head) {
        return false;
    }
    let Some(parts) = parts(template) else {
        return false;
    };
    let uri = uri.as_bytes();
    // `reached[i]`: the parts so far can have taken exactly the first `i` bytes.
    let mut reached = vec![false; uri.len() + 1];
    reached[0] = true;
    for part in parts {
        match part {
            Part::Literal(literal) => {
                let mut next = vec![false; uri.len() + 1];
                for at in 0..=uri.len() {
                    if reached[at] && uri[at..].starts_with(literal) {
                        next[at + literal.len()] = true;
                    }
                }
                reached = next;
            }
            Part::Run(accepts) => {
                for at in 0..uri.len() {
                    reached[at + 1] |= reached[at] && accepts(uri[at]);
                }
            }
        }
    }
    reached[uri.len()]
}

/// `None` for what is no template.
fn parts(template: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        if parts.len() >= PARTS_MAX {
            return None;
        }
        let Some((literal, after)) = rest.split_once('{') else {
            parts.push(Part::Literal(rest.as_bytes()));
            break;
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.as_bytes()));
        }
        let (expression, after) = after.split_once('}')?;
        // RFC 6570 section 2.2: the operators of levels 2 and 3.
        parts.push(Part::Run(match expression.bytes().next()? {
            b'{' => return None,
            b'+' | b'#' => |_| true,
            b'/' => |byte| !matches!(byte, b'?' | b'#'),
            b'?' | b'&' => |byte| byte != b'#',
            _ => |byte| byte != b'/',
        }));
        rest = after;
    }
    Some(parts)
}

/// Whether a URI leads elsewhere than it reads: dot segments, plain or percent-encoded up to three times over,
/// backslashes, spaces, control characters.
pub(crate) fn is_unsafe(uri: &str) -> bool {
    let odd = |byte: &u8| *byte < b' ' || *byte == b'\\' || *byte == 0x7f;
    let dotted = |segment: &[u8]| segment == b"." || segment == b"..";
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'&' | b'=' | b';');
    // A decoded space is a plain file name; an undecoded one is no URI.
    uri.contains(' ')
        || decodings(uri)
            .take(3)
            .any(|bytes| bytes.iter().any(odd) || bytes.split(is_separator).any(dotted))
}

/// Whether a path of Unix or Windows has dot segments or control characters, plain or percent-encoded up to three times
/// over.
pub(crate) fn climbs(path: &str) -> bool {
    let has_control = |bytes: Vec<u8>| bytes.iter().any(u8::is_ascii_control);
    has_dot_segments(path) || decodings(path).take(4).any(has_control)
}

/// Whether a text has dot segments as a path of Unix or Windows, the same way. Windows drops dots and spaces at the end of a
/// name, so `.. ` is `..` there.
pub(crate) fn has_dot_segments(text: &str) -> bool {
    let dotted = |segment: &[u8]| {
        segment.contains(&b'.') && segment.iter().all(|byte| matches!(byte, b'.' | b' '))
    };
    let is_separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    decodings(text)
        .take(4)
        .any(|bytes| bytes.split(is_separator).any(dotted))
}

/// The text, and what it is without percent-encoding, again and again until that changes nothing.
fn decodings(text: &str) -> impl Iterator<Item = Vec<u8>> {
    std::iter::successors(Some(text.as_bytes().to_vec()), |bytes| {
        let decoded = percent_decoded(bytes);
        (decoded != *bytes).then_some(decoded)
    })
}

/// What servers may look up in the place of `uri`: its normal form as a URL, and its text without percent-encoding.
pub(crate) fn other_spellings(uri: &str) -> impl Iterator<Item = String> {
    let normal = url::Url::parse(uri).ok().map(String::from);
    let decoded = String::from_utf8(percent_decoded(uri.as_bytes())).ok();
    normal
        .into_iter()
        .chain(decoded)
        .filter(move |spelling| spelling != uri)
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let [b'%', high, low, ..] = bytes[at..]
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            out.push(high * 16 + low);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_uris_and_parts_are_matched_up_to_their_limits_and_not_beyond() {
        let template = |bytes: usize| format!("db://{}{{id}}", "x".repeat(bytes - 9));
        let uri = |bytes: usize| format!("db://{}1", "x".repeat(bytes - 9));
        for (bytes, fits) in [(2048, true), (2049, false)] {
            let matched = matches(&template(bytes), &uri(bytes));
            assert_eq!(matched, fits, "a template of {bytes} bytes");
        }
        let long = |bytes: usize| format!("db://{}", "x".repeat(bytes - 5));
        for (bytes, fits) in [(8192, true), (8193, false)] {
            let matched = matches("db://{id}", &long(bytes));
            assert_eq!(matched, fits, "a URI of {bytes} bytes");
        }
        let parts = |count: usize| ("{a}-".repeat(count), "1-".repeat(count));
        for (count, fits) in [(32, true), (33, false)] {
            let (template, uri) = parts(count);
            assert_eq!(matches(&template, &uri), fits, "{count} variables");
        }
    }

    #[test]
    fn a_template_matches_what_servers_take_for_a_match() {
        for (template, uri) in [
            ("db://users/{id}", "db://users/42"),
            ("db://users/{id}", "db://users/a:b@c"),
            ("file:///{+path}", "file:///home/a/b.txt"),
            ("file:///{path}", "file:///b.txt"),
            ("x://{a}/{b}/end", "x://1/2/end"),
            ("x://{a}-{b}", "x://1-2-3"),
            (
                "repo://{owner}/{repo}/contents{/path*}",
                "repo://o/r/contents/a/b",
            ),
            ("s://q{?term,page}", "s://q?term=a&page=2"),
            ("s://q{?term}", "s://q"),
            ("plain://x", "plain://x"),
            ("x://{+a}{+b}{+c}z", "x://aaaaz"),
        ] {
            assert!(matches(template, uri), "{template} {uri}");
        }
        for (template, uri) in [
            ("db://users/{id}", "db://users/42/secrets"),
            ("db://users/{id}", "db://user/42"),
            ("db://users/{id}", "DB://users/42"),
            ("file:///{path}", "file:///a/b.txt"),
            ("x://{a}/end", "x://1/2/end"),
            ("s://q{?term}", "s://q?term=a#frag"),
            ("x://{", "x://{"),
            ("x://{}", "x://"),
            ("x://{{a}}", "x://a"),
            ("plain://x", "plain://xy"),
        ] {
            assert!(!matches(template, uri), "{template} {uri}");
        }
    }

    #[test]
    fn matching_stays_quick_on_a_template_made_to_be_slow() {
        let template = format!("x://{}z", "{+a}b".repeat(30));
        let uri = format!("x://{}", "b".repeat(8000));
        assert!(!matches(&template, &uri));
    }

    #[test]
    fn a_uri_that_leads_elsewhere_is_unsafe_and_one_with_dots_in_names_is_not() {
        for uri in [
            "file:///a/../b",
            "file:///a/./b",
            "file:///a/%2e%2E/b",
            "file:///a/%252e%252e/b",
            "file:///a%2f..%2fb",
            "file:///a\\..\\b",
            "file:///a%5c..%5cb",
            "file:///..",
            "s://q?path=../b",
            "file:///a b",
            "file:///a%00b",
            "file:///a\nb",
        ] {
            assert!(is_unsafe(uri), "{uri}");
        }
        for uri in [
            "file:///a/b..c/.hidden/x.tar.gz",
            "file:///a%20b",
            "db://users/42",
            "s://q?term=a.b&page=2",
            "note://ö/%C3%B6",
        ] {
            assert!(!is_unsafe(uri), "{uri}");
        }
    }
}
