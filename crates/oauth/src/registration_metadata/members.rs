use serde_json::{Map, Value};

use crate::Error;
use crate::parameters::printable;

const REDIRECT_URIS_MAX: usize = 32;
const NAME_CHARACTERS_MAX: usize = 200;
pub(super) const TEXT_BYTES_MAX: usize = 2048;

/// Members that hold an address. None is ever fetched; one that is no https address is dropped, for people may be
/// shown it as a link.
const ADDRESSES: &[&str] = &[
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "jwks_uri",
];

/// The members that are not read yet.
pub(super) struct Members(pub(super) Map<String, Value>);

impl Members {
    pub(super) fn text(&mut self, name: &str, bytes_max: usize) -> Result<Option<String>, Error> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= bytes_max => Ok(Some(text)),
            Some(Value::String(_)) => Err(malformed(name, "is too long")),
            Some(_) => Err(malformed(name, "must be a string")),
        }
    }

    pub(super) fn name(&mut self) -> Result<Option<String>, Error> {
        let name = self.text("client_name", TEXT_BYTES_MAX)?;
        match name {
            Some(name) if name.chars().count() > NAME_CHARACTERS_MAX => {
                Err(malformed("client_name", "is longer than 200 characters"))
            }
            name => Ok(name),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(malformed(name, "must be an array of strings"));
        };
        items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(malformed(name, "must be an array of strings")),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    pub(super) fn redirect_uris(&mut self) -> Result<Vec<String>, Error> {
        match self.0.get("redirect_uris") {
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {}
            None => {
                return Err(Error::invalid_redirect_uri("redirect_uris is missing"));
            }
            Some(_) => {
                return Err(Error::invalid_redirect_uri(
                    "redirect_uris must be an array of strings",
                ));
            }
        }
        let uris = self.texts("redirect_uris")?.unwrap_or_default();
        if uris.len() > REDIRECT_URIS_MAX {
            return Err(Error::invalid_redirect_uri(
                "redirect_uris has more than 32 entries",
            ));
        }
        Ok(uris)
    }

    pub(super) fn drop_bad_addresses(&mut self) {
        self.0.retain(|name, value| {
            // `client_uri#de` is the German variant (RFC 7591 section 2.2).
            let plain = name.split('#').next().unwrap_or_default();
            !ADDRESSES.contains(&plain)
                || value
                    .as_str()
                    .and_then(|text| url::Url::parse(text).ok())
                    .is_some_and(|url| url.scheme() == "https" && url.has_host())
        });
    }
}

/// What is asked, as far as there is such a thing here; everything when nothing was asked. VS Code lists the device
/// grant as well and is content without.
pub(super) fn supported(
    name: &'static str,
    asked: Option<Vec<String>>,
    needed: &'static str,
    known: &[&str],
) -> Result<Vec<String>, Error> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(known.iter().map(|word| (*word).to_owned()).collect());
    };
    if !asked.iter().any(|word| word == needed) {
        return Err(malformed(name, &format!("must contain {needed}")));
    }
    Ok(asked
        .into_iter()
        .filter(|word| known.contains(&word.as_str()))
        .collect())
}

/// Drops `null` and empty texts everywhere; `None` when nothing is left of the value itself.
pub(super) fn without_empty(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) => Some(items.into_iter().filter_map(without_empty).collect()),
        Value::Object(members) => Some(Value::Object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, without_empty(value)?)))
                .collect(),
        )),
        other => Some(other),
    }
}

pub(super) fn refuse_nul(name: &str, value: &Value) -> Result<(), Error> {
    let has_nul = match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => return items.iter().try_for_each(|item| refuse_nul(name, item)),
        Value::Object(members) => {
            return members
                .values()
                .try_for_each(|member| refuse_nul(name, member));
        }
        _ => false,
    };
    if has_nul {
        return Err(malformed(name, "must not contain U+0000"));
    }
    Ok(())
}

pub(super) fn malformed(name: &str, problem: &str) -> Error {
    Error::invalid_client_metadata(format!("{} {problem}", printable(name)))
}
