//! How clients compare what they read with what they expect, as pure functions.

use known_clients::{IssuerRule, PrivateHosts, ResourceRule};
use url::{Host, Url};
use wire::oauth::{ReadChallenge, read_challenge};

use crate::flaws::{resource_metadata as resource_flaw, server_metadata as server_flaw};
use crate::{Flaw, scene};

/// The Bearer challenge among these headers. With `first_only` as a client reads it that joins the headers and looks
/// at the first word.
pub(super) fn read_challenges(headers: &[String], first_only: bool) -> Option<ReadChallenge> {
    if first_only {
        return read_challenge(&headers.join(", "));
    }
    headers
        .iter()
        .find_map(|header| read_challenge(bearer_part(header)?))
}

/// From the word `Bearer` on, where that is a scheme and no text in quotes.
fn bearer_part(header: &str) -> Option<&str> {
    let mut quoted = false;
    let mut begins_word = true;
    for (at, byte) in header.bytes().enumerate() {
        let rest = &header.as_bytes()[at..];
        let is_bearer = rest.len() >= 6 && rest[..6].eq_ignore_ascii_case(b"bearer");
        if !quoted && begins_word && is_bearer && rest.get(6).is_none_or(|next| *next == b' ') {
            return header.get(at..);
        }
        quoted ^= byte == b'"';
        begins_word = matches!(byte, b' ' | b',' | b'\t');
    }
    None
}

/// Whether a client with this rule takes `resource` for the server at `typed`.
pub(super) fn resource_is_accepted(rule: ResourceRule, typed: &str, resource: &str) -> bool {
    let (Ok(typed_url), resource_url) = (Url::parse(typed), Url::parse(resource)) else {
        return false;
    };
    let same_text = resource == typed || resource == typed_url.as_str();
    match rule {
        ResourceRule::Present => true,
        ResourceRule::SameText => same_text,
        ResourceRule::SameAddress => resource_url.is_ok_and(|url| url == typed_url),
        ResourceRule::SameTextOrOrigin => {
            same_text || resource.trim_end_matches('/') == typed_url.origin().ascii_serialization()
        }
        ResourceRule::Parent => resource_url.is_ok_and(|url| {
            let with_slash = |path: &str| format!("{}/", path.trim_end_matches('/'));
            url.origin() == typed_url.origin()
                && with_slash(typed_url.path()).starts_with(&with_slash(url.path()))
        }),
    }
}

/// Which flaw the difference between the two is.
pub(super) fn resource_difference(typed: &str, resource: &str) -> Flaw {
    let (Ok(typed), Ok(resource)) = (Url::parse(typed), Url::parse(resource)) else {
        return resource_flaw::PRM_RESOURCE_OTHER_HOST;
    };
    if typed.host() != resource.host() {
        resource_flaw::PRM_RESOURCE_OTHER_HOST
    } else if typed.scheme() != resource.scheme() {
        resource_flaw::PRM_RESOURCE_HTTP
    } else if typed.port_or_known_default() != resource.port_or_known_default() {
        resource_flaw::PRM_RESOURCE_OTHER_HOST
    } else if typed.path().trim_end_matches('/') == resource.path().trim_end_matches('/') {
        resource_flaw::PRM_RESOURCE_SLASH
    } else if resource.path() == "/" {
        resource_flaw::PRM_RESOURCE_ORIGIN
    } else {
        resource_flaw::PRM_RESOURCE_OTHER_PATH
    }
}

/// Whether a client with this rule takes `issuer` in metadata that it looked for as `expected`.
pub(super) fn issuer_is_accepted(rule: IssuerRule, expected: &str, issuer: &str) -> bool {
    let same_text = expected == issuer;
    match rule {
        IssuerRule::SameText => same_text,
        IssuerRule::MayLackSlash => same_text || expected.strip_suffix('/') == Some(issuer),
        IssuerRule::RootSlashEither => {
            let is_root = Url::parse(expected).is_ok_and(|url| url.path() == "/");
            same_text || (is_root && expected.trim_end_matches('/') == issuer.trim_end_matches('/'))
        }
        IssuerRule::SameAddress => {
            matches!((Url::parse(expected), Url::parse(issuer)), (Ok(expected), Ok(issuer)) if expected == issuer)
        }
    }
}

