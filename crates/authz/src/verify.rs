mod other_issuer;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use base::{Timestamp, base64url_decode};
use wire::mcp::{Json, Limits, Object, parse_strict};
use wire::oauth::{AccessTokenClaims, Scope};

use crate::Caller;
use crate::verifying_keys::{Algorithm, VerifyingKeys};

pub use other_issuer::{
    TokenForm, verify_both, verify_introspection, verify_token_of_other_issuer,
};

/// The longest token that is read, in bytes: a header line of 16 KiB is more than any server lets through.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The most roles that are read from a token, and the most groups.
const ROLES_MAX: usize = 64;
/// The most that clocks may differ, whatever the setting says.
const LEEWAY_MAX: Duration = Duration::from_secs(30);

/// What a token must say to be good here.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The one issuer, byte for byte.
    pub issuer: &'a str,
    /// The one audience, byte for byte.
    pub audience: &'a str,
    /// The issuer's keys.
    pub keys: &'a VerifyingKeys,
    /// The present moment.
    pub now: Timestamp,
    /// How far clocks may differ; at most 30 s counts.
    pub leeway: Duration,
}

/// Why a token is no good, in words for the log. None of them holds anything of the token but names of members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not three canonical base64url parts, or longer than 16 KiB.
    #[error("the access token is not a signed JWT in compact form")]
    NotCompact,
    /// The header or the claims are no strict JSON object.
    #[error("the access token's {0} is not a JSON object that everybody reads the same way")]
    NotJson(&'static str),
    /// Another kind of token.
    #[error("the access token's typ is not at+jwt")]
    WrongType,
    /// A header parameter that changes how the token is read.
    #[error("the access token's header has {0:?}, which is not accepted")]
    HeaderParameter(&'static str),
    /// `none`, a shared-secret algorithm, or any other that is not accepted.
    #[error("the access token's alg is not ES256, EdDSA or RS256")]
    WrongAlgorithm,
    /// No key of that id and algorithm.
    #[error("no key of the issuer has the access token's kid and alg")]
    UnknownKey,
    /// The signature is not of that key.
    #[error("the access token's signature does not verify")]
    BadSignature,
    /// A claim is missing or of the wrong type.
    #[error("the access token's claim {0:?} is missing or not what it must be")]
    Claim(&'static str),
    /// Somebody else's token.
    #[error("the access token is of another issuer")]
    WrongIssuer,
    /// A token for another resource.
    #[error("the access token is for another audience")]
    WrongAudience,
    /// Too late.
    #[error("the access token has expired")]
    Expired,
    /// Too early: `nbf` or `iat` lies in the future.
    #[error("the access token's {0} lies in the future")]
    NotYetValid(&'static str),
    /// Bound to a key, presented without proof of it (RFC 9449 section 7.2).
    #[error("the access token is sender-constrained and was presented as a bearer token")]
    SenderConstrained,
    /// Its issuer was asked and says that it is no good (RFC 7662 section 2.2).
    #[error("the issuer says that the access token is not active")]
    Inactive,
    /// What its issuer says about it is not what stands in it.
    #[error("the issuer says another {0:?} of the access token than stands in it")]
    Contradicted(&'static str),
}

impl TokenRefusal {
    /// What the client is told: enough to act on.
    pub fn description(&self) -> &'static str {
        match self {
            Self::NotCompact | Self::NotJson(_) | Self::Claim(_) => "The access token is malformed",
            Self::WrongType => "The token is not an access token",
            Self::HeaderParameter(_)
            | Self::WrongAlgorithm
            | Self::UnknownKey
            | Self::BadSignature => "The access token's signature cannot be verified",
            Self::WrongIssuer => "The access token was issued by another authorization server",
            Self::WrongAudience => "The access token was issued for another resource",
            Self::Expired => "The access token has expired",
            Self::NotYetValid(_) => "The access token is not valid yet",
            Self::SenderConstrained => "The access token is bound to a key and needs its proof",
            Self::Inactive => "The access token is unknown, expired or revoked",
            Self::Contradicted(_) => "The access token is not what its issuer says of it",
        }
    }
}

/// The claims of a token whose signature, issuer, audience and time were found good, or of which its issuer says so. Only
/// [`verify_access_token`] and its neighbours make one.
#[derive(Clone)]
pub struct VerifiedToken {
    claims: Arc<AccessTokenClaims>,
    key_id: Option<Arc<str>>,
    of_other_issuer: bool,
}

impl VerifiedToken {
    /// Whether it has not expired meanwhile, for a token that was verified earlier and kept.
    pub fn is_live(&self, now: Timestamp, leeway: Duration) -> bool {
        now < expires(self.claims.exp, leeway)
    }

    /// The key that signed it, for when that key is withdrawn; none when its issuer was asked instead.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Who calls. Nothing in a token proves that a client steps up, so the caller says it does not.
    pub fn caller(&self) -> Caller {
        Caller {
            subject: self.claims.sub.clone(),
            client: self.claims.client_id.clone(),
            client_vouched: self.claims.client_vouched,
            client_proven: self.claims.client_proven,
            client_of_other_issuer: self.of_other_issuer,
            grant: self.claims.grant_id.clone(),
            scopes: self.claims.scope.clone(),
            roles: self.claims.roles.clone(),
            groups: self.claims.groups.clone(),
            steps_up: false,
        }
    }
}

impl Deref for VerifiedToken {
    type Target = AccessTokenClaims;

    fn deref(&self) -> &AccessTokenClaims {
        &self.claims
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.claims, formatter)
    }
}

/// Verifies an access token as a resource server must: type, algorithm and key first, signature next, then issuer,
/// audience and time.
///
/// Spec: RFC 9068 section 4; RFC 8725 section 3; RFC 7515 section 4.1.11.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify_access_token(
    token: &str,
    expected: &Expected<'_>,
) -> Result<VerifiedToken, TokenRefusal> {
    let (claims, key_id) = signed_claims(token, expected.keys, is_access_token)?;
    let leeway = expected.leeway.min(LEEWAY_MAX);
    if text(&claims, "iss")? != expected.issuer {
        return Err(TokenRefusal::WrongIssuer);
    }
    // One string, not a list: a token for two audiences may be replayed by one of them at the other.
    if text(&claims, "aud")? != expected.audience {
        return Err(TokenRefusal::WrongAudience);
    }
    let claims = read_claims(&claims, expected.now.after(leeway))?;
    let token = VerifiedToken {
        claims: Arc::new(claims),
        key_id: Some(key_id),
        of_other_issuer: false,
    };
    if !token.is_live(expected.now, leeway) {
        return Err(TokenRefusal::Expired);
    }
    Ok(token)
}

/// The claims, and the id of the key whose signature is good. Nothing of the claims is checked.
fn signed_claims(
    token: &str,
    keys: &VerifyingKeys,
    is_right_type: impl Fn(&Object) -> bool,
) -> Result<(Object, Arc<str>), TokenRefusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenRefusal::NotCompact);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::NotCompact)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenRefusal::NotCompact)?;
    let header = json_part(header, "header")?;
    let payload_bytes = base64url_decode(payload).ok_or(TokenRefusal::NotCompact)?;
    let signature = base64url_decode(signature).ok_or(TokenRefusal::NotCompact)?;

    if !is_right_type(&header) {
        return Err(TokenRefusal::WrongType);
    }
    let (algorithm, key_id) = read_header(&header)?;
    let key = keys
        .find(key_id, algorithm)
        .ok_or(TokenRefusal::UnknownKey)?;
    key.key
        .verify_sig(signed.as_bytes(), &signature)
        .map_err(|_| TokenRefusal::BadSignature)?;
    let claims = json_object(&payload_bytes, "payload")?;
    Ok((claims, Arc::clone(&key.id)))
}

