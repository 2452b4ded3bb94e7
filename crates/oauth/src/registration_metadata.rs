use base::{Digest, Timestamp};
use domain::ClientId;
use serde_json::{Map, Value};
use wire::mcp::json::{Json, Limits, parse_strict};
use wire::oauth::{ClientRegistrationResponse, RedirectUri};

use crate::Error;
use crate::parameters::printable;

/// A row of the database that a stranger makes: real registrations are below 2 KiB.
const LIMITS: Limits = Limits {
    bytes_max: 16 * 1024,
    depth_max: 8,
    values_max: 512,
};
const MEMBERS_MAX: usize = 64;
const REDIRECT_URIS_MAX: usize = 32;
const NAME_CHARACTERS_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 2048;
const SCOPE_BYTES_MAX: usize = 8192;

/// What a client may not say about itself: these are ours to say.
const RESERVED: &[&str] = &[
    "client_id",
    "client_id_issued_at",
    "client_secret",
    "client_secret_expires_at",
    "registration_access_token",
    "registration_client_uri",
];

/// Members that hold an address. None is ever fetched; one that is no web address is dropped.
const ADDRESSES: &[&str] = &[
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "jwks_uri",
];

/// The members of a registration request, read and checked; the redirect URIs are still to be judged.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Vec<String>,
    response_types: Vec<String>,
    scope: Option<String>,
    application_type: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    software_id: Option<String>,
    software_version: Option<String>,
    other: Map<String, Value>,
}

/// Reads a registration request. What we do not know is kept and echoed, `null` counts as absent, and an empty text
/// as well: strict clients choke on both.
///
/// Spec: RFC 7591 section 2.
pub(crate) fn read(body: &[u8]) -> Result<Metadata, Error> {
    let body = parse_strict(body, &LIMITS).map_err(|error| {
        Error::invalid_client_metadata(format!("the body is not acceptable JSON: {error}"))
    })?;
    let Json::Object(members) = body else {
        return Err(malformed("the body", "must be a JSON object"));
    };
    if members.len() > MEMBERS_MAX {
        return Err(malformed("the body", "has more than 64 members"));
    }
    let mut values = Map::new();
    for (name, value) in members.iter() {
        let name = name.as_str();
        if RESERVED.contains(&name) {
            continue;
        }
        let value: Value = value
            .deserialize()
            .map_err(|_| malformed(name, "holds a number out of range"))?;
        if let Some(value) = without_empty(value) {
            refuse_nul(name, &value)?;
            values.insert(name.to_owned(), value);
        }
    }
    let mut values = Members(values);
    values.drop_bad_addresses();
    // Whatever method was asked, it is answered with `none`.
    values.text("token_endpoint_auth_method", TEXT_BYTES_MAX)?;
    let grant_types = values.texts("grant_types")?;
    let response_types = values.texts("response_types")?;
    Ok(Metadata {
        redirect_uris: values.redirect_uris()?,
        client_name: values.name()?,
        grant_types: supported(
            "grant_types",
            grant_types,
            "authorization_code",
            &["authorization_code", "refresh_token"],
        )?,
        response_types: supported("response_types", response_types, "code", &["code"])?,
        scope: values.text("scope", SCOPE_BYTES_MAX)?,
        application_type: values.text("application_type", TEXT_BYTES_MAX)?,
        client_uri: values.text("client_uri", TEXT_BYTES_MAX)?,
        logo_uri: values.text("logo_uri", TEXT_BYTES_MAX)?,
        software_id: values.text("software_id", TEXT_BYTES_MAX)?,
        software_version: values.text("software_version", TEXT_BYTES_MAX)?,
        other: values.0,
    })
}

impl Metadata {
    /// The digest of everything that is registered, so that the same again is recognised.
    pub fn fingerprint(&self, redirect_uris: &[RedirectUri]) -> Digest {
        let nobody = ClientId::from_text("");
        let response = self.response(&nobody, redirect_uris, Timestamp::default());
        Digest::of(serde_json::to_vec(&response).expect("metadata is plain JSON"))
    }

