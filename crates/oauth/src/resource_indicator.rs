use url::Url;

use crate::Error;

/// The canonical resource of an MCP server, taken apart once so that each spelling of it is recognised.
///
/// Automatic spellings: a slash more or less at the end, the letter case of scheme and host, the default port, and
/// `localhost`, `127.0.0.1` and `[::1]` for one another.
#[derive(Debug)]
pub(crate) struct CanonicalResource {
    text: String,
    parts: Option<ResourceParts>,
}

#[derive(Debug, PartialEq, Eq)]
struct ResourceParts {
    scheme: String,
    host: String,
    port: Option<u16>,
    path: String,
    query: Option<String>,
}

impl CanonicalResource {
    pub fn new(resource: &str) -> Self {
        Self {
            text: resource.to_owned(),
            parts: take_apart(resource),
        }
    }

    /// Whether `asked` names this resource.
    pub fn is_named_by(&self, asked: &str) -> bool {
        asked == self.text || (self.parts.is_some() && take_apart(asked) == self.parts)
    }

    /// Whether it is at `origin`, in any spelling.
    pub fn is_at(&self, origin: &str) -> bool {
        match (&self.parts, take_apart(origin)) {
            (Some(own), Some(origin)) => {
                (&own.scheme, &own.host, own.port) == (&origin.scheme, &origin.host, origin.port)
            }
            _ => false,
        }
    }

    /// Checks every `resource` parameter of a request. None at all is accepted: a client is bound to this server's one
    /// audience anyway, since it came to this server's issuer.
    ///
    /// Spec: RFC 8707 section 2.
    pub fn check<'r>(&self, asked: impl Iterator<Item = &'r str>) -> Result<(), Error> {
        for resource in asked {
            if !self.is_named_by(resource) {
                return Err(Error::invalid_target(self.difference(resource))
                    .because(format!("resource {} was asked", shortened(resource))));
            }
        }
        Ok(())
    }
}

/// The most of an asked resource that is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// How much stands before the mark of a difference.
const BEFORE_MARK_CHARS: usize = 24;

impl CanonicalResource {
    /// Both texts, and where they part: people compare them by eye, and one letter or slash is hard to see.
    fn difference(&self, asked: &str) -> String {
        let pairs = self.text.chars().zip(asked.chars());
        let same = pairs.take_while(|(own, asked)| own == asked).count();
        let mark = |text: &str| {
            let from = same.saturating_sub(BEFORE_MARK_CHARS);
            let before: String = text.chars().skip(from).take(same - from).collect();
            let dots = if from > 0 { "..." } else { "" };
            let first = text.chars().nth(same);
            let marked = first.map_or("end".to_owned(), |first| shown(&first.to_string()));
            let after: String = text
                .chars()
                .skip(same + 1)
                .take(BEFORE_MARK_CHARS)
                .collect();
            format!("{dots}{}[{marked}]{}", shown(&before), shown(&after))
        };
        format!(
            "resource must be {}, or be left out; it was {}; they differ at character {}: {} was expected, {} came",
            self.text,
            shown(asked),
            same + 1,
            mark(&self.text),
            mark(asked),
        )
    }
}

/// As it may stand in an error text, which makes apostrophes of quotes (RFC 6749 section 5.2).
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|character| match character {
            '!'..='~' => character,
            _ => '?',
        })
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// For the log: a form may carry as much of it as a form may be long.
fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(200).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{dots}")
}

