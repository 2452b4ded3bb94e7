use http::{HeaderMap, Uri, header};
use url::Url;

/// The hosts under which this authority answers. Anything else is a name that somebody pointed at us, such as a
/// rebound DNS name, and gets nothing.
#[derive(Debug)]
pub(crate) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Those of this origin, with its loopback spellings.
    pub fn new(origin: &str) -> Self {
        let mut hosts = Vec::new();
        if let Ok(url) = Url::parse(origin)
            && let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default())
        {
            let names = match host {
                "localhost" | "127.0.0.1" | "[::1]" => vec!["localhost", "127.0.0.1", "[::1]"],
                other => vec![other],
            };
            for name in names {
                hosts.push(format!("{name}:{port}"));
                if url.port().is_none() {
                    hosts.push(name.to_owned());
                }
            }
        }
        Self(hosts)
    }

    /// Whether the request names one of them. HTTP/2 names it in the target, HTTP/1.1 in `Host`.
    pub fn accept(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        named_host(uri, headers)
            .is_some_and(|named| self.0.iter().any(|host| host.eq_ignore_ascii_case(named)))
    }
}

/// The one host that a request names.
pub(crate) fn named_host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => {
            let mut values = headers.get_all(header::HOST).iter();
            match (values.next(), values.next()) {
                (Some(only), None) => only.to_str().ok(),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn accepts(hosts: &AllowedHosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        hosts.accept(&Uri::from_static("/x"), &headers)
    }

    #[test]
    fn the_public_host_and_its_loopback_spellings_are_accepted_and_no_other_name() {
        let local = AllowedHosts::new("http://localhost:4180");
        for host in [
            "localhost:4180",
            "LOCALHOST:4180",
            "127.0.0.1:4180",
            "[::1]:4180",
        ] {
            assert!(accepts(&local, host), "{host}");
        }
        for host in [
            "localhost",
            "localhost:4181",
            "evil.example:4180",
            "a@localhost:4180",
            "",
        ] {
            assert!(!accepts(&local, host), "{host}");
        }
        let public = AllowedHosts::new("https://mcp.example.com");
        assert!(accepts(&public, "mcp.example.com"));
        assert!(accepts(&public, "mcp.example.com:443"));
        assert!(!accepts(&public, "localhost"));
        assert!(!public.accept(&Uri::from_static("/x"), &HeaderMap::new()));
        assert!(public.accept(
            &Uri::from_static("https://mcp.example.com/x"),
            &HeaderMap::new()
        ));
    }

    #[test]
    fn two_host_headers_are_refused() {
        let hosts = AllowedHosts::new("http://localhost:4180");
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "localhost:4180".parse().unwrap());
        assert!(hosts.accept(&Uri::from_static("/"), &headers));
        headers.append(header::HOST, "localhost:4180".parse().unwrap());
        assert!(!hosts.accept(&Uri::from_static("/"), &headers));
    }
}
