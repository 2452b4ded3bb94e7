//! Tokens of another authorization server, and what it answers when it is asked about one.

use std::sync::Arc;

use base::{Digest, base64url};
use wire::mcp::{Json, Object};
use wire::oauth::{AccessTokenClaims, Scope, ScopeSet};

use super::{
    Expected, LEEWAY_MAX, ROLES_MAX, TokenRefusal, VerifiedToken, is_access_token, seconds,
    signed_claims, text,
};
use crate::Role;

/// The longest `sub` or `client_id` of another issuer, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// The most scopes, and the most values of a claim of roles, that are read.
const VALUES_MAX: usize = 512;
/// The most audiences that a token may name.
const AUDIENCES_MAX: usize = 16;

/// How the tokens of another authorization server say what ours say. Whatever is not set otherwise is as RFC 9068 has it.
///
/// A claim is named as it is written, or by a JSON Pointer (RFC 6901) without escapes, such as `/realm_access/roles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenForm {
    /// Which claim says who the token stands for.
    pub subject: String,
    /// Which claim names the client.
    pub client: String,
    /// Which claim has the scopes: one string with spaces, or a list.
    pub scope: String,
    /// Which claim has what roles are given for: a string or a list of them. Without one nobody has a role.
    pub roles: Option<String>,
    /// What a value of that claim means: the name of a role of the policy. Without any, a value is that name itself.
    pub role_names: Vec<(String, String)>,
    /// Take a signed JWT whose `typ` is `JWT` or missing: an ID token then differs by its audience alone.
    pub plain_jwt: bool,
    /// Take a token that is for others too. One of them may use it here.
    pub audience_lists: bool,
    /// Take an introspection answer without `aud`: the issuer answers each resource server of its own tokens only.
    pub audience_left_out: bool,
    /// Take an introspection answer without a subject as that of a machine, which acts for itself: the issuer never leaves out a
    /// person's.
    pub subject_left_out: bool,
}

impl Default for TokenForm {
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            client: "client_id".to_owned(),
            scope: "scope".to_owned(),
            roles: None,
            role_names: Vec::new(),
            plain_jwt: false,
            audience_lists: false,
            audience_left_out: false,
            subject_left_out: false,
        }
    }
}

/// As [`verify_access_token`](super::verify_access_token), for a token of another issuer. `roles` are those of the policy.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify_token_of_other_issuer(
    token: &str,
    expected: &Expected<'_>,
    form: &TokenForm,
    roles: &[Role],
) -> Result<VerifiedToken, TokenRefusal> {
    let reader = Reader {
        token,
        expected,
        form,
        roles,
    };
    let (claims, key_id) = reader.signed()?;
    reader.read(&claims, Source::Signature(key_id))
}

/// What an introspection answer says about `token`, held to what a signed token is held to.
///
/// Spec: RFC 7662 section 2.2.
///
/// # Errors
/// The first thing that is wrong with it; `Claim("active")` when it is no such answer.
pub fn verify_introspection(
    answer: &Object,
    token: &str,
    expected: &Expected<'_>,
    form: &TokenForm,
    roles: &[Role],
) -> Result<VerifiedToken, TokenRefusal> {
    let reader = Reader {
        token,
        expected,
        form,
        roles,
    };
    is_active(answer)?;
    is_bearer_access_token(answer, true)?;
    reader.read(answer, Source::Answer)
}

/// A token whose signature verifies, and of which its issuer says that it is good: where both speak they say the same, and the
/// scopes are those that both name.
///
/// # Errors
/// The first thing that is wrong with either.
pub fn verify_both(
    token: &str,
    answer: &Object,
    expected: &Expected<'_>,
    form: &TokenForm,
    roles: &[Role],
) -> Result<VerifiedToken, TokenRefusal> {
    let reader = Reader {
        token,
        expected,
        form,
        roles,
    };
    let (claims, key_id) = reader.signed()?;
    let signed = reader.read(&claims, Source::Signature(Arc::clone(&key_id)))?;
    is_active(answer)?;
    is_bearer_access_token(answer, false)?;
    // What the issuer does not repeat stands in the token, under its signature.
    let mut together = claims;
    for (name, value) in answer.iter() {
        together.insert(name.as_str(), value.clone());
    }
    let said = reader.read(&together, Source::Signature(key_id))?;
    if said.sub != signed.sub {
        return Err(TokenRefusal::Contradicted("sub"));
    }
    if said.client_id != signed.client_id {
        return Err(TokenRefusal::Contradicted("client_id"));
    }
    let both = |one: &[String], other: &[String]| {
        let kept = one.iter().filter(|id| other.contains(id));
        kept.cloned().collect::<Vec<_>>()
    };
    let claims = AccessTokenClaims {
        scope: said.scope.intersection(&signed.scope),
        roles: both(&said.roles, &signed.roles),
        exp: said.exp.min(signed.exp),
        iat: said.iat.min(signed.iat),
        ..AccessTokenClaims::clone(&signed)
    };
    Ok(VerifiedToken {
        claims: Arc::new(claims),
        ..signed
    })
}

