use std::time::Duration;

use base::{Timestamp, base64url_decode};
use wire::mcp::{Json, Limits, Object, parse_strict};

use crate::verifying_keys::{Algorithm, VerifyingKeys};

/// The longest assertion that is read, in bytes.
const ASSERTION_BYTES_MAX: usize = 8 * 1024;
/// The longest `jti` that is remembered, in bytes.
const TOKEN_ID_BYTES_MAX: usize = 512;
/// The furthest that an assertion's end may lie ahead: its id has to be remembered until then.
pub const ASSERTION_LIFETIME_MAX: Duration = Duration::from_secs(3600);
/// How far the client's clock may be from ours.
pub const ASSERTION_LEEWAY: Duration = Duration::from_secs(30);

/// What a client assertion says of itself, before anything of it was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedAssertion {
    /// The `sub`: the client that it claims to be.
    pub client_id: String,
    /// The key that it says it was signed with.
    pub key_id: Option<String>,
}

/// A client assertion whose signature, issuer, subject, audience and time were found good. Its id is not spent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// The `jti`, good once.
    pub token_id: String,
    /// Until when the id has to be remembered.
    pub until: Timestamp,
    /// When it says it was made.
    pub issued_at: Option<Timestamp>,
}

/// What a client assertion must say to be good here.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedAssertion<'a> {
    /// The `iss` and the `sub`.
    pub client_id: &'a str,
    /// Any one of these as the only audience.
    pub audiences: &'a [&'a str],
    /// The client's keys.
    pub keys: &'a VerifyingKeys,
    /// The present moment.
    pub now: Timestamp,
}

/// Why a client assertion is no good, in words that may be shown: they hold nothing but names of members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefusal {
    /// It is not three base64url parts, or longer than 8 KiB.
    #[error("client_assertion is not a signed JWT in compact form")]
    NotCompact,
    /// The header or the claims are no strict JSON object.
    #[error("client_assertion's {0} is not a JSON object that everybody reads the same way")]
    NotJson(&'static str),
    /// Another kind of token.
    #[error("client_assertion's typ is neither JWT nor client-authentication+jwt")]
    WrongType,
    /// A header parameter that changes how the token is read.
    #[error("client_assertion's header has {0:?}, which is not accepted")]
    HeaderParameter(&'static str),
    /// `none`, a shared-secret algorithm, or any other that is not accepted.
    #[error("client_assertion's alg is not ES256, EdDSA or RS256")]
    WrongAlgorithm,
    /// No key of the client has this id and algorithm.
    #[error("no key of the client has client_assertion's kid and alg")]
    UnknownKey,
    /// The signature is not of that key.
    #[error("client_assertion's signature does not verify with the client's keys")]
    BadSignature,
    /// A claim is missing or of the wrong type.
    #[error("client_assertion's claim {0:?} is missing or not what it must be")]
    Claim(&'static str),
    /// `iss` and `sub` are not both the client.
    #[error("client_assertion's {0} is not the client_id")]
    NotTheClient(&'static str),
    /// Made for another authorization server, or for several.
    #[error(
        "client_assertion's aud must be one string: the issuer or its token endpoint, and nothing else"
    )]
    WrongAudience,
    /// Too late.
    #[error("client_assertion has expired")]
    Expired,
    /// Good for longer than anybody needs.
    #[error("client_assertion's exp lies more than an hour ahead")]
    TooLong,
    /// Too early: `nbf` or `iat` lies in the future.
    #[error("client_assertion's {0} lies in the future")]
    NotYetValid(&'static str),
}

/// The client that an assertion claims to be of, to find the keys that can prove it.
///
/// # Errors
/// When it cannot be read.
pub fn read_assertion(assertion: &str) -> Result<UnverifiedAssertion, AssertionRefusal> {
    let parts = Parts::read(assertion)?;
    let (_, key_id) = read_header(&parts.header)?;
    Ok(UnverifiedAssertion {
        client_id: text(&parts.claims, "sub")?.to_owned(),
        key_id: key_id.map(str::to_owned),
    })
}

/// Verifies a client assertion. The algorithm comes from the client's key, never from the token.
///
/// Spec: RFC 7523 section 3; RFC 8725 section 3; RFC 7521 section 4.2.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify_client_assertion(
    assertion: &str,
    expected: &ExpectedAssertion<'_>,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    let parts = Parts::read(assertion)?;
    let (algorithm, key_id) = read_header(&parts.header)?;
    let mut found = false;
    let verifies = expected.keys.of_client(key_id, algorithm).any(|key| {
        found = true;
        key.verify_sig(parts.signed.as_bytes(), &parts.signature)
            .is_ok()
    });
    if !found {
        return Err(AssertionRefusal::UnknownKey);
    }
    if !verifies {
        return Err(AssertionRefusal::BadSignature);
    }
    let claims = &parts.claims;
    for name in ["iss", "sub"] {
        if text(claims, name)? != expected.client_id {
            return Err(AssertionRefusal::NotTheClient(name));
        }
    }
    // One string, not a list: a second audience could replay it here, and the other way round.
    match claims.get("aud").and_then(Json::as_str) {
        Some(audience) if expected.audiences.contains(&audience) => {}
        _ => return Err(AssertionRefusal::WrongAudience),
    }
    let now = expected.now;
    let expires = Timestamp::from_unix_seconds(seconds(claims, "exp")?);
    let until = expires.after(ASSERTION_LEEWAY);
    if now >= until {
        return Err(AssertionRefusal::Expired);
    }
    if expires > now.after(ASSERTION_LIFETIME_MAX).after(ASSERTION_LEEWAY) {
        return Err(AssertionRefusal::TooLong);
    }
    for name in ["nbf", "iat"] {
        if claims.get(name).is_some()
            && Timestamp::from_unix_seconds(seconds(claims, name)?) > now.after(ASSERTION_LEEWAY)
        {
            return Err(AssertionRefusal::NotYetValid(name));
        }
    }
    let token_id = text(claims, "jti")?;
    if token_id.len() > TOKEN_ID_BYTES_MAX {
        return Err(AssertionRefusal::Claim("jti"));
    }
    Ok(VerifiedAssertion {
        token_id: token_id.to_owned(),
        until,
        issued_at: match claims.get("iat") {
            Some(_) => Some(Timestamp::from_unix_seconds(seconds(claims, "iat")?)),
            None => None,
        },
    })
}

struct Parts<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    header: Object,
    claims: Object,
}

