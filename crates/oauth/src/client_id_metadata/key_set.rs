use authz::CLIENT_KEYS_MAX as KEYS_MAX;
use serde_json::Value;
use wire::mcp::json::{Limits, parse_strict};
use wire::oauth::{Jwk, JwkSet};

/// The largest key set that is read: 32 RSA keys of 4,096 bits with certificates beside them.
pub(crate) const BYTES_MAX: usize = 64 * 1024;

const LIMITS: Limits = Limits {
    bytes_max: BYTES_MAX,
    depth_max: 8,
    values_max: 2048,
};

/// What only a private key has (RFC 7518 sections 6.2.2, 6.3.2 and 6.4; RFC 8037 section 2), and a shared one.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Reads the document behind a `jwks_uri`.
pub(crate) fn read(bytes: &[u8]) -> Result<JwkSet, String> {
    let json = parse_strict(bytes, &LIMITS)
        .map_err(|error| format!("it is no acceptable JSON: {error}"))?;
    let value: Value = json
        .deserialize()
        .map_err(|_| "it holds a number out of range".to_owned())?;
    from_value(&value)
}

/// Reads a key set. Keys that we could never use are left out; anything that should have been kept secret spoils all of
/// it, since whoever published that has no secret any more.
pub(crate) fn from_value(value: &Value) -> Result<JwkSet, String> {
    let Some(Value::Array(keys)) = value.get("keys") else {
        return Err("keys must be an array".to_owned());
    };
    if keys.len() > KEYS_MAX {
        return Err(format!("keys has more than {KEYS_MAX} entries"));
    }
    let mut set = JwkSet::default();
    for key in keys {
        let Value::Object(members) = key else {
            return Err("keys must hold objects".to_owned());
        };
        if PRIVATE_MEMBERS
            .iter()
            .any(|name| members.contains_key(*name))
        {
            return Err("keys holds a private or shared key".to_owned());
        }
        if members.get("kty").and_then(Value::as_str) == Some("oct") {
            return Err("keys holds a shared key".to_owned());
        }
        let Ok(jwk) = serde_json::from_value::<Jwk>(key.clone()) else {
            continue;
        };
        if is_useful(&jwk) {
            set.keys.push(jwk);
        }
    }
    Ok(set)
}

fn is_useful(jwk: &Jwk) -> bool {
    let fits = match jwk.kty.as_str() {
        "EC" => jwk.crv.as_deref() == Some("P-256") && jwk.x.is_some() && jwk.y.is_some(),
        "OKP" => jwk.crv.as_deref() == Some("Ed25519") && jwk.x.is_some(),
        // 8,192 bits in base64url: what is longer only keeps us busy.
        "RSA" => jwk.e.is_some() && jwk.n.as_ref().is_some_and(|modulus| modulus.len() <= 1366),
        _ => false,
    };
    fits && matches!(jwk.key_use.as_deref(), None | Some("sig"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn ec() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": "1", "x5t": "z"})
    }

    #[test]
    fn keys_that_we_could_never_use_are_left_out() {
        let set = json!({"keys": [
            ec(),
            {"kty": "OKP", "crv": "Ed25519", "x": "eA"},
            {"kty": "RSA", "n": "bg", "e": "AQAB", "use": "sig"},
            {"kty": "RSA", "n": "bg", "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "n": "b".repeat(1367), "e": "AQAB"},
            {"kty": "EC", "crv": "P-384", "x": "eA", "y": "eQ"},
            {"kty": "OKP", "crv": "X25519", "x": "eA"},
            {"kty": "AKP", "pub": "eA"},
            {"kid": "nothing"},
            {"kty": 7},
        ]});
        let read = read(set.to_string().as_bytes()).unwrap();
        let kinds: Vec<_> = read.keys.iter().map(|key| key.kty.as_str()).collect();
        assert_eq!(kinds, ["EC", "OKP", "RSA"]);
        for (characters, kept) in [(1366, 1), (1367, 0)] {
            let key = json!({"kty": "RSA", "n": "b".repeat(characters), "e": "AQAB"});
            let read = from_value(&json!({"keys": [key]})).unwrap();
            assert_eq!(read.keys.len(), kept, "{characters}");
        }
    }

    #[test]
    fn a_secret_in_it_spoils_all_of_it() {
        for name in PRIVATE_MEMBERS {
            let mut key = ec();
            key[name] = json!("c2VjcmV0");
            let refusal = from_value(&json!({"keys": [ec(), key]})).unwrap_err();
            assert!(refusal.contains("private"), "{name}: {refusal}");
        }
        assert!(from_value(&json!({"keys": [{"kty": "oct"}]})).is_err());
        assert!(from_value(&json!({"keys": [ec(), ec()]})).is_ok());
    }

    #[test]
    fn what_is_no_key_set_or_too_much_of_one_is_refused() {
        for bad in [
            json!({}),
            json!({"keys": {}}),
            json!({"keys": ["x"]}),
            json!([ec()]),
            json!({"keys": vec![ec(); KEYS_MAX + 1]}),
        ] {
            assert!(from_value(&bad).is_err(), "{bad}");
        }
        assert!(from_value(&json!({"keys": vec![ec(); KEYS_MAX]})).is_ok());
        assert!(from_value(&json!({"keys": []})).is_ok());
        assert!(read(br#"{"keys":[],"keys":[]}"#).is_err());
        assert!(read(b"\xef\xbb\xbf{\"keys\":[]}").is_err());
        let long = format!("{{\"keys\":[]{}}}", " ".repeat(BYTES_MAX));
        assert!(read(long.as_bytes()).is_err());
    }
}