/// RFC 9068 section 4.
fn is_access_token(header: &Object) -> bool {
    header.str("typ").is_some_and(|typ| {
        typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
    })
}

/// The algorithm and the key id, once nothing else in the header asks for special treatment.
fn read_header(header: &Object) -> Result<(Algorithm, &str), TokenRefusal> {
    // No extension is understood here, and no key comes from the token itself.
    for name in ["crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64"] {
        if header.get(name).is_some() {
            return Err(TokenRefusal::HeaderParameter(name));
        }
    }
    let algorithm = header
        .str("alg")
        .and_then(Algorithm::from_name)
        .ok_or(TokenRefusal::WrongAlgorithm)?;
    let key_id = header.str("kid").ok_or(TokenRefusal::UnknownKey)?;
    Ok((algorithm, key_id))
}

/// `latest` is the present moment with the leeway added: nothing may begin after it.
fn read_claims(claims: &Object, latest: Timestamp) -> Result<AccessTokenClaims, TokenRefusal> {
    if claims.get("cnf").is_some() {
        return Err(TokenRefusal::SenderConstrained);
    }
    let begins = |name| match claims.get(name) {
        None => Ok(None),
        Some(_) if Timestamp::from_unix_seconds(seconds(claims, name)?) > latest => {
            Err(TokenRefusal::NotYetValid(name))
        }
        Some(_) => seconds(claims, name).map(Some),
    };
    begins("nbf")?;
    Ok(AccessTokenClaims {
        iss: text(claims, "iss")?.to_owned(),
        sub: text(claims, "sub")?.to_owned(),
        aud: text(claims, "aud")?.to_owned(),
        exp: seconds(claims, "exp")?,
        iat: begins("iat")?.ok_or(TokenRefusal::Claim("iat"))?,
        jti: text(claims, "jti")?.to_owned(),
        client_id: text(claims, "client_id")?.to_owned(),
        scope: match claims.get("scope") {
            None => Default::default(),
            Some(_) => text_or_empty(claims, "scope")?
                .split_ascii_whitespace()
                .map(Scope::parse)
                .collect::<Result<_, _>>()
                .map_err(|_| TokenRefusal::Claim("scope"))?,
        },
        grant_id: text(claims, "grant_id")?.to_owned(),
        auth_time: match claims.get("auth_time") {
            None => None,
            Some(_) => Some(seconds(claims, "auth_time")?),
        },
        roles: ids(claims, "roles")?,
        groups: ids(claims, "groups")?,
        standing: match claims.get("standing") {
            None => 0,
            Some(_) => seconds(claims, "standing")?,
        },
        client_vouched: truth(claims, "client_vouched")?,
        // In no token of the release before, and not in one whose client proved nothing.
        client_proven: truth(claims, "client_proven")?,
        cnf: None,
    })
}

