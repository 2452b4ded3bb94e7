use domain::{AuthMethod, ClientAuthentication, ClientKeys};
use serde_json::{Map, Value};
use url::Url;
use wire::mcp::json::{Json, Limits, parse_strict};
use wire::oauth::{ClientRegistrationResponse, RedirectUri};

use super::key_set;
use super::url::DocumentUrl;
use crate::visible_text::visible;

/// The largest document that is read (draft-ietf-oauth-client-id-metadata-document-02 section 8.7: 5 kB).
pub(crate) const BYTES_MAX: usize = 5 * 1024;

const LIMITS: Limits = Limits {
    bytes_max: BYTES_MAX,
    depth_max: 8,
    values_max: 512,
};

const REDIRECT_URIS_MAX: usize = 32;
const NAME_CHARACTERS_MAX: usize = 200;
const ADDRESS_BYTES_MAX: usize = 2048;
const SECRET_CHARACTERS_MAX: usize = 300;

/// What a client says about itself, read and checked.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub name: String,
    pub redirect_uris: Vec<RedirectUri>,
    pub authentication: ClientAuthentication,
    pub metadata: ClientRegistrationResponse,
}

/// Why a document is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// In words.
    pub words: String,
    /// Whether whoever asked may be told: it came from something that means to be a client metadata document. What else
    /// there is behind an address is nobody's business.
    pub may_be_told: bool,
}

impl Refused {
    /// For the log alone, and cut: it may hold words of a stranger's certificate.
    pub fn secret(words: impl Into<String>) -> Self {
        let words: String = words.into();
        Self {
            words: words.chars().take(SECRET_CHARACTERS_MAX).collect(),
            may_be_told: false,
        }
    }
}

impl Document {
    /// Whether what a person approved is still what it says.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.what_changed(other).is_empty()
    }

    /// The names of what matters and differs.
    pub fn what_changed(&self, other: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        if self.name != other.name {
            changed.push("client_name");
        }
        if self.redirect_uris != other.redirect_uris {
            changed.push("redirect_uris");
        }
        if self.authentication.methods != other.authentication.methods {
            changed.push("token_endpoint_auth_method");
        }
        if self.authentication.keys != other.authentication.keys {
            changed.push("keys");
        }
        changed
    }
}

/// Reads the document at `url`.
///
/// Spec: draft-ietf-oauth-client-id-metadata-document-02 section 4, and -00 section 4.1.
pub(crate) fn read(url: &DocumentUrl, bytes: &[u8]) -> Result<Document, Refused> {
    let json = parse_strict(bytes, &LIMITS)
        .map_err(|error| Refused::secret(format!("it is no acceptable JSON: {error}")))?;
    let Json::Object(object) = &json else {
        return Err(Refused::secret("it is no JSON object"));
    };
    match object.get("client_id") {
        // Byte for byte: another spelling of the address is another client.
        Some(Json::String(id)) if id.as_str() == url.as_str() => {}
        Some(_) => return Err(told("client_id is not the address of the document")),
        None => return Err(Refused::secret("client_id is missing")),
    }
    let value: Value = json
        .deserialize()
        .map_err(|_| told("a number is out of range"))?;
    let Value::Object(members) = value else {
        return Err(Refused::secret("it is no JSON object"));
    };
    for shared in ["client_secret", "client_secret_expires_at"] {
        if members.contains_key(shared) {
            return Err(told(format!(
                "{shared} must not stand in a public document"
            )));
        }
    }
    let members = Members(members);
    let redirect_uris = redirect_uris(&members)?;
    members.must_contain("grant_types", "authorization_code")?;
    members.must_contain("response_types", "code")?;
    let authentication = authentication(&members)?;
    let name = name(&members)?;
    let metadata = metadata(url, &members, &redirect_uris, &authentication)?;
    Ok(Document {
        name,
        redirect_uris,
        authentication,
        metadata,
    })
}

/// What people are shown. One that holds nothing to see is none.
///
/// Spec: MCP 2025-11-25, Authorization, Client ID Metadata Documents: `client_name` is required.
fn name(members: &Members) -> Result<String, Refused> {
    let Some(name) = members.text("client_name")? else {
        return Err(told("client_name is missing"));
    };
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(told("client_name is longer than 200 characters"));
    }
    let name = visible(name);
    if name.is_empty() {
        return Err(told("client_name is blank"));
    }
    Ok(name)
}

fn told(words: impl Into<String>) -> Refused {
    Refused {
        words: words.into(),
        may_be_told: true,
    }
}

