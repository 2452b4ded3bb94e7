//! The claims that a forged token has: those of a good one, as far as anybody can know them.

use base::{base64url_decode, random_token};
use serde_json::{Value, json};

use crate::Desk;

/// Nobody's (RFC 6761 section 6.4).
pub(super) const NOWHERE: &str = "https://portcullis-doctor.invalid/mcp";

/// Claims for this server that are good for five minutes; in the shape of the session's token where it can be read.
pub(super) fn good(desk: &Desk) -> Value {
    let now = desk.plan.clock.now().unix_ms() / 1000;
    let mut claims = session(desk).unwrap_or_else(|| {
        json!({
            "iss": desk.scene.issuer,
            "aud": resource(desk),
            "sub": "usr_portcullis_doctor",
            "client_id": "portcullis-doctor",
            "scope": scopes(desk),
        })
    });
    claims["iat"] = json!(now - 5);
    claims["exp"] = json!(now + 300);
    claims["jti"] = json!(random_token(&*desk.plan.random, ""));
    if claims.get("nbf").is_some() {
        claims["nbf"] = json!(now - 5);
    }
    claims
}

fn session(desk: &Desk) -> Option<Value> {
    written(desk.scene.signed_in.as_ref()?.access_token.expose())
}

/// What a JWT claims, believed by nobody.
pub(super) fn written(token: &str) -> Option<Value> {
    let payload = base64url_decode(token.split('.').nth(1)?)?;
    serde_json::from_slice(&payload)
        .ok()
        .filter(Value::is_object)
}

fn resource(desk: &Desk) -> String {
    let named = desk.scene.resource_metadata.as_ref();
    named
        .and_then(|metadata| metadata.get("resource")?.as_str())
        .unwrap_or(desk.scene.url.as_str())
        .to_owned()
}

/// What can be asked for at this server.
pub(super) fn scopes(desk: &Desk) -> String {
    let listed = |metadata: &Option<serde_json::Map<String, Value>>| {
        let list = metadata.as_ref()?.get("scopes_supported")?.as_array()?;
        let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        Some(names.join(" "))
    };
    listed(&desk.scene.resource_metadata)
        .or_else(|| desk.scene.challenge.as_ref()?.scope.clone())
        .unwrap_or_default()
}
