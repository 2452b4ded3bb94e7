use url::{Host, Url};

/// Whether an origin is one that only this machine reaches.
pub(crate) fn is_loopback(public_url: &str) -> bool {
    match Url::parse(public_url).ok().as_ref().map(Url::host) {
        Some(Some(Host::Domain(name))) => name == "localhost",
        Some(Some(Host::Ipv4(address))) => address.is_loopback(),
        Some(Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_authority_on_loopback_is_one() {
        for (url, expected) in [
            ("http://localhost:4180", true),
            ("http://127.0.0.1:4180", true),
            ("http://[::1]:4180", true),
            ("https://auth.example", false),
            ("https://localhost.example", false),
            ("https://10.0.0.1", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
