use ::oauth::{BasicCredentials, Error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

/// Reads `Authorization: Basic`. Some clients send their id form-encoded (RFC 6749 section 2.3.1), some raw; our ids
/// read the same either way once decoded.
///
/// # Errors
/// `invalid_client` when the header is something else: a scheme that we ignored would be a proof that we ignored.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<BasicCredentials>, Error> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let unreadable =
        || Error::invalid_client("Authorization must be Basic with client_id and an empty secret");
    let text = value.to_str().map_err(|_| unreadable())?;
    let (scheme, encoded) = text.split_once(' ').ok_or_else(unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 1024 {
        return Err(unreadable());
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| unreadable())?;
    let decoded = String::from_utf8(decoded).map_err(|_| unreadable())?;
    let (client_id, secret) = decoded.split_once(':').ok_or_else(unreadable)?;
    let as_form = format!("id={client_id}");
    let form = ::oauth::Parameters::parse(as_form.as_bytes()).map_err(|_| unreadable())?;
    Ok(Some(BasicCredentials {
        client_id: form.get("id").unwrap_or_default().to_owned(),
        has_secret: !secret.is_empty(),
    }))
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

    #[test]
    fn raw_and_form_encoded_ids_are_read_and_other_schemes_are_refused() {
        let encode = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let expected = BasicCredentials {
            client_id: "cli_a-b".into(),
            has_secret: false,
        };
        assert_eq!(basic(&encode("cli_a-b:")).unwrap(), Some(expected.clone()));
        assert_eq!(basic(&encode("cli%5Fa%2Db:")).unwrap(), Some(expected));
        assert!(basic(&encode("cli_a:secret")).unwrap().unwrap().has_secret);
        assert!(read(&HeaderMap::new()).unwrap().is_none());
        for bad in ["Basic", "Basic !", "Bearer x", &encode("no colon")] {
            assert!(basic(bad).is_err(), "{bad}");
        }
    }
}