/// Where claims come from.
enum Source {
    /// The token, which the key of this id signed.
    Signature(Arc<str>),
    /// An answer of the issuer.
    Answer,
}

struct Reader<'a> {
    token: &'a str,
    expected: &'a Expected<'a>,
    form: &'a TokenForm,
    roles: &'a [Role],
}

impl Reader<'_> {
    fn signed(&self) -> Result<(Object, Arc<str>), TokenRefusal> {
        signed_claims(self.token, self.expected.keys, |header| {
            is_access_token(header) || (self.form.plain_jwt && is_plain_jwt(header))
        })
    }

    fn read(&self, claims: &Object, source: Source) -> Result<VerifiedToken, TokenRefusal> {
        let is_answer = matches!(source, Source::Answer);
        let expected = self.expected;
        match claims.get("iss") {
            // It was asked at its own address, and speaks of no tokens but its own.
            None if is_answer => {}
            _ if text(claims, "iss")? != expected.issuer => return Err(TokenRefusal::WrongIssuer),
            _ => {}
        }
        self.check_audience(claims, is_answer)?;
        if claims.get("cnf").is_some() {
            return Err(TokenRefusal::SenderConstrained);
        }
        let latest = expected.now.after(expected.leeway.min(LEEWAY_MAX));
        let begins = |name| match claims.get(name) {
            None => Ok(None),
            Some(_) if base::Timestamp::from_unix_seconds(seconds(claims, name)?) > latest => {
                Err(TokenRefusal::NotYetValid(name))
            }
            Some(_) => seconds(claims, name).map(Some),
        };
        begins("nbf")?;
        let iat = match begins("iat")? {
            Some(iat) => iat,
            // Older than each cut-off, then.
            None if is_answer => 0,
            None => return Err(TokenRefusal::Claim("iat")),
        };
        let client_id = name_in(claims, &self.form.client, "client_id")?;
        let sub = match member(claims, &self.form.subject) {
            None if is_answer && self.form.subject_left_out => client_id.clone(),
            _ => name_in(claims, &self.form.subject, "sub")?,
        };
        // Whoever is called like their client would be taken for a machine, which has no roles. Names that people choose may be.
        if sub == client_id && self.form.subject != TokenForm::default().subject {
            return Err(TokenRefusal::Claim("sub"));
        }
        let digest = Digest::of(self.token);
        let token = VerifiedToken {
            claims: Arc::new(AccessTokenClaims {
                iss: expected.issuer.to_owned(),
                sub,
                aud: expected.audience.to_owned(),
                exp: seconds(claims, "exp")?,
                iat,
                jti: base64url(&digest.as_bytes()[..16]),
                client_id,
                scope: scopes(member(claims, &self.form.scope))?,
                // No grant of ours; the same for the same token, so that its records can be found.
                grant_id: format!("ext_{}", base64url(&digest.as_bytes()[..16])),
                auth_time: None,
                roles: self.role_ids(claims)?,
                groups: Vec::new(),
                standing: 0,
                client_vouched: false,
                client_proven: false,
                cnf: None,
            }),
            key_id: match source {
                Source::Signature(key_id) => Some(key_id),
                Source::Answer => None,
            },
            of_other_issuer: true,
        };
        if !token.is_live(expected.now, expected.leeway) {
            return Err(TokenRefusal::Expired);
        }
        Ok(token)
    }

    fn check_audience(&self, claims: &Object, is_answer: bool) -> Result<(), TokenRefusal> {
        let own = self.expected.audience;
        let is_for_us = match claims.get("aud") {
            None if is_answer => self.form.audience_left_out,
            Some(Json::String(audience)) => audience == own,
            Some(Json::Array(audiences)) if audiences.len() <= AUDIENCES_MAX => {
                let is_own = |audience: &Json| audience.as_str() == Some(own);
                let is_alone = audiences.len() == 1 || self.form.audience_lists;
                is_alone && audiences.iter().any(is_own)
            }
            _ => false,
        };
        is_for_us.then_some(()).ok_or(TokenRefusal::WrongAudience)
    }

    /// The ids of the policy's roles that the token's values mean.
    fn role_ids(&self, claims: &Object) -> Result<Vec<String>, TokenRefusal> {
        let Some(claim) = &self.form.roles else {
            return Ok(Vec::new());
        };
        let values = strings(member(claims, claim)).ok_or(TokenRefusal::Claim("roles"))?;
        let names = &self.form.role_names;
        let means = |value: &str, role: &Role| match names.is_empty() {
            true => role.name == value,
            false => names
                .iter()
                .any(|(from, name)| from == value && *name == role.name),
        };
        let given = self
            .roles
            .iter()
            .filter(|role| values.iter().any(|value| means(value, role)));
        Ok(given.take(ROLES_MAX).map(|role| role.id.clone()).collect())
    }
}

