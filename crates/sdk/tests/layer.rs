//! The layer around a service of the same program.

#![allow(clippy::unwrap_used)]

extern crate portcullis as sdk;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use authz::{FeedSnapshot, Policy, Revocations, ServerSnapshot};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, Secret, base64url};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use sdk::{Addresses, ProtectLayer, ProtectedServer, ProtectedServerSettings, policy_feed};
use serde_json::json;
use testkit::{MovableClock, SeededRandom};
use tower_layer::Layer as _;
use tower_service::Service;

const ORIGIN: &str = "http://localhost:4180";

/// Answers everything and remembers the headers.
#[derive(Clone, Default)]
struct Inner(Arc<Mutex<Vec<HeaderMap>>>);

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.0.lock().unwrap().push(request.headers().clone());
        std::future::ready(Ok(Response::new(Full::default())))
    }
}

#[tokio::test]
async fn what_a_caller_says_of_itself_does_not_reach_the_inner_service() {
    let clock = MovableClock::default();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k",
        "x": base64url(&point[1..33]), "y": base64url(&point[33..65])}]});
    let (issuer, resource) = (
        format!("{ORIGIN}/servers/notes"),
        format!("{ORIGIN}/mcp/notes"),
    );
    let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
    let server = ServerSnapshot {
        slug: "notes".into(),
        name: "Notes".into(),
        issuer: issuer.clone(),
        resource: resource.clone(),
        policy: Policy::default(),
        policy_revision: 1,
        keys: serde_json::from_value(keys).unwrap(),
        revocations: Revocations::default(),
        session_mac_key: Secret::new(vec![9; 32]),
    };
    publisher.publish(Arc::new(FeedSnapshot {
        change: 1,
        servers: HashMap::from([("notes".to_owned(), Arc::new(server))]),
    }));
    let now = clock.now().unix_seconds();
    let claims = json!({"iss": issuer, "aud": resource, "sub": "usr_a", "client_id": "cli_1",
        "grant_id": "grt_1", "jti": "j", "iat": now, "exp": now + 60});
    let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": "k"});
    let signed = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", base64url(signature.as_ref()));

    let protected = ProtectedServer::new(
        ProtectedServerSettings {
            slug: "notes".into(),
            path: "/mcp/notes".into(),
            request_body_bytes_max: 4096,
        },
        Arc::new(Addresses::new(ORIGIN, &[], &[]).unwrap()),
        feed,
        Arc::new(clock),
        Arc::new(SeededRandom::new(7)),
    );
    let inner = Inner::default();
    let mut service = ProtectLayer::new(Arc::new(protected)).layer(inner.clone());
    let request = Request::post("/mcp/notes")
        .header("host", "localhost:4180")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("cookie", "canary")
        .header("proxy-authorization", "canary")
        .header("forwarded", "canary")
        .header("dpop", "canary")
        .header("portcullis-identity", "canary")
        .header("x-request-id", "kept")
        .body(Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#))
        .unwrap();
    let answer = service.call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let seen = inner.0.lock().unwrap();
    let everything = format!("{:?}", seen[0]);
    assert!(!everything.contains("canary"), "{everything}");
    assert!(!everything.contains(&token));
    assert_eq!(seen[0]["x-request-id"], "kept");
}