impl<'a> Parts<'a> {
    fn read(assertion: &'a str) -> Result<Self, AssertionRefusal> {
        const BAD: AssertionRefusal = AssertionRefusal::NotCompact;
        if assertion.len() > ASSERTION_BYTES_MAX {
            return Err(BAD);
        }
        let (signed, signature) = assertion.rsplit_once('.').ok_or(BAD)?;
        let (header, claims) = signed.split_once('.').ok_or(BAD)?;
        Ok(Self {
            signed,
            signature: base64url_decode(signature).ok_or(BAD)?,
            header: object(header, "header")?,
            claims: object(claims, "payload")?,
        })
    }
}

fn object(part: &str, name: &'static str) -> Result<Object, AssertionRefusal> {
    let bytes = base64url_decode(part).ok_or(AssertionRefusal::NotCompact)?;
    match parse_strict(&bytes, &Limits::default()) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(AssertionRefusal::NotJson(name)),
    }
}

/// The algorithm and the key id, once nothing else in the header asks for special treatment. Libraries leave out
/// `typ` and `kid`, or call it a plain JWT.
fn read_header(header: &Object) -> Result<(Algorithm, Option<&str>), AssertionRefusal> {
    const TYPES: [&str; 4] = [
        "JWT",
        "application/jwt",
        "client-authentication+jwt",
        "application/client-authentication+jwt",
    ];
    if let Some(typ) = header.get("typ") {
        let known = |typ: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ));
        if !typ.as_str().is_some_and(known) {
            return Err(AssertionRefusal::WrongType);
        }
    }
    for name in ["crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64"] {
        if header.get(name).is_some() {
            return Err(AssertionRefusal::HeaderParameter(name));
        }
    }
    let algorithm = header
        .str("alg")
        .and_then(Algorithm::from_name)
        .ok_or(AssertionRefusal::WrongAlgorithm)?;
    match header.get("kid") {
        None => Ok((algorithm, None)),
        Some(key_id) => match key_id.as_str() {
            Some(key_id) if !key_id.is_empty() => Ok((algorithm, Some(key_id))),
            _ => Err(AssertionRefusal::UnknownKey),
        },
    }
}

fn text<'a>(claims: &'a Object, name: &'static str) -> Result<&'a str, AssertionRefusal> {
    claims
        .str(name)
        .filter(|text| !text.is_empty())
        .ok_or(AssertionRefusal::Claim(name))
}

/// Some libraries write times with a fraction, which counts for nothing.
fn seconds(claims: &Object, name: &'static str) -> Result<i64, AssertionRefusal> {
    let number = claims.get(name).ok_or(AssertionRefusal::Claim(name))?;
    number
        .as_i64()
        .or_else(|| whole_seconds(number))
        .filter(|seconds| (0..1 << 53).contains(seconds))
        .ok_or(AssertionRefusal::Claim(name))
}

fn whole_seconds(number: &Json) -> Option<i64> {
    let Json::Number(text) = number else {
        return None;
    };
    let (whole, fraction) = text.as_str().split_once('.')?;
    fraction
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| whole.parse().ok())?
}

#[cfg(test)]
mod tests;
