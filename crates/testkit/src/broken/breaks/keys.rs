//! The key set.

use serde_json::{Value, json};

use super::super::exchange::Answer;
use super::{Break, instead, is_key_set, is_server_metadata};

pub(super) const BREAKS: &[Break] = &[
    Break::answers("jwks-missing", |_, ask, answer| {
        // An OpenID document cannot be without.
        if is_server_metadata(ask) && ask.path.contains("openid-configuration") {
            instead(answer, Answer::json(404, &json!({"error": "not_found"})));
        } else if is_server_metadata(ask) {
            answer.change_json(|document| {
                document
                    .as_object_mut()
                    .map(|members| members.remove("jwks_uri"));
            });
        }
    }),
    Break::answers("jwks-unreachable", |_, ask, answer| {
        if is_key_set(ask) {
            instead(answer, Answer::json(404, &json!({"error": "not_found"})));
        }
    }),
    Break::answers("jwks-not-json", |_, ask, answer| {
        if is_key_set(ask) {
            instead(
                answer,
                Answer::text(200, "application/json", "-----BEGIN PUBLIC KEY-----"),
            );
        }
    }),
    Break::answers("jwks-empty", |_, ask, answer| {
        if is_key_set(ask) {
            answer.change_json(|set| *set = json!({"keys": []}));
        }
    }),
    Break::answers("jwks-no-kid", |_, ask, answer| {
        if is_key_set(ask) {
            answer.change_json(|set| {
                set["keys"][0].as_object_mut().map(|key| key.remove("kid"));
            });
        }
    }),
    Break::answers("jwks-private-key", |site, ask, answer| {
        if is_key_set(ask) {
            answer.change_json(|set| set["keys"][0]["d"] = site.key.private().into());
        }
    }),
    Break::answers("jwks-symmetric", |_, ask, answer| {
        if is_key_set(ask) {
            add_key(
                answer,
                json!({"kty": "oct", "kid": "shared", "alg": "HS256", "k": "c2hhcmVkLXNlY3JldC1vZi0zMi1ieXRlcy1hbmQtbW9yZQ"}),
            );
        }
    }),
    Break::answers("jwks-weak-rsa", |_, ask, answer| {
        if is_key_set(ask) {
            // 1024 bits.
            let modulus = base::base64url([0xb5; 128]);
            add_key(
                answer,
                json!({"kty": "RSA", "kid": "old", "use": "sig", "alg": "RS256", "e": "AQAB", "n": modulus}),
            );
        }
    }),
];

fn add_key(answer: &mut Answer, key: Value) {
    answer.change_json(|set| {
        if let Some(keys) = set["keys"].as_array_mut() {
            keys.push(key);
        }
    });
}