/// Which flaw the difference between the two is.
pub(super) fn issuer_difference(expected: &str, issuer: &str) -> Flaw {
    let bare = |text: &str| {
        text.split_once("://")
            .map_or(text, |(_, rest)| rest)
            .trim_end_matches('/')
            .to_owned()
    };
    if expected.trim_end_matches('/') == issuer.trim_end_matches('/') {
        server_flaw::ISSUER_SLASH
    } else if bare(expected) == bare(issuer) {
        server_flaw::ISSUER_HTTP
    } else {
        server_flaw::ISSUER_OTHER
    }
}

/// Whether `url` is not reachable from the public network, by its words.
pub(super) fn is_private(url: &Url) -> bool {
    if scene::is_loopback(url) {
        return true;
    }
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            !name.contains('.')
                || [".local", ".internal", ".lan", ".home.arpa"]
                    .iter()
                    .any(|end| name.ends_with(end))
        }
        _ => is_private_literal(url),
    }
}

fn is_private_literal(url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        _ => return false,
    };
    egress::classify(address) != egress::AddressClass::Public
}

/// Whether a client with this rule does not ask `url`, when it was told to connect to `server`.
pub(super) fn is_refused_as_private(rule: PrivateHosts, url: &Url, server: &Url) -> bool {
    let (is_loopback, server_is_loopback) = (scene::is_loopback(url), scene::is_loopback(server));
    match rule {
        PrivateHosts::UnlessServerIsPrivate => is_private(url) && !is_private(server),
        PrivateHosts::Refused => is_private(url) && !(is_loopback && server_is_loopback),
        PrivateHosts::LiteralsRefused => is_private_literal(url) && !is_loopback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(read: Option<ReadChallenge>) -> Option<String> {
        read?.resource_metadata
    }

    #[test]
    fn a_client_that_reads_the_first_word_misses_bearer_behind_another_scheme_and_others_do_not() {
        let bearer = || "Bearer resource_metadata=\"https://a.example/x\"".to_owned();
        let found = Some("https://a.example/x".to_owned());
        for first_only in [true, false] {
            assert_eq!(text(read_challenges(&[bearer()], first_only)), found);
            assert_eq!(
                text(read_challenges(
                    &[bearer(), "Basic realm=\"x\"".into()],
                    first_only
                )),
                found
            );
        }
        let behind = format!("Basic realm=\"bearer of news, Bearer x\", {}", bearer());
        assert_eq!(
            text(read_challenges(std::slice::from_ref(&behind), false)),
            found
        );
        assert!(read_challenges(&[behind], true).is_none());
        let second = ["Basic realm=\"x\"".to_owned(), bearer()];
        assert_eq!(text(read_challenges(&second, false)), found);
        assert!(read_challenges(&second, true).is_none());
        assert!(read_challenges(&["Basic realm=\"Bearer x\"".into()], false).is_none());
        assert!(read_challenges(&[], true).is_none());
    }

    #[test]
    fn resources_are_compared_as_each_kind_of_client_compares_them() {
        use ResourceRule::*;
        let typed = "https://mcp.example.com/a/mcp";
        for (resource, same_text, same_address, or_origin, parent) in [
            (typed, true, true, true, true),
            ("https://mcp.example.com/a/mcp/", false, false, false, true),
            (
                "https://MCP.example.com:443/a/mcp",
                false,
                true,
                false,
                true,
            ),
            ("https://mcp.example.com", false, false, true, true),
            ("https://mcp.example.com/", false, false, true, true),
            ("https://mcp.example.com/a", false, false, false, true),
            ("https://mcp.example.com/a/m", false, false, false, false),
            (
                "https://mcp.example.com/a/mcp/b",
                false,
                false,
                false,
                false,
            ),
            (
                "https://other.example.com/a/mcp",
                false,
                false,
                false,
                false,
            ),
            ("http://mcp.example.com/a/mcp", false, false, false, false),
            ("no address", false, false, false, false),
        ] {
            let said = |rule| resource_is_accepted(rule, typed, resource);
            assert_eq!(said(SameText), same_text, "{resource}");
            assert_eq!(said(SameAddress), same_address, "{resource}");
            assert_eq!(said(SameTextOrOrigin), or_origin, "{resource}");
            assert_eq!(said(Parent), parent, "{resource}");
            assert!(said(Present), "{resource}");
        }
        // A bare origin is typed without a slash and written with one by every URL library.
        assert!(resource_is_accepted(
            SameText,
            "https://mcp.example.com",
            "https://mcp.example.com/"
        ));
    }

    #[test]
    fn a_difference_has_the_name_of_the_flaw_that_it_is() {
        let typed = "https://mcp.example.com/mcp";
        for (resource, flaw) in [
            ("https://mcp.example.com/mcp/", "prm-resource-slash"),
            ("https://mcp.example.com", "prm-resource-origin"),
            ("https://mcp.example.com/v1/mcp", "prm-resource-other-path"),
            ("https://other.example.com/mcp", "prm-resource-other-host"),
            (
                "https://mcp.example.com:8443/mcp",
                "prm-resource-other-host",
            ),
            ("http://mcp.example.com/mcp", "prm-resource-http"),
            ("mcp", "prm-resource-other-host"),
        ] {
            assert_eq!(resource_difference(typed, resource).id, flaw, "{resource}");
        }
        for (issuer, flaw) in [
            ("https://as.example.com/", "issuer-slash"),
            ("http://as.example.com", "issuer-http"),
            ("https://idp.example.com", "issuer-other"),
        ] {
            assert_eq!(
                issuer_difference("https://as.example.com", issuer).id,
                flaw,
                "{issuer}"
            );
        }
    }

    #[test]
    fn issuers_are_compared_as_each_kind_of_client_compares_them() {
        use IssuerRule::*;
        let (bare, slash) = ("https://as.example.com", "https://as.example.com/");
        let (path, path_slash) = ("https://as.example.com/t", "https://as.example.com/t/");
        for (expected, issuer, same_text, may_lack, root, address) in [
            (bare, bare, true, true, true, true),
            (bare, slash, false, false, true, true),
            (slash, bare, false, true, true, true),
            (path, path_slash, false, false, false, false),
            (path_slash, path, false, true, false, false),
            (bare, "https://idp.example.com", false, false, false, false),
        ] {
            let said = |rule| issuer_is_accepted(rule, expected, issuer);
            assert_eq!(said(SameText), same_text, "{expected} {issuer}");
            assert_eq!(said(MayLackSlash), may_lack, "{expected} {issuer}");
            assert_eq!(said(RootSlashEither), root, "{expected} {issuer}");
            assert_eq!(said(SameAddress), address, "{expected} {issuer}");
        }
    }

    #[test]
    fn a_private_host_is_asked_only_by_clients_that_ask_them_from_where_they_are() {
        use PrivateHosts::*;
        let url = |text: &str| Url::parse(text).expect("the test writes URLs");
        let (public, private, named) = (
            url("https://mcp.example.com"),
            url("http://10.0.0.7"),
            url("https://auth.corp.internal"),
        );
        let loopback = url("http://127.0.0.1:4180");
        for (asked, server, unless, refused, literals) in [
            (&public, &public, false, false, false),
            (&private, &public, true, true, true),
            (&named, &public, true, true, false),
            (&private, &private, false, true, true),
            (&loopback, &loopback, false, false, false),
            (&loopback, &public, true, true, false),
        ] {
            assert_eq!(
                is_refused_as_private(UnlessServerIsPrivate, asked, server),
                unless,
                "{asked} {server}"
            );
            assert_eq!(
                is_refused_as_private(Refused, asked, server),
                refused,
                "{asked} {server}"
            );
            assert_eq!(
                is_refused_as_private(LiteralsRefused, asked, server),
                literals,
                "{asked} {server}"
            );
        }
    }
}
