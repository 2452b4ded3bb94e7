use std::fmt;

use url::Url;

/// The longest id that is read; it stands in rows, tokens and addresses. Real ones are below 100 bytes.
const BYTES_MAX: usize = 512;

/// A client id that is the address of the document that describes the client, checked before anybody fetches it.
///
/// Kept byte for byte: two spellings of one address are two clients.
///
/// Spec: draft-ietf-oauth-client-id-metadata-document-02 section 3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DocumentUrl {
    text: String,
    host: String,
}

impl DocumentUrl {
    /// Reads a client id that starts with `https://`.
    ///
    /// # Errors
    /// Which rule it breaks, in words for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > BYTES_MAX {
            return Err("is longer than 512 bytes");
        }
        // Readers differ on what is not plain: some drop tabs, turn backslashes, or escape.
        if !text.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
            || text.contains(['\\', '<', '>', '"', '`', '{', '}', '|', '^'])
        {
            return Err("has a character that does not belong in a URL");
        }
        let rest = text
            .strip_prefix("https://")
            .ok_or("does not start with https://")?;
        if text.contains('#') {
            return Err("has a fragment");
        }
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err("has a user name or password");
        }
        let path = path_and_query.split('?').next().unwrap_or_default();
        if !path.starts_with('/') {
            return Err("has no path");
        }
        let dotted = path.to_ascii_lowercase().replace("%2e", ".");
        if dotted
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return Err("has a dot segment");
        }
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        let host = url.host_str().unwrap_or_default();
        let (name, port) = split_authority(authority);
        if name != host || host.is_empty() || host.ends_with('.') {
            return Err("has a host that is spelled in an unusual way");
        }
        if port.is_some_and(|port| !is_plain_port(port)) {
            return Err("has a port that is spelled in an unusual way");
        }
        Ok(Self {
            text: text.to_owned(),
            host: host.to_owned(),
        })
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, in lower case, international names in punycode. The only thing that the id proves.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for DocumentUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn split_authority(authority: &str) -> (&str, Option<&str>) {
    let host_end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    (
        host,
        (!rest.is_empty()).then(|| rest.trim_start_matches(':')),
    )
}

