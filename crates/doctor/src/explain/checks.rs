use base::Timestamp;
use serde::Serialize;
use wire::mcp::{Json, Object};

use super::words::{distance, value, when};
use super::{Against, Jwt, check_signature, length, shown};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it must be.
    Good,
    /// Refused for this.
    Bad,
    /// Not to be said with what is known.
    Unknown,
}

/// One line of the checklist.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The claim, or what else was looked at.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// In words.
    pub says: String,
}

/// The four claims by which MCP servers refuse tokens, and the signature.
pub(super) fn all(jwt: &Jwt, against: &Against) -> Vec<Check> {
    let claims = &jwt.claims;
    let check = |name, (outcome, says): (Outcome, String)| Check {
        name,
        outcome,
        says,
    };
    vec![
        check("iss", issuer(claims, against)),
        check("aud", audience(claims, against)),
        check("exp", expiry(claims, against)),
        check("sub", subject(claims)),
        check("scope", scope(claims)),
        check_signature(jwt, against.jwks.as_ref()),
    ]
}

fn issuer(claims: &Object, against: &Against) -> (Outcome, String) {
    let iss = match claims.get("iss") {
        None => {
            return (
                Outcome::Bad,
                "missing: nobody can know whose keys verify it".into(),
            );
        }
        Some(Json::String(iss)) => iss,
        Some(_) => return (Outcome::Bad, "not a text".into()),
    };
    match &against.issuer {
        None => (
            Outcome::Unknown,
            format!("{}; not compared", shown(iss, 200)),
        ),
        Some(expected) if expected == iss => (Outcome::Good, "the issuer, byte for byte".into()),
        Some(expected) => (Outcome::Bad, difference(iss, expected)),
    }
}

fn audience(claims: &Object, against: &Against) -> (Outcome, String) {
    let audiences: Vec<&str> = match claims.get("aud") {
        None => return (
            Outcome::Bad,
            "missing: it would be good at any server, so a careful one refuses it; ask for the token with resource= (RFC 8707)"
                .into(),
        ),
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        Some(_) => return (Outcome::Bad, "neither a text nor a list of texts".into()),
    };
    let (Some(first), Some(expected)) = (audiences.first(), &against.resource) else {
        return match audiences.first() {
            None => (Outcome::Bad, "an empty list".into()),
            Some(_) => (Outcome::Unknown, unlike_a_resource(&audiences, claims)),
        };
    };
    if audiences.contains(&expected.as_str()) {
        let others = audiences.len() - 1;
        let also = match others {
            0 => String::new(),
            others => format!(", and for {others} more: each of those can use it here as well"),
        };
        return (Outcome::Good, format!("for this resource{also}"));
    }
    let says = if claims.str("client_id").or(claims.str("azp")) == Some(first) {
        format!(
            "{} is the client's own id, not the resource: the authorization server ignores resource= (RFC 8707)",
            shown(first, 200)
        )
    } else {
        match audiences.len() {
            1 => difference(first, expected),
            several => format!(
                "none of its {several} audiences is {}: {}",
                shown(expected, 200),
                listed(&audiences)
            ),
        }
    };
    (Outcome::Bad, says)
}

fn unlike_a_resource(audiences: &[&str], claims: &Object) -> String {
    let listed = listed(audiences);
    let is_client =
        |audience: &&str| claims.str("client_id").or(claims.str("azp")) == Some(audience);
    if audiences.iter().any(is_client) {
        return format!("{listed}; that is the client's own id, which is no MCP server's URL");
    }
    let is_url =
        |audience: &&str| audience.starts_with("https://") || audience.starts_with("http://");
    match audiences.iter().any(is_url) {
        true => format!("{listed}; not compared"),
        false => {
            format!("{listed}; not compared, and no URL, which the resource of an MCP server is")
        }
    }
}

fn listed(audiences: &[&str]) -> String {
    let shown = audiences
        .iter()
        .take(4)
        .map(|audience| shown(audience, 200));
    shown.collect::<Vec<_>>().join(", ")
}

fn expiry(claims: &Object, against: &Against) -> (Outcome, String) {
    let exp = match claims.get("exp") {
        None => return (Outcome::Bad, "missing: it would be good for ever".into()),
        Some(Json::Number(number)) => match whole_seconds(number.as_str()) {
            Some(exp) => exp,
            None => return (Outcome::Bad, "not a number of seconds".into()),
        },
        Some(_) => {
            return (
                Outcome::Bad,
                "not a number: it must be seconds since 1970, without quotes".into(),
            );
        }
    };
    if exp > 100_000_000_000 {
        return (
            Outcome::Bad,
            "in milliseconds, as it seems; it must be in seconds since 1970".into(),
        );
    }
    let at = Timestamp::from_unix_seconds(exp);
    for name in ["nbf", "iat"] {
        let begins = claims.get(name).and_then(Json::as_i64);
        if let Some(begins) = begins.filter(|begins| *begins > against.now.unix_seconds() + 30) {
            return (
                Outcome::Bad,
                format!(
                    "{name} lies in the future ({}): one of the two clocks is wrong",
                    distance(Timestamp::from_unix_seconds(begins), against.now)
                ),
            );
        }
    }
    let said = when(at, against).unwrap_or_default();
    match at > against.now {
        true => (Outcome::Good, format!("ends {said}")),
        false => (
            Outcome::Bad,
            format!("ended {said}: the server answers 401, and the client refreshes"),
        ),
    }
}

