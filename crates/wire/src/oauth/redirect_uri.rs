use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// The longest redirect URI that is read, in bytes.
const REDIRECT_URI_BYTES_MAX: usize = 2048;

/// A redirect URI of permitted shape, kept byte for byte as it came.
///
/// Spec: RFC 6749 section 3.1.2; RFC 8252 section 7.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri {
    text: String,
    kind: RedirectUriKind,
}

/// Who can be at the other end of a redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectUriKind {
    /// `https` to a host name: proves the host.
    Https,
    /// `http` to `localhost`, `127.0.0.1` or `[::1]`: a program on the person's machine, any of them.
    Loopback,
    /// A private-use scheme such as `cursor://`: whatever program claimed it.
    PrivateUseScheme,
}

/// Why a text is not an acceptable redirect URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum RedirectUriError {
    #[error("redirect_uri is longer than 2048 bytes")]
    TooLong,
    #[error("redirect_uri is not an absolute URI")]
    NotAbsolute,
    #[error("redirect_uri has a character that does not belong in a URI")]
    BadCharacter,
    #[error("redirect_uri must not have a fragment")]
    Fragment,
    #[error("redirect_uri must not have a user name or password")]
    UserInfo,
    #[error(
        "redirect_uri with http must be localhost, 127.0.0.1 or [::1]; use https for any other host"
    )]
    HttpNotLoopback,
    #[error("redirect_uri scheme {0} is never allowed")]
    ForbiddenScheme(String),
    #[error("redirect_uri must not have dot segments")]
    DotSegments,
}

impl RedirectUri {
    /// Reads a redirect URI.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        if text.len() > REDIRECT_URI_BYTES_MAX {
            return Err(RedirectUriError::TooLong);
        }
        // The URL parser drops tabs and newlines and turns backslashes; two readers must never differ on this string.
        if !text.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
            || text.contains(['\\', '<', '>', '"', '`', '{', '}', '|', '^'])
        {
            return Err(RedirectUriError::BadCharacter);
        }
        let url = Url::parse(text).map_err(|_| RedirectUriError::NotAbsolute)?;
        if text.contains('#') {
            return Err(RedirectUriError::Fragment);
        }
        let path = text.split('?').next().unwrap_or(text);
        let lower = path.to_ascii_lowercase().replace("%2e", ".");
        if lower
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return Err(RedirectUriError::DotSegments);
        }
        let kind = match url.scheme() {
            scheme @ ("http" | "https") => {
                // `https:/x` and `https:x` parse as well, but only one spelling is one address.
                if !text[scheme.len()..].starts_with("://") {
                    return Err(RedirectUriError::NotAbsolute);
                }
                let authority = text[scheme.len() + 3..]
                    .split(['/', '?'])
                    .next()
                    .unwrap_or_default();
                // The URL parser skips slashes, so that it sees a host, and even a user name, where a reader sees none.
                if authority.is_empty() {
                    return Err(RedirectUriError::NotAbsolute);
                }
                if authority.contains('@') {
                    return Err(RedirectUriError::UserInfo);
                }
                match scheme {
                    "https" => RedirectUriKind::Https,
                    _ if is_loopback(&url, authority) => RedirectUriKind::Loopback,
                    _ => return Err(RedirectUriError::HttpNotLoopback),
                }
            }
            scheme @ ("javascript" | "data" | "vbscript" | "blob" | "jar" | "feed" | "file"
            | "about" | "view-source" | "ftp" | "ws" | "wss" | "filesystem"
            | "mailto" | "tel" | "intent") => {
                return Err(RedirectUriError::ForbiddenScheme(scheme.to_owned()));
            }
            // `ms-msdt:`, `ms-officecmd:` and their kind run programs of the operating system.
            scheme if scheme.starts_with("ms-") => {
                return Err(RedirectUriError::ForbiddenScheme(scheme.to_owned()));
            }
            _ => RedirectUriKind::PrivateUseScheme,
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who can be at the other end.
    pub fn kind(&self) -> RedirectUriKind {
        self.kind
    }

    /// The host of an https or loopback URI; the scheme of any other.
    pub fn display_host(&self) -> String {
        let url = Url::parse(&self.text).expect("parsed once already");
        match self.kind {
            RedirectUriKind::PrivateUseScheme => format!("{}:", url.scheme()),
            _ => url.host_str().unwrap_or_default().to_owned(),
        }
    }

    /// Whether `asked` is this registered URI: byte for byte, except that a loopback URI may have any port, and
    /// an empty path is `/` (RFC 8252 section 7.3; VS Code registers both forms).
    pub fn accepts(&self, asked: &Self) -> bool {
        if self.text == asked.text {
            return true;
        }
        self.kind == RedirectUriKind::Loopback
            && asked.kind == RedirectUriKind::Loopback
            && loopback_parts(&self.text) == loopback_parts(&asked.text)
    }
}