    /// What people are shown: self-asserted, so without characters that hide or turn text.
    pub fn display_name(&self, redirect_uris: &[RedirectUri]) -> String {
        let named: String = self
            .client_name
            .as_deref()
            .unwrap_or_default()
            .chars()
            .map(|character| {
                if character.is_whitespace() {
                    ' '
                } else {
                    character
                }
            })
            .filter(|character| !character.is_control() && !is_invisible(*character))
            .collect();
        let named = named.split(' ').filter(|word| !word.is_empty());
        let named = named.collect::<Vec<_>>().join(" ");
        if !named.is_empty() {
            return named;
        }
        redirect_uris
            .first()
            .map_or_else(String::new, RedirectUri::display_host)
    }

    /// The answer that is stored and echoed.
    pub fn into_response(
        self,
        id: &ClientId,
        redirect_uris: &[RedirectUri],
        now: Timestamp,
    ) -> ClientRegistrationResponse {
        self.response(id, redirect_uris, now)
    }

    fn response(
        &self,
        id: &ClientId,
        redirect_uris: &[RedirectUri],
        now: Timestamp,
    ) -> ClientRegistrationResponse {
        let mut other = self.other.clone();
        // There is no secret, so it never expires; some clients want to read the number all the same.
        other.insert("client_secret_expires_at".into(), 0.into());
        ClientRegistrationResponse {
            client_id: id.as_str().to_owned(),
            client_id_issued_at: now.unix_seconds(),
            redirect_uris: redirect_uris
                .iter()
                .map(|uri| uri.as_str().to_owned())
                .collect(),
            token_endpoint_auth_method: "none".into(),
            grant_types: self.grant_types.clone(),
            response_types: self.response_types.clone(),
            client_name: self.client_name.clone(),
            scope: self.scope.clone(),
            application_type: self.application_type.clone(),
            client_uri: self.client_uri.clone(),
            logo_uri: self.logo_uri.clone(),
            software_id: self.software_id.clone(),
            software_version: self.software_version.clone(),
            other,
        }
    }
}

/// The members that are not read yet.
struct Members(Map<String, Value>);

