use ::oauth::{BasicCredentials, Error, Parameters};
use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

/// The longest credentials that are read: an id, a secret and a colon are far below it.
const ENCODED_BYTES_MAX: usize = 1024;

/// Reads `Authorization: Basic`: split at the first colon, then each half decoded as a form value. Some clients encode
/// (RFC 6749 section 2.3.1), some do not; ids and secrets made here read the same either way.
///
/// # Errors
/// `invalid_client` when the header is something else: a scheme that we ignored would be a proof that we ignored.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<BasicCredentials>, Error> {
    let unreadable = || {
        Error::invalid_client(
            "Authorization must be one header: Basic, with client_id and client_secret, each form-encoded",
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(unreadable());
    }
    let text = value.to_str().map_err(|_| unreadable())?;
    let (scheme, encoded) = text.split_once(' ').ok_or_else(unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > ENCODED_BYTES_MAX {
        return Err(unreadable());
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| unreadable())?;
    let decoded = Secret::new(String::from_utf8(decoded).map_err(|_| unreadable())?);
    let (client_id, secret) = decoded.expose().split_once(':').ok_or_else(unreadable)?;
    let client_id = form_value(client_id).ok_or_else(unreadable)?;
    let secret = form_value(secret).ok_or_else(unreadable)?;
    Ok(Some(BasicCredentials {
        client_id,
        secret: (!secret.is_empty()).then(|| Secret::new(secret)),
    }))
}

/// One form-encoded value. A bare `&` would begin another.
fn form_value(text: &str) -> Option<String> {
    if text.contains('&') {
        return None;
    }
    let as_form = format!("value={text}");
    let form = Parameters::parse(as_form.as_bytes()).ok()?;
    Some(form.get("value").unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn basic(value: &str) -> Result<Option<BasicCredentials>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        read(&headers)
    }

    fn read_pair(text: &str) -> Option<(String, String)> {
        let read = basic(&format!("Basic {}", STANDARD.encode(text))).ok()??;
        let secret = read.secret.map(|secret| secret.expose().clone());
        Some((read.client_id, secret.unwrap_or_default()))
    }

    /// CA-05 of the attack list.
    #[test]
    fn raw_and_form_encoded_credentials_are_read_alike_and_split_at_the_first_colon() {
        for (text, id, secret) in [
            ("cli_a-b:", "cli_a-b", ""),
            ("cli%5Fa%2Db:", "cli_a-b", ""),
            ("cli_a:pck_x-y_z", "cli_a", "pck_x-y_z"),
            ("cli_a:pck%5Fx%2dy_z", "cli_a", "pck_x-y_z"),
            ("cli_a:one:two", "cli_a", "one:two"),
            ("cli_a:one%3Atwo", "cli_a", "one:two"),
            ("cli_a:one+two%2Bthree", "cli_a", "one two+three"),
            ("https%3A%2F%2Fa.example%2Fc:s", "https://a.example/c", "s"),
            ("cli_a:a=b", "cli_a", "a=b"),
            ("cli_ä:%C3%A4", "cli_ä", "ä"),
            ("cli_a:100%", "cli_a", "100%"),
        ] {
            let expected = (id.to_owned(), secret.to_owned());
            assert_eq!(read_pair(text), Some(expected), "{text}");
        }
        for text in [
            "no colon",
            "cli_a&client_id=b:s",
            "cli_a:s&t",
            "cli_a:%ff",
            "cli_a:%00",
        ] {
            assert_eq!(read_pair(text), None, "{text}");
        }
    }

    #[test]
    fn other_schemes_and_two_headers_are_refused_and_no_header_is_nothing() {
        assert!(read(&HeaderMap::new()).unwrap().is_none());
        let longest = format!(
            "Basic {}",
            STANDARD.encode(format!("id:{}", "s".repeat(765)))
        );
        assert_eq!(longest.len(), "Basic ".len() + ENCODED_BYTES_MAX);
        assert!(basic(&longest).is_ok());
        let long = format!("Basic {}", "A".repeat(1028));
        for bad in ["Basic", "Basic !", "Bearer x", &long] {
            assert!(basic(bad).is_err(), "{bad}");
        }
        let good = format!("bAsIc {}", STANDARD.encode("cli_a:s"));
        assert!(basic(&good).is_ok());
        assert!(basic(&good.replace("bAsIc", "Bearer")).is_err());
        // 768 bytes are 1,024 characters, and 769 are four more.
        for (bytes, read) in [(768, true), (769, false)] {
            let pair = format!("cli_a:{}", "s".repeat(bytes - "cli_a:".len()));
            let value = format!("Basic {}", STANDARD.encode(pair));
            assert_eq!(basic(&value).is_ok(), read, "{bytes}");
        }
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, good.parse().unwrap());
        headers.append(header::AUTHORIZATION, good.parse().unwrap());
        assert!(read(&headers).is_err());
    }
}
