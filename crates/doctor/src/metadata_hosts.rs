//! URLs in metadata that clients cannot reach, or not safely.

use serde_json::{Map, Value};
use url::{Host, Url};

use crate::flaws::reach::INTERNAL_HOST_IN_METADATA;
use crate::scene::is_loopback;
use crate::{Desk, Exchange, Finding};

/// Last parts of names that only an internal resolver knows.
const INTERNAL_ENDINGS: [&str; 9] = [
    "internal",
    "local",
    "localhost",
    "localdomain",
    "lan",
    "intranet",
    "corp",
    "svc",
    "home",
];

/// Whether no client outside reaches `url`, while it does reach the MCP URL `asked`.
pub(crate) fn is_internal(url: &Url, asked: &Url) -> bool {
    if url.host() == asked.host() {
        return false;
    }
    match url.host() {
        Some(Host::Ipv4(address)) => is_special(address.into(), asked),
        Some(Host::Ipv6(address)) => is_special(address.into(), asked),
        Some(Host::Domain(name)) => {
            let last = name.rsplit('.').next().unwrap_or(name);
            if is_loopback(url) {
                return !is_loopback(asked);
            }
            !name.contains('.') || INTERNAL_ENDINGS.contains(&last)
        }
        None => false,
    }
}

fn is_special(address: std::net::IpAddr, asked: &Url) -> bool {
    match egress::classify(address) {
        egress::AddressClass::Public => false,
        egress::AddressClass::Loopback => !is_loopback(asked),
        egress::AddressClass::SpecialUse(_) => true,
    }
}

/// Whether `url` is plain http to another machine.
pub(crate) fn is_plain_http(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// Reports the first of `named` URLs that is internal; whether there is one.
pub(crate) fn report_internal<'a>(
    desk: &mut Desk,
    document: &str,
    named: impl IntoIterator<Item = (&'a str, &'a str)>,
    shown_by: &Exchange,
) -> bool {
    let asked = desk.scene.url.clone();
    let found = named.into_iter().find_map(|(member, text)| {
        let url = Url::parse(text).ok()?;
        is_internal(&url, &asked).then_some((member, text))
    });
    let Some((member, text)) = found else {
        return false;
    };
    let host = asked.host_str().unwrap_or_default();
    desk.notes.add(
        Finding::new(
            INTERNAL_HOST_IN_METADATA,
            format!("{document} sends clients to an internal host"),
            format!(
                "{member} is {text}. Clients reach this server as {host}; they do not reach that host, and several refuse private \
                 hosts on purpose. A server that makes its URLs from its own address, behind a proxy, does this."
            ),
            format!(
                "Configure one public base URL, such as {}, and make every URL in {document} from it, never from the Host header or \
                 the listening address.",
                asked.origin().ascii_serialization()
            ),
        )
        .shown_by(desk.wire.evidence(shown_by)),
    );
    true
}

/// Members whose value is `null`, or an empty text where a URL is meant.
pub(crate) fn null_members(document: &Map<String, Value>) -> Vec<String> {
    let is_url = |name: &str| name.ends_with("_uri") || name.ends_with("_endpoint");
    document
        .iter()
        .filter(|(name, value)| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty() && (is_url(name) || name.ends_with("_url")),
            Value::Array(items) => items.iter().any(Value::is_null),
            _ => false,
        })
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_internal_when_the_asked_one_is_not_the_same_and_nobody_outside_reaches_it() {
        let internal = |url: &str, asked: &str| {
            is_internal(&Url::parse(url).unwrap(), &Url::parse(asked).unwrap())
        };
        let public = "https://mcp.example.com/mcp";
        for url in [
            "http://backend:8080/mcp",
            "http://10.0.0.5/mcp",
            "http://localhost:3000/mcp",
            "http://127.0.0.1/mcp",
            "https://auth.prod.svc/x",
            "http://0.0.0.0:8000/",
        ] {
            assert!(internal(url, public), "{url}");
        }
        for url in [
            "https://mcp.example.com/other",
            "https://auth.example.com",
            "https://8.8.8.8/",
        ] {
            assert!(!internal(url, public), "{url}");
        }
        assert!(!internal("http://localhost:1/", "http://127.0.0.1:2/mcp"));
        assert!(!internal("http://10.0.0.5/as", "http://10.0.0.5/mcp"));
        assert!(internal("http://backend/", "http://localhost:2/mcp"));
    }

    #[test]
    fn null_and_empty_urls_are_found_and_empty_texts_are_not() {
        let document = serde_json::json!({
            "a": null, "jwks_uri": "", "name": "", "list": ["x", null], "fine": ["x"]
        });
        assert_eq!(
            null_members(document.as_object().unwrap()),
            ["a", "jwks_uri", "list"]
        );
    }
}
