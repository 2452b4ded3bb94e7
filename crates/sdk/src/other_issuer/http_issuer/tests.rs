#![allow(clippy::unwrap_used)]

use serde_json::json;
use tempfile::TempDir;
use testkit::DocumentHost;
use testkit::document_host::Reply;

use super::*;

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

struct Rig {
    host: DocumentHost,
    directory: TempDir,
}

impl Rig {
    /// An issuer that has everything where its OpenID metadata says.
    async fn new() -> Self {
        let rig = Self {
            host: DocumentHost::start().await,
            directory: TempDir::new().unwrap(),
        };
        rig.names(&rig.host.url("/jwks"), &rig.host.url("/introspect"));
        rig.host.set_json("/jwks", &keys());
        rig.host
            .set_json("/introspect", &json!({"active": true, "sub": "alice"}));
        rig
    }

    fn names(&self, jwks_uri: &str, introspection_endpoint: &str) {
        let document = json!({
            "issuer": self.issuer(), "jwks_uri": jwks_uri, "introspection_endpoint": introspection_endpoint,
        });
        self.host.set_json(OPENID, &document);
    }

    fn issuer(&self) -> String {
        self.host.url("")
    }

    fn settings(&self) -> HttpIssuerSettings {
        HttpIssuerSettings {
            issuer: self.issuer(),
            jwks_uri: None,
            introspection_endpoint: None,
            client: Some(IssuerClient {
                id: "gate:way".into(),
                secret: Secret::new("s cret".into()),
            }),
            ca_file: Some(self.host.write_ca(self.directory.path())),
            names: Names::default(),
        }
    }

    fn source(&self) -> HttpIssuer {
        HttpIssuer::new(self.settings()).unwrap()
    }
}

fn keys() -> serde_json::Value {
    json!({"keys": [
        {"kty": "EC", "kid": "one", "crv": "P-256", "x": "x", "y": "y", "x5c": ["…"], "key_ops": ["verify"]},
        {"kty": 7},
        {"kty": "RSA", "kid": "two", "n": "n", "e": "AQAB"},
    ]})
}

#[tokio::test]
async fn keys_and_answers_come_from_where_the_metadata_says() {
    let rig = Rig::new().await;
    let source = rig.source();
    let found = source.keys().await.unwrap();
    let ids: Vec<_> = found.keys.iter().map(|key| key.kid.as_deref()).collect();
    assert_eq!(
        ids,
        [Some("one"), Some("two")],
        "what is no key is left out"
    );
    let answer = source.introspect("opaque").await.unwrap();
    assert_eq!(answer.str("sub"), Some("alice"));
    let asked: Vec<String> = rig
        .host
        .requests()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(asked, [OAUTH, OPENID, "/jwks", "/introspect"]);
    let (_, headers) = rig.host.requests().pop().unwrap();
    // `gate%3Away:s+cret`
    assert_eq!(headers["authorization"], "Basic Z2F0ZSUzQXdheTpzK2NyZXQ=");
    assert!(!format!("{source:?}").contains("s cret"));
}