/// Those that are acceptable, of which there must be one. A form that we do not know spoils itself alone.
fn redirect_uris(members: &Members) -> Result<Vec<RedirectUri>, Refused> {
    let Some(texts) = members.texts("redirect_uris")? else {
        return Err(told("redirect_uris is missing"));
    };
    if texts.len() > REDIRECT_URIS_MAX {
        return Err(told("redirect_uris has more than 32 entries"));
    }
    let mut uris = Vec::new();
    let mut reason = None;
    for text in texts {
        match RedirectUri::parse(text) {
            Ok(uri) if uris.contains(&uri) => {}
            Ok(uri) => uris.push(uri),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    match (uris.is_empty(), reason) {
        (false, _) => Ok(uris),
        (true, Some(reason)) => Err(told(format!(
            "redirect_uris has no acceptable entry: {reason}"
        ))),
        (true, None) => Err(told("redirect_uris is empty")),
    }
}

/// How the client may prove itself: each method of the list, when there is one (ChatGPT publishes it), else the one
/// method, else none.
fn authentication(members: &Members) -> Result<ClientAuthentication, Refused> {
    let listed = members.texts("token_endpoint_auth_methods_supported")?;
    let single = members.text("token_endpoint_auth_method")?;
    let named = listed.clone().unwrap_or_default().into_iter().chain(single);
    for method in named {
        if method.starts_with("client_secret") {
            return Err(told(format!(
                "{method} needs a shared secret, which a public document cannot have"
            )));
        }
    }
    let asked = match (listed, single) {
        (Some(listed), _) if !listed.is_empty() => listed,
        (_, Some(single)) => vec![single],
        (_, None) => vec!["none"],
    };
    let keys = keys(members)?;
    let mut methods = Vec::new();
    for method in asked {
        let method = match method {
            "none" => AuthMethod::None,
            "private_key_jwt" if keys.is_some() => AuthMethod::PrivateKeyJwt,
            _ => continue,
        };
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    if methods.is_empty() {
        return Err(told(
            "token_endpoint_auth_method must be none, or private_key_jwt with jwks or jwks_uri",
        ));
    }
    let keys = keys.filter(|_| methods.contains(&AuthMethod::PrivateKeyJwt));
    Ok(ClientAuthentication { methods, keys })
}

fn keys(members: &Members) -> Result<Option<ClientKeys>, Refused> {
    match (members.0.get("jwks"), members.text("jwks_uri")?) {
        (Some(_), Some(_)) => Err(told("jwks and jwks_uri do not go together")),
        (Some(jwks), None) => {
            let set = key_set::from_value(jwks).map_err(|words| told(format!("jwks: {words}")))?;
            Ok(Some(ClientKeys::Inline(set)))
        }
        (None, Some(uri)) if is_fetchable(uri) => Ok(Some(ClientKeys::Remote(uri.to_owned()))),
        (None, Some(_)) => Err(told("jwks_uri must be an https address")),
        (None, None) => Ok(None),
    }
}

fn is_fetchable(address: &str) -> bool {
    address.len() <= ADDRESS_BYTES_MAX
        && address.starts_with("https://")
        && address.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
        && !address.contains('#')
        && Url::parse(address)
            .is_ok_and(|url| url.username().is_empty() && url.password().is_none())
}

/// The document as a registration, for screens and whoever asks later; what is no part of it here is left out.
fn metadata(
    url: &DocumentUrl,
    members: &Members,
    redirect_uris: &[RedirectUri],
    authentication: &ClientAuthentication,
) -> Result<ClientRegistrationResponse, Refused> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let words = |list: Option<Vec<&str>>, default: &[&str]| {
        list.filter(|list| !list.is_empty())
            .unwrap_or_else(|| default.to_vec())
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let method = match authentication.methods.first() {
        Some(AuthMethod::PrivateKeyJwt) => "private_key_jwt",
        _ => "none",
    };
    let mut other = Map::new();
    for name in ["tos_uri", "policy_uri", "jwks_uri"] {
        if let Some(address) = members.address(name) {
            other.insert(name.to_owned(), address.into());
        }
    }
    Ok(ClientRegistrationResponse {
        client_id: url.as_str().to_owned(),
        client_id_issued_at: 0,
        redirect_uris: redirect_uris.iter().map(ToString::to_string).collect(),
        token_endpoint_auth_method: method.to_owned(),
        grant_types: words(
            members.texts("grant_types")?,
            &["authorization_code", "refresh_token"],
        ),
        response_types: words(members.texts("response_types")?, &["code"]),
        client_name: owned(members.text("client_name")?),
        scope: owned(members.text("scope")?),
        application_type: owned(members.text("application_type")?),
        client_uri: members.address("client_uri"),
        logo_uri: members.address("logo_uri"),
        software_id: owned(members.text("software_id")?),
        software_version: owned(members.text("software_version")?),
        other,
    })
}

/// `null` counts as absent.
struct Members(Map<String, Value>);

impl Members {
    fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(told(format!("{name} must not contain U+0000")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(told(format!("{name} must be a string"))),
        }
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, Refused> {
        let wrong = || told(format!("{name} must be an array of strings"));
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => {
                let texts = items.iter().map(|item| match item {
                    Value::String(text) if !text.contains('\0') => Ok(text.as_str()),
                    _ => Err(wrong()),
                });
                texts.collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(wrong()),
        }
    }

    /// A list may name what we do not know (claude.ai lists a grant that is not for us), but without `word` it is of
    /// no use here.
    fn must_contain(&self, name: &str, word: &str) -> Result<(), Refused> {
        match self.texts(name)? {
            Some(list) if !list.is_empty() && !list.contains(&word) => {
                Err(told(format!("{name} must contain {word}")))
            }
            _ => Ok(()),
        }
    }

    /// An address that is only shown or fetched later; one that is none is left out.
    fn address(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.as_str()?;
        is_fetchable(text).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests;