impl Members {
    fn text(&mut self, name: &str, bytes_max: usize) -> Result<Option<String>, Error> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= bytes_max => Ok(Some(text)),
            Some(Value::String(_)) => Err(malformed(name, "is too long")),
            Some(_) => Err(malformed(name, "must be a string")),
        }
    }

    fn name(&mut self) -> Result<Option<String>, Error> {
        let name = self.text("client_name", TEXT_BYTES_MAX)?;
        match name {
            Some(name) if name.chars().count() > NAME_CHARACTERS_MAX => {
                Err(malformed("client_name", "is longer than 200 characters"))
            }
            name => Ok(name),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
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

    fn redirect_uris(&mut self) -> Result<Vec<String>, Error> {
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

    fn drop_bad_addresses(&mut self) {
        self.0.retain(|name, value| {
            // `client_uri#de` is the German variant (RFC 7591 section 2.2).
            let plain = name.split('#').next().unwrap_or_default();
            !ADDRESSES.contains(&plain)
                || value
                    .as_str()
                    .and_then(|text| url::Url::parse(text).ok())
                    .is_some_and(|url| matches!(url.scheme(), "https" | "http"))
        });
    }
}

/// What is asked, as far as there is such a thing here; everything when nothing was asked. VS Code lists the device
/// grant as well and is content without.
fn supported(
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
fn without_empty(value: Value) -> Option<Value> {
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

fn refuse_nul(name: &str, value: &Value) -> Result<(), Error> {
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

/// Zero-width characters and those that turn the direction of text.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn malformed(name: &str, problem: &str) -> Error {
    Error::invalid_client_metadata(format!("{} {problem}", printable(name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn answer(body: &Value) -> Result<Value, Error> {
        let metadata = read(body.to_string().as_bytes())?;
        let uris: Vec<_> = metadata
            .redirect_uris
            .iter()
            .map(|text| RedirectUri::parse(text).unwrap())
            .collect();
        let id = ClientId::from_text("cli_1");
        let response = metadata.into_response(&id, &uris, Timestamp::from_unix_seconds(7));
        Ok(serde_json::to_value(response).unwrap())
    }

    #[test]
    fn a_request_with_nothing_but_addresses_gets_every_default_spelled_out() {
        let body = json!({"redirect_uris": ["http://localhost/callback"]});
        assert_eq!(
            answer(&body).unwrap(),
            json!({
                "client_id": "cli_1",
                "client_id_issued_at": 7,
                "client_secret_expires_at": 0,
                "redirect_uris": ["http://localhost/callback"],
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
            })
        );
    }

    #[test]
    fn what_is_empty_or_reserved_is_left_out_and_what_is_unknown_is_echoed() {
        let body = json!({
            "redirect_uris": ["http://localhost/callback"],
            "client_id": "mine", "client_secret": "mine", "registration_access_token": "mine",
            "client_uri": "", "logo_uri": null, "tos_uri": "javascript:alert(1)", "policy_uri": "https://a.example/p",
            "contacts": ["a@example.com", null], "x": {"y": null, "z": 1.5},
            "token_endpoint_auth_method": "client_secret_post",
        });
        let answer = answer(&body).unwrap();
        assert_eq!(answer["client_id"], "cli_1");
        assert_eq!(answer["token_endpoint_auth_method"], "none");
        assert_eq!(answer["contacts"], json!(["a@example.com"]));
        assert_eq!(answer["x"], json!({"z": 1.5}));
        assert_eq!(answer["policy_uri"], "https://a.example/p");
        for absent in [
            "client_secret",
            "registration_access_token",
            "client_uri",
            "logo_uri",
            "tos_uri",
        ] {
            assert!(answer.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_wrong_member_is_named_and_changes_nothing() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"redirect_uris": ["http://localhost/callback"]});
            body[name] = value;
            answer(&body).map_err(|error| error.description().to_owned())
        };
        for (name, value) in [
            ("client_name", json!(7)),
            ("client_name", json!("x".repeat(201))),
            ("client_name", json!("a\u{0}b")),
            ("scope", json!(["a"])),
            ("grant_types", json!("authorization_code")),
            ("grant_types", json!(["client_credentials"])),
            ("response_types", json!(["token"])),
            ("redirect_uris", json!("http://localhost/callback")),
            ("redirect_uris", json!([7])),
            ("redirect_uris", json!(vec!["http://localhost/a"; 33])),
            ("software_id", json!("x".repeat(2049))),
        ] {
            let description = with(name, value).unwrap_err();
            assert!(description.contains(name), "{name}: {description}");
        }
        assert!(with("client_name", json!("x".repeat(200))).is_ok());
        assert!(with("scope", json!("")).is_ok());
        assert!(read(b"[]").is_err());
        assert!(read(b"{").is_err());
        assert!(
            read(br#"{"redirect_uris":["http://localhost/a"],"redirect_uris":["http://localhost/b"]}"#)
                .is_err()
        );
        assert!(
            read(b"{}")
                .unwrap_err()
                .description()
                .contains("redirect_uris")
        );
    }

    #[test]
    fn the_name_that_is_shown_has_no_characters_that_hide() {
        let shown = |name: &str| {
            let body = json!({"redirect_uris": ["cursor://x/y"], "client_name": name});
            let metadata = read(body.to_string().as_bytes()).unwrap();
            let uris = [RedirectUri::parse("cursor://x/y").unwrap()];
            metadata.display_name(&uris)
        };
        assert_eq!(
            shown(" Claude\u{202e} \n Code\u{200b} (x) "),
            "Claude Code (x)"
        );
        assert_eq!(shown("Visual Studio Code"), "Visual Studio Code");
        assert_eq!(shown("\u{200b}"), "cursor:");
    }

    #[test]
    fn the_same_registration_has_the_same_fingerprint_in_any_member_order() {
        let fingerprint = |body: &str| {
            let metadata = read(body.as_bytes()).unwrap();
            let uris = [RedirectUri::parse("http://localhost/a").unwrap()];
            metadata.fingerprint(&uris)
        };
        let first = fingerprint(r#"{"redirect_uris":["http://localhost/a"],"x":1,"y":2}"#);
        assert_eq!(
            first,
            fingerprint(r#"{"y":2,"x":1,"redirect_uris":["http://localhost/a"]}"#)
        );
        assert_ne!(
            first,
            fingerprint(r#"{"y":2,"x":2,"redirect_uris":["http://localhost/a"]}"#)
        );
    }
}