fn truth(claims: &Object, name: &'static str) -> Result<bool, TokenRefusal> {
    match claims.get(name) {
        None => Ok(false),
        Some(truth) => truth.as_bool().ok_or(TokenRefusal::Claim(name)),
    }
}

fn ids(claims: &Object, name: &'static str) -> Result<Vec<String>, TokenRefusal> {
    let Some(ids) = claims.get(name) else {
        return Ok(Vec::new());
    };
    ids.as_array()
        .filter(|ids| ids.len() <= ROLES_MAX)
        .and_then(|ids| {
            ids.iter()
                .map(|id| id.as_str().map(str::to_owned))
                .collect()
        })
        .ok_or(TokenRefusal::Claim(name))
}

fn json_part(part: &str, name: &'static str) -> Result<Object, TokenRefusal> {
    let bytes = base64url_decode(part).ok_or(TokenRefusal::NotCompact)?;
    json_object(&bytes, name)
}

fn json_object(bytes: &[u8], name: &'static str) -> Result<Object, TokenRefusal> {
    match parse_strict(bytes, &Limits::default()) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(TokenRefusal::NotJson(name)),
    }
}

fn text<'a>(claims: &'a Object, name: &'static str) -> Result<&'a str, TokenRefusal> {
    text_or_empty(claims, name).and_then(|text| match text {
        "" => Err(TokenRefusal::Claim(name)),
        text => Ok(text),
    })
}

fn text_or_empty<'a>(claims: &'a Object, name: &'static str) -> Result<&'a str, TokenRefusal> {
    claims.str(name).ok_or(TokenRefusal::Claim(name))
}

/// A whole number of seconds that a double holds exactly.
fn seconds(claims: &Object, name: &'static str) -> Result<i64, TokenRefusal> {
    claims
        .get(name)
        .and_then(Json::as_i64)
        .filter(|seconds| (0..1 << 53).contains(seconds))
        .ok_or(TokenRefusal::Claim(name))
}

fn expires(exp: i64, leeway: Duration) -> Timestamp {
    Timestamp::from_unix_seconds(exp).after(leeway.min(LEEWAY_MAX))
}

#[cfg(test)]
pub(crate) mod tests;
