use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::DocumentKind;
use http::{HeaderMap, header};
use wire::oauth::JwkSet;

use super::document::{self, Document, Refused};
use super::freshness::{self, Bounds};
use super::key_set;
use super::logo::{self, Logo};
use super::shelf::Kind;
use super::url::DocumentUrl;

/// Client ID metadata documents.
pub(crate) struct Clients;

/// Key sets of clients.
pub(crate) struct Keys;

/// Logos of clients.
pub(crate) struct Logos;

impl Kind for Clients {
    type Value = Document;
    const KIND: DocumentKind = DocumentKind::Client;
    const ACCEPT: &'static str = "application/json";
    const BYTES_MAX: usize = document::BYTES_MAX;
    const HELD_MAX: usize = 512;
    const BOUNDS: Bounds = freshness::OF_CLIENT;

    fn read(url: &str, headers: &HeaderMap, body: &[u8]) -> Result<Document, Refused> {
        must_be_json(headers)?;
        let url = DocumentUrl::parse(url).map_err(Refused::secret)?;
        document::read(&url, body)
    }

    fn from_text(url: &str, text: &str) -> Option<Document> {
        document::read(&DocumentUrl::parse(url).ok()?, text.as_bytes()).ok()
    }

    fn is_same(one: &Document, other: &Document) -> bool {
        one.says_the_same(other)
    }
}

impl Kind for Keys {
    type Value = JwkSet;
    const KIND: DocumentKind = DocumentKind::Keys;
    const ACCEPT: &'static str = "application/jwk-set+json, application/json";
    const BYTES_MAX: usize = key_set::BYTES_MAX;
    const HELD_MAX: usize = 128;
    const BOUNDS: Bounds = freshness::OF_KEYS;

    fn read(_: &str, headers: &HeaderMap, body: &[u8]) -> Result<JwkSet, Refused> {
        must_be_json(headers)?;
        let set = key_set::read(body).map_err(Refused::secret)?;
        // Somebody emptied it, or broke it: the keys that were good go on for a while, not for long.
        if set.keys.is_empty() {
            return Err(Refused {
                words: "it holds no key that could be used".to_owned(),
                may_be_told: true,
            });
        }
        Ok(set)
    }

    fn from_text(_: &str, text: &str) -> Option<JwkSet> {
        key_set::read(text.as_bytes()).ok()
    }

    fn is_same(one: &JwkSet, other: &JwkSet) -> bool {
        one == other
    }
}

impl Kind for Logos {
    type Value = Logo;
    const KIND: DocumentKind = DocumentKind::Logo;
    const ACCEPT: &'static str = "image/png, image/jpeg, image/gif, image/webp";
    const BYTES_MAX: usize = logo::BYTES_MAX;
    const HELD_MAX: usize = 128;
    const BOUNDS: Bounds = freshness::OF_LOGO;

    fn read(_: &str, _: &HeaderMap, body: &[u8]) -> Result<Logo, Refused> {
        logo::read(body).map_err(Refused::secret)
    }

    fn to_text(body: &[u8]) -> Option<String> {
        Some(STANDARD.encode(body))
    }

    fn from_text(_: &str, text: &str) -> Option<Logo> {
        logo::read(&STANDARD.decode(text).ok()?).ok()
    }

    fn is_same(one: &Logo, other: &Logo) -> bool {
        one == other
    }
}

/// Spec: draft-ietf-oauth-client-id-metadata-document-02 section 4.
fn must_be_json(headers: &HeaderMap) -> Result<(), Refused> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else {
        return Err(Refused::secret("it has not one Content-Type"));
    };
    let text = one.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_json = essence == "application/json"
        || essence
            .strip_prefix("application/")
            .and_then(|rest| rest.strip_suffix("+json"))
            .is_some_and(|name| !name.is_empty() && !name.contains(['/', ' ']));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some(("charset", name)) => matches!(name.trim_matches('"'), "utf-8" | "utf8"),
        _ => true,
    });
    if is_json && is_utf8 {
        return Ok(());
    }
    Err(Refused::secret("its Content-Type is not JSON in UTF-8"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_json_is_read_and_only_in_utf8() {
        let is_json = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            must_be_json(&headers).is_ok()
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/cimd+json",
            "application/vnd.x.y+json; profile=\"a\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "text/html",
            "text/json",
            "text/plain",
            "application/jsonp",
            "application/x-json",
            "application/+json",
            "application/a/b+json",
            "image/svg+json",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "application/octet-stream",
            "",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
        assert!(must_be_json(&HeaderMap::new()).is_err());
        let mut twice = HeaderMap::new();
        twice.append(header::CONTENT_TYPE, "application/json".parse().unwrap());
        twice.append(header::CONTENT_TYPE, "text/html".parse().unwrap());
        assert!(must_be_json(&twice).is_err());
    }
}
