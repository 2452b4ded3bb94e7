use url::{Host, Url};
use wire::mcp::Object;

/// Where an issuer's metadata may be, in the order in which it is looked for.
///
/// Spec: RFC 8414 section 3.1 and 5; OpenID Connect Discovery 1.0 section 4; MCP 2026-07-28, authorization, "Authorization Server
/// Metadata Discovery".
pub(super) fn metadata_addresses(issuer: &str) -> Vec<String> {
    let after_scheme = issuer.find("://").map_or(0, |at| at + 3);
    let end = issuer[after_scheme..]
        .find('/')
        .map_or(issuer.len(), |at| after_scheme + at);
    let (origin, path) = issuer.split_at(end);
    let path = path.trim_end_matches('/');
    let mut addresses = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        addresses.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    addresses
}

/// What is used of an issuer's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Discovered {
    pub(super) jwks_uri: Option<String>,
    pub(super) introspection_endpoint: Option<String>,
}

impl Discovered {
    /// Reads a document that was found at one of the addresses.
    ///
    /// # Errors
    /// When it is of another issuer (RFC 8414 section 3.3), in words for the log.
    pub(super) fn of(document: &Object, issuer: &str) -> Result<Self, String> {
        let said = document.str("issuer").unwrap_or_default();
        if said != issuer {
            let said: String = said.chars().take(200).collect();
            return Err(format!(
                "its metadata says that it is of {said:?}, which is not {issuer:?} byte for byte"
            ));
        }
        let address = |name| document.str(name).map(str::to_owned);
        Ok(Self {
            jwks_uri: address("jwks_uri"),
            introspection_endpoint: address("introspection_endpoint"),
        })
    }
}

/// Reads an address of an issuer: `https`, or `http` on loopback.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn issuer_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("{text:?} is no URL"))?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    if !is_safe {
        return Err(format!(
            "{text:?} must begin with https:// (or be http on loopback)"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("user information and a fragment have no place in it".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use wire::mcp::Json;

    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_have_it_in_their_order() {
        assert_eq!(
            metadata_addresses("https://login.example.com/tenant/1"),
            [
                "https://login.example.com/.well-known/oauth-authorization-server/tenant/1",
                "https://login.example.com/.well-known/openid-configuration/tenant/1",
                "https://login.example.com/tenant/1/.well-known/openid-configuration",
            ]
        );
        for issuer in ["https://login.example.com", "https://login.example.com/"] {
            assert_eq!(
                metadata_addresses(issuer),
                [
                    "https://login.example.com/.well-known/oauth-authorization-server",
                    "https://login.example.com/.well-known/openid-configuration",
                ]
            );
        }
    }

    #[test]
    fn metadata_of_another_issuer_is_not_believed_whatever_differs() {
        let issuer = "https://login.example.com";
        let read = |said: &str| {
            let document = json!({"issuer": said, "jwks_uri": "https://k.example/jwks"});
            Discovered::of(Json::from_serde(&document).as_object().unwrap(), issuer)
        };
        let found = read(issuer).unwrap();
        assert_eq!(found.jwks_uri.as_deref(), Some("https://k.example/jwks"));
        for other in [
            "https://login.example.com/",
            "https://LOGIN.example.com",
            "https://evil.example",
            "",
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for good in [
            "https://login.example.com/t",
            "http://localhost:3000",
            "http://127.0.0.1:1/x",
            "http://[::1]:1",
        ] {
            issuer_address(good).unwrap();
        }
        for bad in [
            "http://login.example.com",
            "http://localhost.example",
            "ftp://a.example",
            "https://user@a.example",
            "https://a.example/#x",
            "a.example",
        ] {
            assert!(issuer_address(bad).is_err(), "{bad}");
        }
    }
}
