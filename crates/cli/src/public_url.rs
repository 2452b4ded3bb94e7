use std::fmt;

use url::Url;

/// The origin that clients see: `https`, or `http` on loopback; no path, no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads an origin. One trailing slash is forgiven and dropped; letter case and a default port are normalised
    /// here, once, because from now on the text is compared byte for byte.
    ///
    /// # Errors
    /// Says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("not an absolute URL ({error}); write https://mcp.example.com")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or password".into());
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("must be an origin without a path, such as https://mcp.example.com".into());
        }
        match (url.scheme(), is_loopback(&url)) {
            ("https", _) | ("http", true) => {}
            ("http", false) => {
                return Err("http is only for localhost, 127.0.0.1 and [::1]; use https".into());
            }
            (other, _) => return Err(format!("{other}: is not spoken here; use https://")),
        }
        Ok(Self(url.origin().ascii_serialization()))
    }

    /// The default of an authority on this machine.
    pub fn localhost(port: u16) -> Self {
        // The default port of http is left out wherever URLs are serialised, so it must be left out here too.
        Self(match port {
            80 => "http://localhost".into(),
            _ => format!("http://localhost:{port}"),
        })
    }

    /// The text, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only programs on this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

pub use oauth::new_server::is_loopback;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_and_normalised_once() {
        let table = [
            ("https://mcp.example.com", "https://mcp.example.com"),
            ("https://MCP.Example.com:443/", "https://mcp.example.com"),
            ("http://localhost:4180", "http://localhost:4180"),
            ("http://127.0.0.1:9/", "http://127.0.0.1:9"),
            ("http://[::1]:4180", "http://[::1]:4180"),
        ];
        for (text, origin) in table {
            assert_eq!(
                PublicUrl::parse(text).as_ref().map(PublicUrl::as_str),
                Ok(origin)
            );
        }
    }

    #[test]
    fn what_is_no_origin_or_is_http_in_public_is_refused_in_words() {
        let table = [
            ("mcp.example.com", "absolute URL"),
            ("https://mcp.example.com/portcullis", "without a path"),
            ("https://mcp.example.com/?a=b", "without a path"),
            ("http://mcp.example.com", "use https"),
            ("ftp://localhost", "ftp: is not spoken here"),
            ("https://me:pw@example.com", "user name"),
        ];
        for (text, reason) in table {
            let error = PublicUrl::parse(text).err().unwrap_or_default();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
