use base::base64url_decode;
use wire::mcp::{Json, Limits, Object, parse_strict};

/// The longest text that is looked at, in bytes. No server lets a longer header through.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// From where on servers and proxies refuse the request line's headers, in bytes.
const HEADER_LINE_BYTES: usize = 8 * 1024;
/// What is read of one part.
const PART: Limits = Limits {
    bytes_max: TEXT_BYTES_MAX,
    depth_max: 16,
    values_max: 4_000,
};

/// What kind of token a text is.
#[derive(Debug)]
pub enum Form {
    /// Header, claims and signature (RFC 7515).
    Jwt(Jwt),
    /// Encrypted (RFC 7516): only the header can be read.
    Encrypted(Object),
    /// Nothing that can be read.
    Opaque {
        /// How long it is.
        characters: usize,
    },
    /// Meant to be one of these, and broken.
    Damaged {
        /// In words, without anything of the token.
        why: String,
    },
}

/// A JWT whose parts were read and of which nothing was verified.
pub struct Jwt {
    /// The header.
    pub header: Object,
    /// The claims.
    pub claims: Object,
    /// What the signature is over.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Jwt")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Reads a text that somebody copied from somewhere, and says what had to be taken off it.
pub fn read(text: &str) -> (Form, Vec<String>) {
    let mut notes = Vec::new();
    if text.len() > TEXT_BYTES_MAX {
        let why = format!(
            "it has {} bytes, and no server lets more than {TEXT_BYTES_MAX} through",
            text.len()
        );
        return (Form::Damaged { why }, notes);
    }
    let token = match bare(text, &mut notes) {
        Ok(token) => token,
        Err(why) => return (Form::Damaged { why }, notes),
    };
    if token.len() > HEADER_LINE_BYTES {
        notes.push(format!(
            "It has {} bytes: many servers and proxies refuse a header line of more than {HEADER_LINE_BYTES}, with 400 or 431.",
            token.len()
        ));
    }
    (form(&token), notes)
}

/// The token alone, out of a token response, a header line or quotes.
fn bare(text: &str, notes: &mut Vec<String>) -> Result<String, String> {
    let mut text = text.trim().trim_start_matches('\u{feff}').to_owned();
    if text.starts_with('{') {
        let response = parse_strict(text.as_bytes(), &PART)
            .map_err(|error| format!("it looks like JSON and is not: {error}"))?;
        text = response
            .get("access_token")
            .and_then(Json::as_str)
            .ok_or("it is a JSON object without an access_token")?
            .to_owned();
        notes.push("A whole token response was given; this is about its access_token.".to_owned());
    }
    let mut token = text.trim().trim_matches(['"', '\'', '`']);
    for prefix in ["authorization:", "bearer "] {
        let begins = token
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if begins {
            token = token[prefix.len()..].trim_start();
        }
    }
    let token = token.trim_matches(['"', '\'', '`', ';', ',']);
    if token.is_empty() {
        return Err("there is nothing in it".to_owned());
    }
    if token.contains(char::is_whitespace) {
        // A terminal that wraps lines puts breaks into what is copied from it.
        notes.push(
            "There were spaces or line breaks in it, which were left out; a client that sends them is refused.".to_owned(),
        );
        return Ok(token.split_whitespace().collect());
    }
    Ok(token.to_owned())
}

fn form(token: &str) -> Form {
    let parts: Vec<&str> = token.split('.').take(6).collect();
    match parts[..] {
        [header, claims, signature] => jwt(header, claims, signature),
        [header, _, _, _, _] => match part(header, "header") {
            Ok(header) => Form::Encrypted(header),
            Err(_) => opaque(token),
        },
        [header, ..] if part(header, "header").is_ok() => Form::Damaged {
            why: format!(
                "it begins like a JWT and has {} of the three parts; was it cut when it was copied?",
                if parts.len() > 5 {
                    "more than five".to_owned()
                } else {
                    parts.len().to_string()
                }
            ),
        },
        _ => opaque(token),
    }
}

fn opaque(token: &str) -> Form {
    Form::Opaque {
        characters: token.chars().count(),
    }
}

fn jwt(header: &str, claims: &str, signature: &str) -> Form {
    // What only looks as if it had parts is an opaque token.
    if !header.starts_with("eyJ") && part(header, "header").is_err() {
        return opaque(&format!("{header}.{claims}.{signature}"));
    }
    let read = || {
        Ok(Jwt {
            header: part(header, "header")?,
            claims: part(claims, "claims")?,
            signed: format!("{header}.{claims}"),
            signature: base64url_decode(signature)
                .ok_or("its signature is not base64url; was it cut when it was copied?")?,
        })
    };
    match read() {
        Ok(jwt) => Form::Jwt(jwt),
        Err(why) => Form::Damaged { why },
    }
}

fn part(text: &str, name: &str) -> Result<Object, String> {
    let bytes = base64url_decode(text).ok_or_else(|| {
        if text.contains(['=', '+', '/']) {
            format!("its {name} is in ordinary base64; a JWT has base64url without padding (RFC 7515 section 2)")
        } else {
            format!("its {name} is not base64url; was it cut when it was copied?")
        }
    })?;
    match parse_strict(&bytes, &PART) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(format!("its {name} is JSON, but no object")),
        Err(error) => Err(format!(
            "its {name} is no JSON that everybody reads the same way: {}",
            super::shown(&error.to_string(), 120)
        )),
    }
}