fn take_apart(text: &str) -> Option<ResourceParts> {
    if text.len() > 2048 || text.contains(['#', '\\']) || text.contains(char::is_whitespace) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https")
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return None;
    }
    let host = match url.host_str()? {
        "localhost" | "127.0.0.1" | "[::1]" => "localhost",
        other => other,
    };
    Some(ResourceParts {
        scheme: url.scheme().to_owned(),
        host: host.to_owned(),
        port: url.port_or_known_default(),
        path: url
            .path()
            .strip_suffix('/')
            .unwrap_or(url.path())
            .to_owned(),
        query: url.query().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spellings_of_the_resource_are_accepted_and_its_neighbours_are_not() {
        let local = CanonicalResource::new("http://localhost:4180/mcp/todo");
        for spelling in [
            "http://localhost:4180/mcp/todo",
            "http://localhost:4180/mcp/todo/",
            "HTTP://LocalHost:4180/mcp/todo",
            "http://127.0.0.1:4180/mcp/todo",
            "http://[::1]:4180/mcp/todo/",
        ] {
            assert!(local.is_named_by(spelling), "{spelling}");
        }
        for foreign in [
            "",
            "http://localhost:4180/mcp/todo//",
            "http://localhost:4180/mcp/Todo",
            "http://localhost:4180/mcp/todos",
            "http://localhost:4180/mcp",
            "http://localhost:4180",
            "http://localhost:4181/mcp/todo",
            "https://localhost:4180/mcp/todo",
            "http://localhost:4180/mcp/todo?x=1",
            "http://localhost:4180/mcp/todo#x",
            "http://a@localhost:4180/mcp/todo",
            "http://evil.example/mcp/todo",
            "mcp/todo",
        ] {
            assert!(!local.is_named_by(foreign), "{foreign}");
        }
        // 2,048 bytes are taken apart, and one more is not.
        let long = |bytes: usize| format!("https://a.example/{}", "x".repeat(bytes - 18));
        for (bytes, is_taken_apart) in [(2048, true), (2049, false)] {
            let own = CanonicalResource::new(&long(bytes));
            assert!(own.is_named_by(&long(bytes)));
            let spelled = long(bytes).replace("https", "HTTPS");
            assert_eq!(own.is_named_by(&spelled), is_taken_apart, "{bytes}");
        }
        // At a host of its own, and not at another one's same path.
        let foreign = CanonicalResource::new("https://api.example.com/mcp");
        for (asked, is_named) in [
            ("https://api.example.com/mcp", true),
            ("https://API.example.com:443/mcp/", true),
            ("https://mcp.example.com/mcp", false),
            ("https://api.example.com.evil.example/mcp", false),
            ("https://api.example.com", false),
            ("http://api.example.com/mcp", false),
        ] {
            assert_eq!(foreign.is_named_by(asked), is_named, "{asked}");
        }
        assert!(foreign.is_at("https://api.example.com"));
        assert!(!foreign.is_at("https://api.example.com:444"));
        assert!(!foreign.is_at("https://mcp.example.com"));
        assert!(local.is_at("http://127.0.0.1:4180"));
        let origin = CanonicalResource::new("https://mcp.example.com");
        assert!(origin.is_named_by("https://mcp.example.com/"));
        assert!(origin.is_named_by("https://MCP.example.com:443"));
        assert!(!origin.is_named_by("https://mcp.example.com:444"));
    }

    #[test]
    fn both_texts_are_shown_and_the_first_difference_is_marked() {
        let canonical = CanonicalResource::new("http://localhost:4180/mcp/todo");
        let told = |asked: &str| {
            let error = canonical.check([asked].into_iter()).unwrap_err();
            error.description().to_owned()
        };
        let prefix = "resource must be http://localhost:4180/mcp/todo, or be left out; it was ";
        for (asked, rest) in [
            (
                "http://localhost:4180/mcp/Todo",
                "http://localhost:4180/mcp/Todo; they differ at character 27: \
                 ...tp://localhost:4180/mcp/[t]odo was expected, ...tp://localhost:4180/mcp/[T]odo came",
            ),
            (
                "http://localhost:4180/mcp",
                "http://localhost:4180/mcp; they differ at character 26: \
                 ...ttp://localhost:4180/mcp[/]todo was expected, ...ttp://localhost:4180/mcp[end] came",
            ),
            (
                "https://localhost:4180/mcp/todo",
                "https://localhost:4180/mcp/todo; they differ at character 5: \
                 http[:]//localhost:4180/mcp/tod was expected, http[s]://localhost:4180/mcp/to came",
            ),
        ] {
            assert_eq!(told(asked), format!("{prefix}{rest}"));
        }
        for asked in ["\"\\\u{1b}[31m\u{202e}ä", &"é/".repeat(5_000)] {
            let text = told(asked);
            assert!(text.len() < 700, "{text}");
            let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(text.bytes().all(allowed), "{text}");
        }
    }

    #[test]
    fn the_log_is_told_what_was_asked_but_not_all_of_a_long_text() {
        let canonical = CanonicalResource::new("https://mcp.example.com/mcp");
        let cause = |asked: &str| {
            let error = canonical.check([asked].into_iter()).unwrap_err();
            error.cause().unwrap().to_owned()
        };
        assert_eq!(cause("https://a/"), "resource \"https://a/\" was asked");
        assert!(cause(&"\u{1b}[31m".repeat(10_000)).len() < 1000);
        assert!(!cause("\u{1b}[31m").contains('\u{1b}'));
        assert!(cause(&"a".repeat(201)).contains("\"… was asked"));
        assert!(cause(&"a".repeat(200)).contains("aa\" was asked"));
    }

    #[test]
    fn absent_and_repeated_are_fine_and_one_foreign_among_them_is_not() {
        let canonical = CanonicalResource::new("https://mcp.example.com/mcp");
        let own = "https://mcp.example.com/mcp";
        assert!(canonical.check([].into_iter()).is_ok());
        assert!(canonical.check([own, own].into_iter()).is_ok());
        let error = canonical
            .check([own, "https://other.example/mcp"].into_iter())
            .unwrap_err();
        assert_eq!(error.code(), wire::oauth::ErrorCode::InvalidTarget);
    }
}