fn is_plain_port(port: &str) -> bool {
    !port.starts_with('0')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

/// Whether this is an address of the authority itself, which would be made to fetch from itself.
pub(crate) fn is_of(address: &str, public_url: &str) -> bool {
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    origin(address) == origin(public_url)
}

/// Whether `host` is one of `allowed`, label by label: `*.example.com` is every name under `example.com`, and not that
/// name itself. Compared as punycode, so that a name that only looks like another one is another one.
pub(crate) fn is_allowed_host(host: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|pattern| {
        let (name, is_below) = match pattern.trim().strip_prefix("*.") {
            Some(name) => (name, true),
            None => (pattern.trim(), false),
        };
        let Ok(url::Host::Domain(name)) = url::Host::parse(name.trim_end_matches('.')) else {
            // An address, or nonsense, which no host is equal to.
            return !is_below && pattern.trim() == host;
        };
        if !is_below {
            return host == name;
        }
        host.strip_suffix(name.as_str())
            .and_then(|labels| labels.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ids_of_bad_form_are_refused_before_anybody_fetches_and_their_twins_are_read() {
        // (bad, the one that differs in the one thing)
        for (bad, good) in [
            ("http://a.example/c.json", "https://a.example/c.json"),
            ("HTTPS://a.example/c.json", "https://a.example/c.json"),
            ("https:/a.example/c.json", "https://a.example/c.json"),
            ("https:///a.example/c.json", "https://a.example/c.json"),
            ("https://a.example", "https://a.example/"),
            ("https://a.example?c.json", "https://a.example/?c.json"),
            ("https://a.example/c.json#", "https://a.example/c.json"),
            ("https://a.example/c.json#x", "https://a.example/c.json?x"),
            (
                "https://user@a.example/c.json",
                "https://a.example/user@c.json",
            ),
            (
                "https://user:pw@a.example/c.json",
                "https://a.example:8443/c.json",
            ),
            ("https://@a.example/c.json", "https://a.example/@/c.json"),
            ("https://a.example/./c.json", "https://a.example/.x/c.json"),
            (
                "https://a.example/x/../c.json",
                "https://a.example/x/..c.json",
            ),
            (
                "https://a.example/%2e/c.json",
                "https://a.example/%2ex/c.json",
            ),
            (
                "https://a.example/x/%2E%2e/c.json",
                "https://a.example/x/%2E%2ey/c.json",
            ),
            ("https://a.example/.%2E", "https://a.example/.%2Ey"),
            ("https://a.example\\c.json", "https://a.example/c.json"),
            ("https://a.example/c\\d.json", "https://a.example/c/d.json"),
            ("https://a.example/c d.json", "https://a.example/c%20d.json"),
            ("https://a.example/c\td.json", "https://a.example/cd.json"),
            (
                "https://a.example/c\nd.json",
                "https://a.example/c%0Ad.json",
            ),
            ("https://a.example/\u{0}", "https://a.example/%00"),
            (
                "https://a.example/c\u{fc}.json",
                "https://a.example/c%C3%BC.json",
            ),
            (
                "https://b\u{fc}cher.example/c.json",
                "https://xn--bcher-kva.example/c.json",
            ),
            ("https://A.example/c.json", "https://a.example/C.json"),
            ("https://a.example./c.json", "https://a.example/c.json."),
            ("https://%61.example/c.json", "https://a.example/%61.json"),
            ("https://2130706433/c.json", "https://127.0.0.1/c.json"),
            ("https://0x7f.1/c.json", "https://127.0.0.1/c.json"),
            ("https://127.1/c.json", "https://127.0.0.1/c.json"),
            ("https://[0:0::1]/c.json", "https://[::1]/c.json"),
            ("https://a.example:/c.json", "https://a.example/c.json"),
            (
                "https://a.example:0443/c.json",
                "https://a.example:443/c.json",
            ),
            (
                "https://a.example:65536/c.json",
                "https://a.example:65535/c.json",
            ),
            ("https://a.example:0/c.json", "https://a.example:1/c.json"),
            (
                "https://a.example:443:80/c.json",
                "https://a.example:443/c.json",
            ),
        ] {
            assert!(DocumentUrl::parse(bad).is_err(), "{bad} was read");
            let read = DocumentUrl::parse(good);
            assert_eq!(read.as_ref().map(DocumentUrl::as_str), Ok(good), "{good}");
        }
        let long = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
        assert!(DocumentUrl::parse(&long(512)).is_ok());
        assert!(DocumentUrl::parse(&long(513)).is_err());
    }

    #[test]
    fn spellings_of_one_address_are_different_clients() {
        let first = DocumentUrl::parse("https://a.example/c").unwrap();
        assert_eq!(first.to_string(), first.as_str());
        for other in [
            "https://a.example:443/c",
            "https://a.example/c/",
            "https://a.example/C",
            "https://a.example/%63",
            "https://a.example/c?",
        ] {
            let other = DocumentUrl::parse(other).unwrap();
            assert_ne!(first, other);
            assert_eq!(first.host(), other.host());
        }
    }

    #[test]
    fn an_address_of_our_own_is_recognised_in_any_spelling() {
        let is_ours = |url: &str| is_of(url, "https://auth.example");
        assert!(is_ours(
            "https://auth.example/servers/todo/authorize?client_id=x"
        ));
        assert!(is_ours("https://auth.example:443/x"));
        assert!(!is_ours("https://auth.example:8443/x"));
        assert!(!is_ours("https://a.example/x"));
    }

    #[test]
    fn hosts_are_allowed_by_whole_labels() {
        let allowed = |host: &str, patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
            is_allowed_host(host, &patterns)
        };
        assert!(allowed("claude.ai", &["chatgpt.com", "claude.ai"]));
        assert!(allowed("claude.ai", &["Claude.AI."]));
        for evil in [
            "evil-claude.ai",
            "claude.ai.evil.example",
            "x.claude.ai",
            "claude.a",
            "xn--claude-9za.ai",
        ] {
            assert!(!allowed(evil, &["claude.ai"]), "{evil}");
        }
        assert!(allowed("x.example.com", &["*.example.com"]));
        assert!(allowed("y.x.example.com", &["*.example.com"]));
        for evil in [
            "example.com",
            "evil-example.com",
            "example.com.evil",
            ".example.com",
        ] {
            assert!(!allowed(evil, &["*.example.com"]), "{evil}");
        }
        assert!(allowed("xn--bcher-kva.example", &["b\u{fc}cher.example"]));
        assert!(allowed(
            "x.xn--bcher-kva.example",
            &["*.b\u{fc}cher.example"]
        ));
        assert!(!allowed("bucher.example", &["b\u{fc}cher.example"]));
        assert!(allowed("127.0.0.1", &["127.0.0.1"]));
        assert!(!allowed("a.example", &["*", "", "*.", "a.*", "*a.example"]));
        assert!(!allowed("a.example", &[]));
    }
}