fn is_active(answer: &Object) -> Result<(), TokenRefusal> {
    match answer.get("active").and_then(Json::as_bool) {
        Some(true) => Ok(()),
        Some(false) => Err(TokenRefusal::Inactive),
        None => Err(TokenRefusal::Claim("active")),
    }
}

/// A refresh token is active too, and is no access token: some issuers leave out its type, some name another use of it.
fn is_bearer_access_token(answer: &Object, must_say: bool) -> Result<(), TokenRefusal> {
    match answer.get("token_type").map(Json::as_str) {
        None if must_say => return Err(TokenRefusal::WrongType),
        None => {}
        Some(Some(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
        Some(Some(kind)) if kind.eq_ignore_ascii_case("dpop") => {
            return Err(TokenRefusal::SenderConstrained);
        }
        Some(_) => return Err(TokenRefusal::WrongType),
    }
    match answer.get("token_use").map(Json::as_str) {
        None | Some(Some("access_token" | "access")) => Ok(()),
        Some(_) => Err(TokenRefusal::WrongType),
    }
}

fn is_plain_jwt(header: &Object) -> bool {
    match header.get("typ") {
        None => true,
        Some(typ) => typ
            .as_str()
            .is_some_and(|typ| typ.eq_ignore_ascii_case("jwt")),
    }
}

/// A claim by its name or its pointer.
fn member<'a>(claims: &'a Object, name: &str) -> Option<&'a Json> {
    let Some(pointer) = name.strip_prefix('/') else {
        return claims.get(name);
    };
    let mut parts = pointer.split('/');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// Text that can stand in a record: not empty, of bounded length, without control characters.
fn name_in(claims: &Object, name: &str, shown: &'static str) -> Result<String, TokenRefusal> {
    let text = member(claims, name).and_then(Json::as_str);
    text.filter(|text| !text.is_empty() && text.len() <= NAME_BYTES_MAX)
        .filter(|text| !text.chars().any(char::is_control))
        .map(str::to_owned)
        .ok_or(TokenRefusal::Claim(shown))
}

fn scopes(claim: Option<&Json>) -> Result<ScopeSet, TokenRefusal> {
    let listed = strings(claim).ok_or(TokenRefusal::Claim("scope"))?;
    // Names of other servers may be anything; what is no scope is nobody's here.
    let words = listed.iter().flat_map(|text| text.split_ascii_whitespace());
    Ok(words
        .take(VALUES_MAX)
        .filter_map(|word| Scope::parse(word).ok())
        .collect())
}

/// One string, or a list of them; none for a claim that is missing.
fn strings(claim: Option<&Json>) -> Option<Vec<&str>> {
    match claim {
        None => Some(Vec::new()),
        Some(Json::String(text)) => Some(vec![text]),
        Some(Json::Array(list)) if list.len() <= VALUES_MAX => {
            list.iter().map(Json::as_str).collect()
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
