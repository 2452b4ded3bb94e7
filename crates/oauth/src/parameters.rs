use std::borrow::Cow;

use crate::Error;

/// The most parameters that are read from one query or form.
const PARAMETERS_MAX: usize = 256;

/// The decoded parameters of a query or an `application/x-www-form-urlencoded` body, in their order.
///
/// Strict where the usual decoders are lenient: what is no UTF-8 or holds U+0000 is refused instead of replaced.
#[derive(Default)]
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// The names alone: among the values are codes, verifiers, tokens and passwords.
impl std::fmt::Debug for Parameters<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl<'a> Parameters<'a> {
    /// Decodes `text`.
    ///
    /// # Errors
    /// `invalid_request` for too many parameters, bytes that are no UTF-8, and U+0000.
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let mut parameters = Vec::with_capacity(12);
        for pair in text.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(Error::invalid_request("more than 256 parameters"));
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let name = decode(name).ok_or_else(|| {
                Error::invalid_request("a parameter name is not UTF-8 text without U+0000")
            })?;
            let value = decode(value).ok_or_else(|| {
                Error::invalid_request(format!(
                    "parameter {} is not UTF-8 text without U+0000",
                    printable(&name)
                ))
            })?;
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`. Empty counts as absent (RFC 6749 section 3.1). The first one, when it is repeated: call
    /// [`Parameters::refuse_repeats`] first.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, value)| found == name && !value.is_empty())
            .map(|(_, value)| value.as_ref())
    }

    /// All values of `name`, for the few that may be repeated.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |(found, value)| found == name && !value.is_empty())
            .map(|(_, value)| value.as_ref())
    }

    /// Whether `name` stands there more than once.
    pub fn is_repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(found, _)| found == name).count() > 1
    }

    /// Refuses every parameter that stands there more than once, `except` those of these names.
    ///
    /// # Errors
    /// `invalid_request`, naming the first one.
    ///
    /// Spec: RFC 6749 section 3.1: "Request and response parameters MUST NOT be included more than once."
    pub fn refuse_repeats(&self, except: &[&str]) -> Result<(), Error> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !except.contains(&name.as_ref())
                && self.0[..index].iter().any(|(earlier, _)| earlier == name)
            {
                return Err(Error::invalid_request(format!(
                    "parameter {} stands there more than once",
                    printable(name)
                )));
            }
        }
        Ok(())
    }
}

/// `+` is a space and `%XX` a byte; a `%` that begins no escape stands for itself (WHATWG URL section 5.1).
fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    if raw.contains(&0) {
        return None;
    }
    if !raw.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let escape = raw
                    .get(at..at + 2)
                    .and_then(|pair| Some(hex(pair[0])? * 16 + hex(pair[1])?));
                match escape {
                    Some(0) => return None,
                    Some(value) => {
                        bytes.push(u8::try_from(value).ok()?);
                        at += 2;
                    }
                    None => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// A name as it may stand in an error text (RFC 6749 section 5.2 allows printable ASCII without quote or backslash).
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .take(64)
        .map(|character| match character {
            '"' | '\\' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_form_is_decoded_and_empty_counts_as_absent() {
        let form =
            Parameters::parse(b"a=1+2&b=%C3%A4%2f&c=&d&e=100%&resource=x&resource=y").unwrap();
        assert_eq!(form.get("a"), Some("1 2"));
        assert_eq!(form.get("b"), Some("ä/"));
        assert_eq!(form.get("c"), None);
        assert_eq!(form.get("d"), None);
        assert_eq!(form.get("e"), Some("100%"));
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert!(form.refuse_repeats(&["resource"]).is_ok());
        assert!(
            form.refuse_repeats(&[])
                .unwrap_err()
                .description()
                .contains("resource")
        );
    }

    #[test]
    fn a_name_that_stands_twice_is_repeated_and_one_that_stands_once_is_not() {
        let form = Parameters::parse(b"a=1&b=1&a=1&c=&c=").unwrap();
        assert!(form.is_repeated("a") && form.is_repeated("c"));
        assert!(!form.is_repeated("b") && !form.is_repeated("d"));
    }

    #[test]
    fn a_name_in_an_error_text_has_neither_quote_nor_backslash() {
        assert_eq!(printable("a\"b\\c"), "a'b'c");
        assert_eq!(printable(" ~a\u{1f}\u{7f}\u{e4}"), " ~a???");
        assert_eq!(printable(&"x".repeat(65)), "x".repeat(64));
    }

    #[test]
    fn printed_parameters_show_their_names_and_no_value() {
        let form = Parameters::parse(b"code=pcc_secret&code_verifier=pc_secret").unwrap();
        let printed = format!("{form:?}");
        assert!(printed.contains("code_verifier") && !printed.contains("secret"));
    }

    #[test]
    fn what_is_no_text_is_refused_by_name_and_its_neighbour_is_read() {
        assert!(Parameters::parse(b"state=%C3").is_err());
        assert!(Parameters::parse(b"state=%00").is_err());
        assert!(Parameters::parse(b"st%00ate=x").is_err());
        assert!(Parameters::parse(b"state=%01").is_ok());
        let many = vec!["a=1"; 257].join("&");
        assert!(Parameters::parse(many.as_bytes()).is_err());
        let many = vec!["a=1"; 256].join("&");
        assert!(Parameters::parse(many.as_bytes()).is_ok());
    }
}
