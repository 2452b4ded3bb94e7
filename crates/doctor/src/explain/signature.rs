use authz::VerifyingKeys;
use wire::oauth::{Jwk, JwkSet};

use super::{Check, Jwt, Outcome, shown};

/// The algorithms that are verified here, which are those that MCP servers and their clients use.
const VERIFIED: [&str; 3] = ["ES256", "EdDSA", "RS256"];
/// The most keys of a set that are tried.
const KEYS_MAX: usize = 64;

/// Whether the token is signed with one of the keys.
pub fn check_signature(jwt: &Jwt, jwks: Option<&JwkSet>) -> Check {
    let (outcome, says) = judged(jwt, jwks);
    Check {
        name: "signature",
        outcome,
        says,
    }
}

fn judged(jwt: &Jwt, jwks: Option<&JwkSet>) -> (Outcome, String) {
    let Some(alg) = jwt.header.str("alg") else {
        return (Outcome::Bad, "the header has no alg".into());
    };
    let bad = |says: String| (Outcome::Bad, says);
    if alg.eq_ignore_ascii_case("none") {
        return bad("alg is none: it is not signed, so anybody can have written it".into());
    }
    if alg.starts_with("HS") {
        return bad(format!(
            "alg {} has a shared secret: whoever can verify it can also forge it",
            shown(alg, 20)
        ));
    }
    let Some(jwks) = jwks else {
        return (
            Outcome::Unknown,
            "not looked at: the issuer's keys were not given".into(),
        );
    };
    if !VERIFIED.contains(&alg) {
        return (
            Outcome::Unknown,
            format!(
                "alg {} is not verified here, only {}",
                shown(alg, 20),
                VERIFIED.join(", ")
            ),
        );
    }
    let kid = jwt.header.str("kid");
    let keys = candidates(jwks, kid);
    let name = kid.map_or("no kid".to_owned(), |kid| format!("kid {}", shown(kid, 80)));
    if keys.is_empty() {
        let known: Vec<String> = jwks
            .keys
            .iter()
            .filter_map(|key| key.kid.as_deref())
            .take(8)
            .map(|kid| shown(kid, 80))
            .collect();
        return bad(format!(
            "it names {name}, and the key set has {}; was it signed with a key that is gone, or by another issuer?",
            if known.is_empty() {
                "no key with an id".to_owned()
            } else {
                known.join(", ")
            }
        ));
    }
    let is_of = |key: &Jwk| {
        let set = JwkSet {
            keys: vec![key.clone()],
        };
        VerifyingKeys::from_client_jwks(&set).verifies(
            key.kid.as_deref().unwrap_or_default(),
            alg,
            jwt.signed.as_bytes(),
            &jwt.signature,
        )
    };
    match keys.into_iter().any(is_of) {
        true => (Outcome::Good, format!("made with the key of {name}")),
        false => bad(format!(
            "not made with the key of {name} and alg {alg}: the token was changed, or another issuer has a key of that name"
        )),
    }
}

fn candidates<'a>(jwks: &'a JwkSet, kid: Option<&str>) -> Vec<&'a Jwk> {
    jwks.keys
        .iter()
        .take(KEYS_MAX)
        .filter(|key| kid.is_none() || key.kid.as_deref() == kid)
        .collect()
}
