use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, header};
use url::Url;

use crate::asked_host::{HostRefusal, asked_host, quoted};

/// The names under which this machine may be asked, besides the one that was set.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The longest piece of a setting that is repeated.
const QUOTED_CHARS_MAX: usize = 100;

/// Under which origins protected MCP servers answer, and from which browser origins they may be called.
#[derive(Debug, Clone)]
pub struct Addresses {
    declared: Vec<Declared>,
    canonical: Arc<str>,
    loopback: bool,
    allowed_origins: Vec<String>,
}

#[derive(Debug, Clone)]
struct Declared {
    /// As `Host` may say it, in lower case.
    authority: String,
    /// As it stands in metadata.
    origin: Arc<str>,
}

/// A text that should be an origin and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value:?} is not an origin such as https://mcp.example.com")]
pub struct AddressError {
    /// The setting.
    pub field: &'static str,
    /// What stood there.
    pub value: String,
}

impl Addresses {
    /// `public_url` is the canonical origin; when it is on a loopback address, the other loopback names answer as well.
    /// `alias_origins` answer too, each under its own name. `allowed_origins`, when not empty, are the only browser
    /// origins that may call.
    ///
    /// # Errors
    /// When one of them is no origin: a scheme, a host, perhaps a port, nothing else.
    pub fn new(
        public_url: &str,
        alias_origins: &[String],
        allowed_origins: &[String],
    ) -> Result<Self, AddressError> {
        let mut declared = Vec::new();
        let canonical = read_origin("public_url", public_url)?;
        let loopback = canonical.host_str().is_some_and(is_loopback_host);
        declare(&canonical, &mut declared);
        if loopback {
            for host in LOOPBACK_HOSTS {
                let mut twin = canonical.clone();
                if twin.set_host(Some(host)).is_ok() {
                    declare(&twin, &mut declared);
                }
            }
        }
        for alias in alias_origins {
            declare(&read_origin("alias_origins", alias)?, &mut declared);
        }
        let allowed_origins = allowed_origins
            .iter()
            .map(|allowed| Ok(origin_text(&read_origin("allowed_origins", allowed)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            canonical: origin_text(&canonical).into(),
            declared,
            loopback,
            allowed_origins,
        })
    }

    /// The canonical origin.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The declared origin that a request asks for.
    ///
    /// # Errors
    /// When it names no host, two of them, or one that was not declared.
    pub fn declared_origin(&self, request: &Parts) -> Result<&Arc<str>, HostRefusal> {
        let host = asked_host(&request.uri, &request.headers)?;
        self.declared
            .iter()
            .find(|declared| declared.authority.as_bytes().eq_ignore_ascii_case(host))
            .map(|declared| &declared.origin)
            .ok_or_else(|| HostRefusal::unknown(host))
    }

    /// Each host that is answered, in lower case as `Host` may say it, with the origin that it stands for.
    pub fn declared(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.declared
            .iter()
            .map(|declared| (declared.authority.as_str(), &declared.origin))
    }

    /// Whether `origin`, written as in metadata, is one of those declared.
    pub fn declares(&self, origin: &str) -> bool {
        self.declared
            .iter()
            .any(|declared| *declared.origin == *origin)
    }

    /// Whether the browser page that sends a request, if a page does, may do so.
    ///
    /// A server on a loopback address can be reached by every page that the person visits, so it listens to loopback
    /// pages only; at a public address no credential is ambient, so any page may try.
    ///
    /// # Errors
    /// The foreign origin, shortened.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(());
        };
        let listed = |text: &str| {
            self.allowed_origins
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(text))
        };
        let admitted = origins.next().is_none()
            && origin.to_str().is_ok_and(|text| {
                listed(text)
                    || if self.loopback {
                        is_loopback_origin(text)
                    } else {
                        self.allowed_origins.is_empty()
                    }
            });
        if admitted {
            Ok(())
        } else {
            Err(quoted(origin.as_bytes()))
        }
    }
}

fn declare(url: &Url, declared: &mut Vec<Declared>) {
    let origin: Arc<str> = origin_text(url).into();
    let host = url.host_str().unwrap_or_default();
    let mut add = |authority: String| {
        if !declared.iter().any(|known| known.authority == authority) {
            declared.push(Declared {
                authority,
                origin: Arc::clone(&origin),
            });
        }
    };
    match url.port() {
        Some(port) => add(format!("{host}:{port}")),
        None => {
            add(host.to_owned());
            // The default port may be said all the same.
            if let Some(port) = url.port_or_known_default() {
                add(format!("{host}:{port}"));
            }
        }
    }
}