/// A NumericDate may have a fraction (RFC 7519 section 2).
fn whole_seconds(text: &str) -> Option<i64> {
    text.split('.').next()?.parse().ok()
}

fn subject(claims: &Object) -> (Outcome, String) {
    match claims.get("sub") {
        Some(Json::String(sub)) if !sub.is_empty() => (Outcome::Good, shown(sub, 100)),
        Some(_) => (Outcome::Bad, "not a text, or empty".into()),
        None => (
            Outcome::Bad,
            "missing: the server cannot know whose it is".into(),
        ),
    }
}

fn scope(claims: &Object) -> (Outcome, String) {
    match (claims.get("scope"), claims.get("scp")) {
        (Some(Json::String(scope)), _) if !scope.trim().is_empty() => {
            (Outcome::Good, shown(scope, 300))
        }
        (Some(Json::Array(_)), _) => (
            Outcome::Bad,
            "a list; it must be one text with spaces between (RFC 9068 section 2.2.3)".into(),
        ),
        (_, Some(scp)) => (
            Outcome::Good,
            format!(
                "{} (as scp, which a verifier must be told to read)",
                value(scp, 300)
            ),
        ),
        (Some(Json::String(_)) | None, None) => (
            Outcome::Good,
            "none: tools that need a scope answer 403 insufficient_scope".into(),
        ),
        (Some(_), None) => (Outcome::Bad, "not a text".into()),
    }
}

fn difference(is: &str, must_be: &str) -> String {
    let (shown_is, shown_must) = (shown(is, 200), shown(must_be, 200));
    if is.trim_end_matches('/') == must_be.trim_end_matches('/') {
        return format!(
            "{shown_is} and {shown_must} differ by the slash at the end, and are compared byte for byte"
        );
    }
    if is.eq_ignore_ascii_case(must_be) {
        return format!(
            "{shown_is} and {shown_must} differ in the case of letters, and are compared byte for byte"
        );
    }
    format!("{shown_is}, and not {shown_must}")
}

/// What is odd and no reason to refuse by itself.
pub(super) fn notes(jwt: &Jwt) -> Vec<String> {
    let (header, claims) = (&jwt.header, &jwt.claims);
    let mut notes = Vec::new();
    let belongs_to_id_token = ["nonce", "at_hash", "c_hash"]
        .into_iter()
        .find(|name| claims.get(name).is_some());
    if let Some(name) = belongs_to_id_token {
        notes.push(format!(
            "It has {name}, so it is an ID token, as it seems: that is for the client alone, and no MCP server takes it."
        ));
    } else if claims.str("token_use") == Some("id") {
        notes.push("token_use is id: this is an ID token, which no MCP server takes.".into());
    }
    match header.str("typ").map(str::to_ascii_lowercase).as_deref() {
        Some("at+jwt" | "application/at+jwt") => {}
        Some("jwt") | None => notes.push(
            "typ is not at+jwt (RFC 9068): a verifier that tells access tokens from others refuses it.".into(),
        ),
        Some(other) => notes.push(format!("typ is {}, so it may be no access token.", shown(other, 40))),
    }
    if header.get("kid").is_none() {
        notes.push(
            "It names no key (kid): verifiers must try each, and many refuse instead.".into(),
        );
    }
    for name in ["jwk", "jku", "x5u", "x5c", "crit"] {
        if header.get(name).is_some() {
            notes.push(format!(
                "The header has {name}: strict verifiers refuse it, since no key may come from the token itself."
            ));
        }
    }
    if claims.get("cnf").is_some() {
        notes
            .push("It is bound to a key (cnf): sent as a bearer token alone it is refused.".into());
    }
    let between = |first: &str, last: &str| {
        let seconds = claims
            .get(last)?
            .as_i64()?
            .checked_sub(claims.get(first)?.as_i64()?)?;
        u64::try_from(seconds)
            .ok()
            .map(std::time::Duration::from_secs)
    };
    match between("iat", "exp") {
        Some(lifetime) if lifetime.as_secs() > 24 * 3600 => notes.push(format!(
            "It lives for {}: whoever steals it has it that long.",
            length(lifetime)
        )),
        Some(lifetime) if lifetime.as_secs() < 600 => notes.push(format!(
            "It lives for {}: clients that refresh five minutes early refresh before every request.",
            length(lifetime)
        )),
        _ => {}
    }
    notes
}
