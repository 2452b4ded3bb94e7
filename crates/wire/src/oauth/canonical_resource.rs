use url::Url;

/// The longest resource, in bytes.
const RESOURCE_BYTES_MAX: usize = 2048;

/// The canonical resource of an MCP server, taken apart: the exact URL that people type, and the `aud` of its tokens.
///
/// It is compared byte for byte, so it can only be written in one way: lower case in scheme and host, no default port,
/// a path without dot segments, nothing after it. `https://mcp.example.com` and `https://mcp.example.com/` are both
/// good, and are two resources with one address.
///
/// Spec: RFC 8707 section 2; RFC 9728 section 1.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalResource {
    origin: String,
    path: String,
}

/// A text that cannot be the resource of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResourceError(String);

impl ResourceError {
    /// One for another reason, in words.
    pub fn because(reason: String) -> Self {
        Self(reason)
    }
}

impl CanonicalResource {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// What is wrong with it, and how it would be right.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let refused = |reason: &str| Err(ResourceError(reason.to_owned()));
        if text.len() > RESOURCE_BYTES_MAX {
            return refused("it has more than 2048 bytes");
        }
        let Ok(url) = Url::parse(text) else {
            return refused("it is not a URL such as https://mcp.example.com/mcp");
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return refused("it is not a URL such as https://mcp.example.com/mcp");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("a URL that clients type has no user name or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused(
                "requests are told apart by host and path; leave out what follows ? or #",
            );
        }
        let origin = url.origin().ascii_serialization();
        match text.strip_prefix(&origin) {
            Some(path) if path == url.path() || path.is_empty() => Ok(Self {
                path: path.to_owned(),
                origin,
            }),
            _ => Err(ResourceError(format!("write it as {url}"))),
        }
    }

    /// Scheme, host and port, such as `https://mcp.example.com`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What follows the origin: empty, or from its slash on.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_resource_is_taken_apart_without_a_byte_lost() {
        for (text, origin, path) in [
            (
                "http://localhost:4180/mcp/todo",
                "http://localhost:4180",
                "/mcp/todo",
            ),
            ("https://a.example", "https://a.example", ""),
            ("https://a.example/", "https://a.example", "/"),
            ("https://a.example/mcp/", "https://a.example", "/mcp/"),
            ("https://a.example/%7Ex", "https://a.example", "/%7Ex"),
            ("http://[::1]:9/mcp", "http://[::1]:9", "/mcp"),
        ] {
            let resource = CanonicalResource::parse(text).unwrap();
            assert_eq!((resource.origin(), resource.path()), (origin, path));
        }
    }

    #[test]
    fn a_resource_that_could_be_written_in_two_ways_is_refused_with_the_right_one() {
        for (text, right) in [
            ("HTTPS://a.example/mcp", "https://a.example/mcp"),
            ("https://A.example/mcp", "https://a.example/mcp"),
            ("https://a.example:443/mcp", "https://a.example/mcp"),
            ("https://a.example/x/../mcp", "https://a.example/mcp"),
            ("https://a.example/m cp", "https://a.example/m%20cp"),
            (" https://a.example/mcp", "https://a.example/mcp"),
        ] {
            let error = CanonicalResource::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("write it as {right}"), "{text}");
            assert!(CanonicalResource::parse(right).is_ok());
        }
    }

    #[test]
    fn what_no_request_can_ask_for_is_refused() {
        for text in [
            "",
            "a.example/mcp",
            "ftp://a.example/mcp",
            "mailto:a@a.example",
            "https://user@a.example/mcp",
            "https://a.example/mcp?x",
            "https://a.example/mcp#x",
            &format!("https://a.example/{}", "x".repeat(RESOURCE_BYTES_MAX)),
        ] {
            assert!(CanonicalResource::parse(text).is_err(), "{text}");
        }
    }
}