#[tokio::test]
async fn whatever_is_no_good_answer_is_none_and_is_told_in_words() {
    let rig = Rig::new().await;
    let good = Reply::json(&json!({"active": true}));
    let large = json!({"active": true, "x": "x".repeat(ANSWER_BYTES_MAX)}).to_string();
    for (reply, words) in [
        (Reply::status(401), "introspection.client_id"),
        (Reply::status(404), "404"),
        (Reply::status(500), "500"),
        (Reply::redirect(302, "/elsewhere"), "302"),
        (Reply::typed("text/html", r#"{"active":true}"#), "JSON"),
        (
            Reply::typed("application/json", r#"{"active":false,"active":true}"#),
            "JSON",
        ),
        (Reply::typed("application/json", "[]"), "JSON"),
        (Reply::typed("application/json", large), "larger than"),
    ] {
        rig.host.set("/introspect", reply.clone());
        let refused = rig.source().introspect("opaque").await.unwrap_err();
        assert!(refused.contains(words), "{refused}: {reply:?}");
        rig.host.set("/introspect", good.clone());
        rig.source().introspect("opaque").await.unwrap();
    }
    let mut settings = rig.settings();
    settings.client = None;
    let nobody = HttpIssuer::new(settings).unwrap();
    assert!(
        nobody
            .introspect("opaque")
            .await
            .unwrap_err()
            .contains("no client")
    );
}

#[tokio::test]
async fn keys_of_an_issuer_without_good_metadata_are_none() {
    let rig = Rig::new().await;
    let good = rig.host.url("/jwks");
    let large = format!("{{\"issuer\":\"{}\"", "x".repeat(DOCUMENT_BYTES_MAX));
    for (metadata, words) in [
        (Reply::status(404), "well-known"),
        (Reply::status(503), "503"),
        (Reply::typed("text/html", "<html>"), "well-known"),
        (
            Reply::json(&json!({"issuer": rig.host.url("/"), "jwks_uri": good})),
            "byte for byte",
        ),
        (Reply::json(&json!({"issuer": rig.issuer()})), "jwks_uri"),
        (Reply::typed("application/json", large), "larger than"),
        (
            Reply::json(&json!({"issuer": rig.issuer(), "jwks_uri": "http://keys.example/"})),
            "https",
        ),
    ] {
        rig.host.set(OPENID, metadata);
        let refused = rig.source().keys().await.unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    for keys in [json!({}), json!({"keys": {}}), json!([])] {
        rig.names(&good, "");
        rig.host.set_json("/jwks", &keys);
        rig.source().keys().await.unwrap_err();
    }
    // Nobody is hammered: what was not found is not looked for again at once.
    rig.host.set(OPENID, Reply::status(404));
    let source = rig.source();
    let before = rig.host.count(OPENID);
    for _ in 0..3 {
        source.keys().await.unwrap_err();
    }
    assert_eq!(rig.host.count(OPENID), before + 1);
}

/// Metadata may name another host, and then it must be one of the public internet: nobody leads us into a private network by it.
#[tokio::test]
async fn metadata_leads_to_no_other_address_inside_and_the_operator_may() {
    let rig = Rig::new().await;
    let inside = DocumentHost::start().await;
    inside.set_json("/jwks", &keys());
    inside.set_json("/introspect", &json!({"active": true}));
    rig.names(&inside.url("/jwks"), &inside.url("/introspect"));
    let source = rig.source();
    for refused in [
        source.keys().await.map(|_| ()),
        source.introspect("opaque").await.map(|_| ()),
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.contains("not connected to"), "{refused}");
    }
    assert_eq!(inside.connections(), 0);
    let both = format!("{}{}", rig.host.ca_pem(), inside.ca_pem());
    let ca_file = rig.directory.path().join("both.pem");
    std::fs::write(&ca_file, both).unwrap();
    let said = HttpIssuer::new(HttpIssuerSettings {
        jwks_uri: Some(inside.url("/jwks")),
        introspection_endpoint: Some(inside.url("/introspect")),
        ca_file: Some(ca_file),
        ..rig.settings()
    })
    .unwrap();
    said.keys().await.unwrap();
    said.introspect("opaque").await.unwrap();
}

#[tokio::test]
async fn so_many_tokens_are_asked_about_at_once_and_one_more_is_told_to_come_back() {
    let rig = Rig::new().await;
    let source = rig.source();
    source.introspect("first").await.unwrap();
    let slow = Reply::json(&json!({"active": true}));
    let slow = Reply::After(Duration::from_millis(500), Box::new(slow));
    rig.host.set("/introspect", slow);
    let asking = (0..=ASKING_MAX).map(|_| source.introspect("opaque"));
    let answers = futures_util::future::join_all(asking).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(refused, 1);
}