fn read_origin(field: &'static str, text: &str) -> Result<Url, AddressError> {
    let refused = || AddressError {
        field,
        value: text.chars().take(QUOTED_CHARS_MAX).collect(),
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if bare { Ok(url) } else { Err(refused()) }
}

/// Scheme, host and port as everybody writes them: lower case, no default port, no trailing slash.
fn origin_text(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_loopback_host(host: &str) -> bool {
    LOOPBACK_HOSTS.contains(&host)
}

fn is_loopback_origin(text: &str) -> bool {
    read_origin("Origin", text).is_ok_and(|url| url.host_str().is_some_and(is_loopback_host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use http::Request;

    fn asked(addresses: &Addresses, host: &str) -> Option<String> {
        let (parts, ()) = Request::get("/mcp/todo")
            .header("host", host)
            .body(())
            .unwrap()
            .into_parts();
        addresses
            .declared_origin(&parts)
            .ok()
            .map(ToString::to_string)
    }

    #[test]
    fn a_loopback_authority_answers_under_each_loopback_name_with_that_name() {
        let addresses = Addresses::new("http://localhost:4180", &[], &[]).unwrap();
        for (host, origin) in [
            ("localhost:4180", Some("http://localhost:4180")),
            ("LocalHost:4180", Some("http://localhost:4180")),
            ("127.0.0.1:4180", Some("http://127.0.0.1:4180")),
            ("[::1]:4180", Some("http://[::1]:4180")),
            ("localhost", None),
            ("localhost:4181", None),
            ("localhost.:4180", None),
            ("evil.example:4180", None),
            ("127.0.0.2:4180", None),
        ] {
            assert_eq!(asked(&addresses, host).as_deref(), origin, "{host}");
        }
    }

    #[test]
    fn the_default_port_may_be_said_and_is_not_repeated() {
        let addresses = Addresses::new(
            "https://MCP.Example.com/",
            &["https://a.example".into()],
            &[],
        )
        .unwrap();
        for (host, origin) in [
            ("mcp.example.com", Some("https://mcp.example.com")),
            ("mcp.example.com:443", Some("https://mcp.example.com")),
            ("a.example", Some("https://a.example")),
            ("mcp.example.com:80", None),
            ("localhost", None),
        ] {
            assert_eq!(asked(&addresses, host).as_deref(), origin, "{host}");
        }
    }

    #[test]
    fn two_hosts_or_none_are_malformed_and_one_is_not() {
        let addresses = Addresses::new("http://localhost:4180", &[], &[]).unwrap();
        let check = |request: http::request::Builder| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            addresses.declared_origin(&parts).is_ok()
        };
        let good = "localhost:4180";
        assert!(!check(Request::get("/")));
        assert!(!check(
            Request::get("/").header("host", good).header("host", good)
        ));
        assert!(!check(
            Request::get("http://127.0.0.1:4180/").header("host", good)
        ));
        assert!(check(
            Request::get("http://localhost:4180/").header("host", good)
        ));
        assert!(check(Request::get("http://localhost:4180/")));
    }

    #[test]
    fn pages_of_this_machine_may_call_a_loopback_authority_and_foreign_ones_may_not() {
        let loopback = Addresses::new(
            "http://localhost:4180",
            &[],
            &["https://app.example".into()],
        )
        .unwrap();
        let public = Addresses::new("https://mcp.example.com", &[], &[]).unwrap();
        let narrowed = Addresses::new(
            "https://mcp.example.com",
            &[],
            &["https://app.example".into()],
        )
        .unwrap();
        for (origin, by_loopback, by_public, by_narrowed) in [
            ("http://localhost:6274", true, true, false),
            ("https://127.0.0.1", true, true, false),
            ("http://[::1]:9", true, true, false),
            ("https://app.example", true, true, true),
            ("https://evil.example", false, true, false),
            ("http://localhost.evil.example", false, true, false),
            ("null", false, true, false),
            ("http://localhost:6274/path", false, true, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            let verdicts = [&loopback, &public, &narrowed]
                .map(|addresses| addresses.check_origin(&headers).is_ok());
            assert_eq!(verdicts, [by_loopback, by_public, by_narrowed], "{origin}");
        }
        assert!(loopback.check_origin(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name() {
        for text in [
            "localhost:4180",
            "http://a.example/path",
            "ftp://a.example",
            "http://user@a.example",
            "http://a.example?x",
            "",
        ] {
            let error = Addresses::new(text, &[], &[]).unwrap_err();
            assert_eq!(error.field, "public_url", "{text}");
        }
    }
}
