//! What a change of keys does to calls and streams that are under way.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base::{Secret, base64url, base64url_decode};
use bytes::Bytes;
use gateway::IdentityKey;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use wire::oauth::Jwk;

use crate::support::{Rig, SigningKey};

#[tokio::test]
async fn a_key_that_is_added_counts_at_once_and_what_was_verified_stays_so() {
    let rig = Rig::start().await;
    let old = rig.caller("note:read");
    assert_eq!(
        old.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
    let next = SigningKey::generate("access-2");
    let token = next.sign("at+jwt", &rig.claims("note:read"));
    let new = rig.stranger().with_bearer(&token);
    let status = new.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "nobody knows it yet");
    rig.publish(|server| server.keys.keys.push(next.jwk()));
    for client in [&old, &new] {
        let status = client.call_tool("echo", json!({})).await.status;
        assert_eq!(status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_of_another_algorithm_is_taken_when_its_key_is_published() {
    let rig = Rig::start().await;
    let pair = Ed25519KeyPair::generate().unwrap();
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "ed"});
    let signed = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(rig.claims("note:read").to_string())
    );
    let token = format!("{signed}.{}", base64url(pair.sign(signed.as_bytes())));
    let client = rig.stranger().with_bearer(&token);
    let status = client.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let key = Jwk {
        kty: "OKP".into(),
        kid: Some("ed".into()),
        key_use: Some("sig".into()),
        alg: Some("EdDSA".into()),
        crv: Some("Ed25519".into()),
        x: Some(base64url(pair.public_key())),
        y: None,
        n: None,
        e: None,
    };
    rig.publish(|server| server.keys.keys.push(key));
    let status = client.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_withdrawn_key_takes_kept_tokens_and_open_streams_with_it_within_a_second() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let next = SigningKey::generate("access-2");
    rig.publish(|server| server.keys.keys.push(next.jwk()));
    let listening = async |token: &str| {
        let mut client = rig.stranger().with_bearer(token);
        client.initialize().await;
        let mut stream = client.send(Method::GET, Bytes::new()).await;
        assert_eq!(stream.status(), StatusCode::OK);
        let first = tokio::time::timeout(Duration::from_secs(5), stream.body_mut().frame()).await;
        assert!(first.unwrap().is_some());
        (client, stream)
    };
    let (old, mut old_stream) = listening(&rig.token("note:read")).await;
    let mut claims = rig.claims("note:read");
    claims["sub"] = json!("usr_bob");
    let (new, mut new_stream) = listening(&next.sign("at+jwt", &claims)).await;

    let began = Instant::now();
    rig.publish(|server| server.keys.keys = vec![next.jwk()]);
    let status = old.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let end = tokio::time::timeout(Duration::from_secs(5), old_stream.body_mut().frame()).await;
    assert!(end.unwrap().is_none(), "the stream ends");
    assert!(began.elapsed() < Duration::from_secs(1));
    let status = new.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
    let quiet =
        tokio::time::timeout(Duration::from_millis(300), new_stream.body_mut().frame()).await;
    assert!(quiet.is_err(), "the other one still listens");
}

#[tokio::test]
async fn a_new_identity_key_signs_the_very_next_call_though_an_identity_was_kept() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    let kid = async || {
        let status = client.call_tool("echo", json!({})).await.status;
        assert_eq!(status, StatusCode::OK);
        let requests = rig.echo.requests();
        let identity = requests.last().unwrap().headers["portcullis-identity"].clone();
        let header = identity
            .to_str()
            .unwrap()
            .split('.')
            .next()
            .unwrap()
            .to_owned();
        let header: Value = serde_json::from_slice(&base64url_decode(&header).unwrap()).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    };
    assert_eq!(kid().await, "identity-1");
    let next = SigningKey::generate("identity-2");
    let key = |pkcs8| IdentityKey {
        kid: "identity-2".into(),
        pkcs8: Secret::new(pkcs8),
    };
    assert!(rig.gateway.set_identity_key(&key(vec![1, 2, 3])).is_err());
    assert_eq!(kid().await, "identity-1", "a broken key changes nothing");
    rig.gateway.set_identity_key(&key(next.pkcs8())).unwrap();
    assert_eq!(kid().await, "identity-2");
}