/// The names a program on the person's machine answers under.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl RedirectUri {
    /// The text without what [`RedirectUri::accepts`] does not compare: the port of a loopback URI, and the missing
    /// slash of its empty path. Two that accept each other have the same.
    pub fn for_any_port(&self) -> Cow<'_, str> {
        match (self.kind, loopback_parts(&self.text)) {
            (RedirectUriKind::Loopback, Some((host, tail))) => {
                Cow::Owned(format!("http://{host}{tail}"))
            }
            _ => Cow::Borrowed(&self.text),
        }
    }
}

/// Host and everything behind the port, textually. Only for URIs of kind [`RedirectUriKind::Loopback`].
fn loopback_parts(text: &str) -> Option<(&'static str, String)> {
    let rest = text.get("http://".len()..)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let authority = authority.to_ascii_lowercase();
    let host = LOOPBACK_NAMES
        .into_iter()
        .find(|name| authority.starts_with(name))?;
    let tail = if tail.starts_with('/') {
        tail.to_owned()
    } else {
        format!("/{tail}")
    };
    Some((host, tail))
}

/// Only the three spellings themselves: the URL parser also turns `2130706433` or `0x7f.1` into 127.0.0.1.
fn is_loopback(url: &Url, authority: &str) -> bool {
    let authority = authority.to_ascii_lowercase();
    LOOPBACK_NAMES.into_iter().any(|name| {
        authority.strip_prefix(name).is_some_and(|port| {
            port.is_empty() || (port.starts_with(':') && url.port_or_known_default() != Some(0))
        })
    })
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectUriError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn accepts(registered: &str, asked: &str) -> bool {
        RedirectUri::parse(registered)
            .unwrap()
            .accepts(&RedirectUri::parse(asked).unwrap())
    }

    #[test]
    fn loopback_ignores_the_port_and_nothing_else() {
        assert!(accepts(
            "http://localhost/callback",
            "http://localhost:51234/callback"
        ));
        assert!(accepts("http://127.0.0.1:33418/", "http://127.0.0.1:9"));
        assert!(accepts("http://[::1]:1/x?y=1", "http://[::1]:2/x?y=1"));
        assert!(!accepts(
            "http://localhost/callback",
            "http://127.0.0.1/callback"
        ));
        assert!(!accepts(
            "http://localhost/callback",
            "http://localhost/callback/"
        ));
        assert!(!accepts(
            "http://localhost/callback",
            "http://localhost/Callback"
        ));
        assert!(!accepts(
            "http://localhost/callback",
            "http://localhost/callback?x=1"
        ));
        assert!(!accepts("https://a.example/cb", "https://a.example:444/cb"));
        assert!(accepts("https://a.example/cb", "https://a.example/cb"));
    }

    #[test]
    fn shapes_that_fool_one_reader_or_another_are_refused_and_real_ones_are_read() {
        for bad in [
            "http://example.com/cb",
            "http://localhost.evil.example/cb",
            "http://127.0.0.1@evil.example/",
            "http://localhost:80@evil.example/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://127.1/",
            "https://a.example/#x",
            "https://a.example/cb#",
            "https://a.example\\@evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "jar:https://a.example/x.jar!/y",
            "feed:javascript:alert(1)",
            "ms-msdt:/id",
            "/relative",
            "https:/a.example/cb",
            "https:///a.example/cb",
            "https:///claude.ai@evil.example/cb",
            "https://a.example/a/../b",
            "https://a.example/%2e%2E/b",
            "https://user@a.example/",
            "https://a.example/ x",
            "https://a.example/\u{fc}",
            "http://localhost:0x50/",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad} was read");
        }
        for good in [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://claude.ai/api/mcp/auth_callback",
            "http://localhost:6274/oauth/callback",
            "http://127.0.0.1:33418/",
            "http://[::1]:8080/cb",
            "vscode://saoudrizwan.claude-dev/mcp-auth/callback/abc",
            "com.example.app:/cb",
        ] {
            assert!(RedirectUri::parse(good).is_ok(), "{good} was refused");
        }
    }

    #[test]
    fn none_of_the_near_misses_of_a_registered_address_is_accepted() {
        let registered = "https://client.example/oauth/callback?app=1";
        for miss in [
            "https://client.example/oauth/callback",
            "https://client.example/oauth/callback?",
            "https://client.example/oauth/callback?app=1&x=2",
            "https://client.example/oauth/callback?app=1&app=1",
            "https://client.example/oauth/callback?app=2",
            "https://client.example/oauth/callback?App=1",
            "https://client.example/oauth/callback?app=%31",
            "https://client.example/oauth/callback/?app=1",
            "https://client.example/oauth//callback?app=1",
            "https://client.example//oauth/callback?app=1",
            "https://client.example/oauth/callbacks?app=1",
            "https://client.example/oauth/callbac?app=1",
            "https://client.example/oauth/Callback?app=1",
            "https://client.example/OAUTH/callback?app=1",
            "https://client.example/oauth/%63allback?app=1",
            "https://client.example/oauth%2Fcallback?app=1",
            "https://client.example/oauth/callback;x?app=1",
            "https://client.example/oauth/..;/callback?app=1",
            "https://client.example/oauth/x/%2e%2e/callback?app=1",
            "https://client.example/oauth/x/.%2E/callback?app=1",
            "https://client.example/oauth/./callback?app=1",
            "https://client.example/oauth/x/../callback?app=1",
            "https://client.example/oauth\\callback?app=1",
            "https://client.example/oauth/callback?app=1#",
            "https://client.example/oauth/callback?app=1#x",
            "https://client.example/oauth/callback%3Fapp=1",
            "https://client.example/oauth/callback?app=1%00",
            "https://client.example/oauth/callback?app=1 ",
            " https://client.example/oauth/callback?app=1",
            "https://client.example/oauth/callback\t?app=1",
            "https://client.example/oauth/callback\r\n?app=1",
            "https://client.example:443/oauth/callback?app=1",
            "https://client.example:8443/oauth/callback?app=1",
            "https://client.example./oauth/callback?app=1",
            "https://Client.example/oauth/callback?app=1",
            "https://client.EXAMPLE/oauth/callback?app=1",
            "HTTPS://client.example/oauth/callback?app=1",
            "https://www.client.example/oauth/callback?app=1",
            "https://client.example.evil.example/oauth/callback?app=1",
            "https://evil-client.example/oauth/callback?app=1",
            "https://client.exampl/oauth/callback?app=1",
            "https://cli\u{435}nt.example/oauth/callback?app=1",
            "https://xn--clint-3ve.example/oauth/callback?app=1",
            "https://client%2eexample/oauth/callback?app=1",
            "https://client\u{3002}example/oauth/callback?app=1",
            "https://user@client.example/oauth/callback?app=1",
            "https://user:pass@client.example/oauth/callback?app=1",
            "https://client.example@evil.example/oauth/callback?app=1",
            "https://client.example%40evil.example/oauth/callback?app=1",
            "https://a@client.example@evil.example/oauth/callback?app=1",
            "https://client.example:443@evil.example/oauth/callback?app=1",
            "https://evil.example\\@client.example/oauth/callback?app=1",
            "https://evil.example#@client.example/oauth/callback?app=1",
            "https://evil.example?@client.example/oauth/callback?app=1",
            "https:///client.example/oauth/callback?app=1",
            "https:/client.example/oauth/callback?app=1",
            "https:client.example/oauth/callback?app=1",
            "//client.example/oauth/callback?app=1",
            "/oauth/callback?app=1",
            "http://client.example/oauth/callback?app=1",
            "wss://client.example/oauth/callback?app=1",
            "client.example:/oauth/callback?app=1",
            "https://[::1]/oauth/callback?app=1",
            "https://localhost/oauth/callback?app=1",
            "",
        ] {
            let accepted = RedirectUri::parse(miss)
                .is_ok_and(|asked| RedirectUri::parse(registered).unwrap().accepts(&asked));
            assert!(!accepted, "{miss} was accepted");
        }
        assert!(accepts(registered, registered));
    }

    #[test]
    fn a_loopback_address_differs_in_nothing_but_its_port() {
        let registered = "http://127.0.0.1:7000/cb?app=1";
        for miss in [
            "http://localhost:7000/cb?app=1",
            "http://[::1]:7000/cb?app=1",
            "https://127.0.0.1:7000/cb?app=1",
            "http://127.0.0.1:7000/cb",
            "http://127.0.0.1:7000/cb?app=2",
            "http://127.0.0.1:7000/cb?app=1&x",
            "http://127.0.0.1:7000/Cb?app=1",
            "http://127.0.0.1:7000/cb/?app=1",
            "http://127.0.0.1:7000//cb?app=1",
            "http://127.0.0.2:7000/cb?app=1",
            "http://127.0.0.1.evil.example:7000/cb?app=1",
            "http://127.0.0.1:0/cb?app=1",
            "http://127.0.0.1:65536/cb?app=1",
            "http://127.0.0.1:7000@evil.example/cb?app=1",
            "http://127.0.0.01:7000/cb?app=1",
            "http://[::ffff:127.0.0.1]:7000/cb?app=1",
        ] {
            let accepted = RedirectUri::parse(miss)
                .is_ok_and(|asked| RedirectUri::parse(registered).unwrap().accepts(&asked));
            assert!(!accepted, "{miss} was accepted");
        }
        for port in ["", ":1", ":80", ":65535"] {
            let asked = format!("http://127.0.0.1{port}/cb?app=1");
            assert!(accepts(registered, &asked), "{asked}");
            assert!(accepts(&asked, registered), "{asked} registered");
        }
        assert!(accepts("http://LocalHost/cb", "http://localhost:9/cb"));
        assert!(accepts("http://localhost?x", "http://localhost:9/?x"));
        // A private-use scheme has no port to be generous about.
        assert!(accepts("cursor://host:1/cb", "cursor://host:1/cb"));
        assert!(!accepts("cursor://host:1/cb", "cursor://host:2/cb"));
    }

    #[test]
    fn the_longest_address_is_read_and_one_byte_more_is_not() {
        let address = |bytes: usize| {
            let stem = "https://client.example/";
            format!("{stem}{}", "a".repeat(bytes - stem.len()))
        };
        assert!(RedirectUri::parse(&address(2048)).is_ok());
        assert_eq!(
            RedirectUri::parse(&address(2049)),
            Err(RedirectUriError::TooLong)
        );
    }

    #[test]
    fn each_rule_refuses_alone_and_says_which_it_is() {
        use RedirectUriError as E;
        for (bad, reason, twin) in [
            ("a.example/cb", E::NotAbsolute, "https://a.example/cb"),
            (
                "https:/a.example/cb",
                E::NotAbsolute,
                "https://a.example/cb",
            ),
            (
                "https:///a.example/cb",
                E::NotAbsolute,
                "https://a.example/cb",
            ),
            (
                "https://a.example/c b",
                E::BadCharacter,
                "https://a.example/c-b",
            ),
            (
                "https://a.example/c{b",
                E::BadCharacter,
                "https://a.example/c(b",
            ),
            (
                "https://a.example/c\\b",
                E::BadCharacter,
                "https://a.example/c/b",
            ),
            (
                "https://a.example/\u{7f}",
                E::BadCharacter,
                "https://a.example/~",
            ),
            ("https://a.example/cb#", E::Fragment, "https://a.example/cb"),
            (
                "https://u@a.example/cb",
                E::UserInfo,
                "https://a.example/u@cb",
            ),
            (
                "https://u:p@a.example/cb",
                E::UserInfo,
                "https://a.example/?u:p@cb",
            ),
            (
                "http://a.example/cb",
                E::HttpNotLoopback,
                "http://localhost/cb",
            ),
            (
                "http://localhost:0/cb",
                E::HttpNotLoopback,
                "http://localhost:1/cb",
            ),
            (
                "http://127.0.0.2/cb",
                E::HttpNotLoopback,
                "http://127.0.0.1/cb",
            ),
            (
                "http://[0:0:0:0:0:0:0:1]/cb",
                E::HttpNotLoopback,
                "http://[::1]:80/cb",
            ),
            (
                "http://localhosts/cb",
                E::HttpNotLoopback,
                "http://LOCALHOST/cb",
            ),
            ("http://[::2]/cb", E::HttpNotLoopback, "http://[::1]/cb"),
            (
                "https://a.example/./cb",
                E::DotSegments,
                "https://a.example/.cb",
            ),
            (
                "https://a.example/%2E",
                E::DotSegments,
                "https://a.example/%2Ex",
            ),
            (
                "https://a.example/x/..",
                E::DotSegments,
                "https://a.example/x/...",
            ),
            ("app:/../cb", E::DotSegments, "app:/cb?../x"),
        ] {
            assert_eq!(RedirectUri::parse(bad), Err(reason), "{bad}");
            assert!(RedirectUri::parse(twin).is_ok(), "{twin}");
        }
    }

    #[test]
    fn schemes_that_run_something_are_refused_in_any_case_and_others_are_not() {
        for scheme in [
            "javascript",
            "data",
            "vbscript",
            "blob",
            "jar",
            "feed",
            "file",
            "about",
            "view-source",
            "ftp",
            "ws",
            "wss",
            "filesystem",
            "mailto",
            "tel",
            "intent",
            "ms-msdt",
            "ms-officecmd",
            "ms-word",
        ] {
            for spelled in [
                scheme.to_owned(),
                scheme.to_uppercase(),
                scheme.replacen('a', "A", 1),
            ] {
                for rest in ["x", "/x", "//a.example/x"] {
                    let text = format!("{spelled}:{rest}");
                    assert!(RedirectUri::parse(&text).is_err(), "{text} was read");
                }
            }
            for hidden in ["\t", "\n", "\r", " ", "\u{1}"] {
                let text = format!("{hidden}{scheme}:x");
                assert!(RedirectUri::parse(&text).is_err(), "{text:?} was read");
            }
            let twin = format!("{scheme}x:/x");
            if !scheme.starts_with("ms-") && scheme != "ws" {
                assert!(RedirectUri::parse(&twin).is_ok(), "{twin} was refused");
            }
        }
    }

    #[test]
    fn the_end_that_a_person_is_shown_is_the_host_or_the_scheme() {
        for (text, shown, kind) in [
            (
                "https://A.example:8443/cb",
                "a.example",
                RedirectUriKind::Https,
            ),
            (
                "http://localhost:1/cb",
                "localhost",
                RedirectUriKind::Loopback,
            ),
            ("http://[::1]:1/cb", "[::1]", RedirectUriKind::Loopback),
            (
                "cursor://claude.ai/cb",
                "cursor:",
                RedirectUriKind::PrivateUseScheme,
            ),
        ] {
            let uri = RedirectUri::parse(text).unwrap();
            assert_eq!(uri.display_host(), shown);
            assert_eq!(uri.kind(), kind);
            assert_eq!(uri.as_str(), text);
            assert_eq!(uri.to_string(), text);
            assert_eq!(String::from(uri), text);
        }
    }

    #[test]
    fn what_is_stored_is_checked_again_when_it_is_read() {
        let text = "\"https://a.example/cb\"";
        let uri: RedirectUri = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&uri).unwrap(), text);
        assert!(serde_json::from_str::<RedirectUri>("\"javascript:x\"").is_err());
    }

    #[test]
    fn two_that_accept_each_other_are_the_same_for_any_port() {
        let stem = |text: &str| {
            RedirectUri::parse(text)
                .unwrap()
                .for_any_port()
                .into_owned()
        };
        for (text, expected) in [
            ("http://localhost:51234/cb?x=1", "http://localhost/cb?x=1"),
            ("http://LocalHost", "http://localhost/"),
            ("http://[::1]:1/cb", "http://[::1]/cb"),
            ("https://a.example:8443/cb", "https://a.example:8443/cb"),
            ("cursor://x:1/cb", "cursor://x:1/cb"),
        ] {
            assert_eq!(stem(text), expected);
        }
        let all = [
            "http://localhost/cb",
            "http://localhost:9/cb",
            "http://127.0.0.1/cb",
            "http://localhost/cb/",
            "https://localhost/cb",
            "cursor://localhost/cb",
        ];
        for one in all {
            for other in all {
                assert_eq!(
                    accepts(one, other),
                    stem(one) == stem(other),
                    "{one} {other}"
                );
            }
        }
    }
}
