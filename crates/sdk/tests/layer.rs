//! An MCP server in this program, protected from inside.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use authz::{
    Entry, FeedSnapshot, Policy, Requirement, Revocations, Risk, ScopeDeclaration, ServerSnapshot,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, Secret, base64url};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use portcullis::{
    Addresses, FeedPublisher, Protect, ProtectLayer, ProtectedServer, ProtectedServerSettings,
    VerifiedCaller, policy_feed,
};
use serde_json::{Value, json};
use testkit::{MovableClock, SeededRandom};
use tower_layer::Layer as _;
use tower_service::Service;
use wire::oauth::{Jwk, JwkSet, Scope, ScopeSet};

const ORIGIN: &str = "https://notes.example";

/// What reached the server inside.
type Seen = Arc<Mutex<Vec<(http::request::Parts, Bytes)>>>;

/// Answers every call with the subject of its caller, in a session of its own.
#[derive(Clone)]
struct Notes(Seen);

impl Service<Request<Full<Bytes>>> for Notes {
    type Response = Response<UnsyncBoxBody<Bytes, Infallible>>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let caller = parts.extensions.get::<Arc<VerifiedCaller>>().unwrap();
            let answer = caller.principal().subject.to_string();
            let listens = parts.headers.contains_key(header::ACCEPT);
            seen.lock().unwrap().push((parts, body));
            let response = Response::builder().header("mcp-session-id", "own-1");
            let response = match listens {
                true => response
                    .header(header::CONTENT_TYPE, "text/event-stream")
                    .body(Silence.boxed_unsync()),
                false => response.body(Full::from(answer).boxed_unsync()),
            };
            Ok(response.unwrap())
        })
    }
}

/// A stream on which nothing ever comes.
struct Silence;

impl http_body::Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Pending
    }
}

struct Rig {
    service: Protect<Notes>,
    seen: Seen,
    clock: MovableClock,
    publisher: FeedPublisher,
    key: EcdsaKeyPair,
}

impl Rig {
    fn new() -> Self {
        let clock = MovableClock::default();
        let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
        let server = ProtectedServer::new(
            ProtectedServerSettings {
                slug: "notes".into(),
                path: "/mcp".into(),
                request_body_bytes_max: 1024,
            },
            Arc::new(Addresses::new(ORIGIN, &[], &[]).unwrap()),
            feed,
            Arc::new(clock.clone()),
            Arc::new(SeededRandom::new(1)),
        );
        let seen = Seen::default();
        Self {
            service: ProtectLayer::new(Arc::new(server)).layer(Notes(Arc::clone(&seen))),
            seen,
            clock,
            publisher,
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    fn published() -> Self {
        Self::published_with(|_| {})
    }

    fn published_with(change: impl FnOnce(&mut Policy)) -> Self {
        let rig = Self::new();
        let point = rig.key.public_key().as_ref();
        let needs = |scope: &str| Entry {
            requirement: Requirement::AnyOf(vec![ScopeSet::parse_lenient(scope)]),
            title: "a tool".into(),
            ..Entry::default()
        };
        let mut server = ServerSnapshot {
            slug: "notes".into(),
            name: String::new(),
            issuer: "https://as.example/servers/notes".into(),
            resource: format!("{ORIGIN}/mcp"),
            former_resources: vec![("https://before.example/mcp".into(), moved_until(&rig.clock))],
            former_issuers: vec![(
                "https://as.before/servers/notes".into(),
                moved_until(&rig.clock),
            )],
            policy: Policy {
                scopes: vec![ScopeDeclaration {
                    id: "scp_1".into(),
                    name: Scope::parse("note:read").unwrap(),
                    title: "Read".into(),
                    risk: Risk::Low,
                    implies: ScopeSet::new(),
                }],
                default_scopes: ScopeSet::parse_lenient("note:read"),
                tools: BTreeMap::from([
                    ("read".to_owned(), needs("note:read")),
                    ("other".to_owned(), needs("note:other")),
                ]),
                ..Policy::default()
            },
            policy_revision: 1,
            keys: JwkSet {
                keys: vec![Jwk {
                    kty: "EC".into(),
                    kid: Some("k1".into()),
                    key_use: Some("sig".into()),
                    alg: Some("ES256".into()),
                    crv: Some("P-256".into()),
                    x: Some(base64url(&point[1..33])),
                    y: Some(base64url(&point[33..65])),
                    n: None,
                    e: None,
                }],
            },
            revocations: Revocations::default(),
            documentation_url: None,
            session_mac_key: Secret::new(vec![3; 32]),
            argument_digest_key: Secret::new(vec![8; 32]),
        };
        change(&mut server.policy);
        rig.publisher.publish(Arc::new(FeedSnapshot {
            change: 1,
            servers: HashMap::from([("notes".to_owned(), Arc::new(server))]),
        }));
        rig
    }

    fn token(&self, scope: &str) -> String {
        self.token_of(
            "https://as.example/servers/notes",
            &format!("{ORIGIN}/mcp"),
            scope,
        )
    }

    fn token_of(&self, issuer: &str, audience: &str, scope: &str) -> String {
        self.sign(&self.claims_of(issuer, audience, scope))
    }

    fn claims_of(&self, issuer: &str, audience: &str, scope: &str) -> Value {
        let now = self.clock.now().unix_seconds();
        json!({
            "iss": issuer, "sub": "usr_alice", "aud": audience,
            "exp": now + 600, "iat": now, "jti": "j", "client_id": "cli_1", "scope": scope, "grant_id": "grt_1",
        })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": "k1"});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", base64url(signature.as_ref()))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (Response<()>, String) {
        let mut service = self.service.clone();
        let response = service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            Response::from_parts(parts, ()),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    async fn call(&self, tool: &str) -> (Response<()>, String) {
        self.call_with(&self.token("note:read"), tool).await
    }

    async fn call_with(&self, token: &str, tool: &str) -> (Response<()>, String) {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}});
        self.send(
            request(Method::POST, "/mcp")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::COOKIE, "a=b")
                .body(Full::from(body.to_string()))
                .unwrap(),
        )
        .await
    }
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "notes.example")
}

#[tokio::test]
async fn what_is_permitted_reaches_the_server_with_its_caller_and_without_credentials() {
    let rig = Rig::published();
    let (response, body) = rig.call("read").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body, "usr_alice");
    let seen = rig.seen.lock().unwrap();
    let (parts, body) = &seen[0];
    assert!(!parts.headers.contains_key(header::AUTHORIZATION));
    assert!(!parts.headers.contains_key(header::COOKIE));
    let sent: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(sent["params"]["name"], "read");
    assert_eq!(
        parts.headers["content-length"],
        body.len().to_string().as_str()
    );
}

/// Until when what was issued before a move may be used.
fn moved_until(clock: &MovableClock) -> base::Timestamp {
    clock.now().after(Duration::from_secs(60))
}

#[tokio::test]
async fn what_was_issued_before_a_move_is_taken_until_its_moment_and_from_nobody_else() {
    let rig = Rig::published();
    let now = format!("{ORIGIN}/mcp");
    let (issuer, before) = (
        "https://as.example/servers/notes",
        "https://as.before/servers/notes",
    );
    let call = async |issuer: &str, audience: &str| {
        let token = rig.token_of(issuer, audience, "note:read");
        rig.call_with(&token, "read").await.0.status()
    };
    let old = "https://before.example/mcp";
    for issuer in [issuer, before] {
        for audience in [&*now, old] {
            assert_eq!(
                call(issuer, audience).await,
                StatusCode::OK,
                "{issuer} {audience}"
            );
        }
        let other = call(issuer, "https://other.example/mcp").await;
        assert_eq!(other, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        call("https://as.before", &now).await,
        StatusCode::UNAUTHORIZED
    );
    rig.clock.advance(Duration::from_secs(60));
    rig.publisher.contact();
    assert_eq!(call(before, &now).await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(issuer, old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(issuer, &now).await, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_permitted_never_reaches_the_server() {
    let rig = Rig::published();
    let (response, body) = rig.call("other").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(body.contains("Unknown tool: other"), "{body}");
    let get = request(Method::GET, "/mcp").body(Full::default()).unwrap();
    let (response, _) = rig.send(get).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(
        challenge,
        format!(
            "Bearer resource_metadata=\"{ORIGIN}/.well-known/oauth-protected-resource/mcp\", scope=\"note:read\""
        )
    );
    let trace = request(Method::TRACE, "/mcp")
        .body(Full::default())
        .unwrap();
    let (response, _) = rig.send(trace).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let elsewhere = request(Method::GET, "/admin")
        .body(Full::default())
        .unwrap();
    let (response, _) = rig.send(elsewhere).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(rig.seen.lock().unwrap().is_empty());
}

/// What a library of a peer let in (`docs/peer-failures.md`).
#[tokio::test]
async fn a_token_that_is_none_opens_no_way_in_and_a_good_one_opens_each() {
    let rig = Rig::published();
    let good = rig.claims_of(
        "https://as.example/servers/notes",
        &format!("{ORIGIN}/mcp"),
        "note:read",
    );
    let without = |member: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(member);
        rig.sign(&claims)
    };
    let mut ended = good.clone();
    ended["exp"] = json!(rig.clock.now().unix_seconds() - 60);
    let ways = [
        (Method::POST, r#""method":"initialize","params":{}"#),
        (Method::POST, r#""method":"tools/list""#),
        (
            Method::POST,
            r#""method":"tools/call","params":{"name":"read"}"#,
        ),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ];
    let send = async |token: &str, (method, asked): &(Method, &str)| {
        let body = match *method {
            Method::POST => format!(r#"{{"jsonrpc":"2.0","id":1,{asked}}}"#),
            _ => String::new(),
        };
        let request = request(method.clone(), "/mcp")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        rig.send(request.unwrap()).await.0
    };
    for (what, token) in [
        ("garbage", "garbage".to_owned()),
        ("expired", rig.sign(&ended)),
        ("without an audience", without("aud")),
        ("without an issuer", without("iss")),
        ("without an end", without("exp")),
    ] {
        for way in &ways {
            let response = send(&token, way).await;
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{what}: {way:?}"
            );
            let challenge = response.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer error=\"invalid_token\""));
        }
    }
    assert!(rig.seen.lock().unwrap().is_empty());
    for way in &ways {
        // What the server behind says to it is its own matter.
        let response = send(&rig.sign(&good), way).await;
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{way:?}");
    }
    assert_eq!(rig.seen.lock().unwrap().len(), ways.len());
}

#[tokio::test]
async fn whoever_calls_too_often_is_429_and_does_not_reach_the_server() {
    let rig = Rig::published_with(|policy| {
        let limits = json!([{"id": "lim_1", "per": "person", "rate": "2 per 1m"}]);
        policy.rate_limits = serde_json::from_value(limits).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(rig.call("read").await.0.status(), StatusCode::OK);
    }
    let (response, body) = rig.call("read").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "30");
    assert!(
        body.contains("Called too often; try again in 30 s"),
        "{body}"
    );
    assert_eq!(rig.seen.lock().unwrap().len(), 2);
    rig.clock.advance(Duration::from_secs(30));
    assert_eq!(rig.call("read").await.0.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_session_id_is_bound_to_its_principal() {
    let rig = Rig::published();
    let (response, _) = rig.call("read").await;
    let outward = response.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(outward.starts_with("own-1."), "{outward}");
    for (session, status) in [
        (outward.as_str(), StatusCode::OK),
        ("own-1", StatusCode::NOT_FOUND),
    ] {
        let get = request(Method::GET, "/mcp")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", rig.token("note:read")),
            )
            .header("mcp-session-id", session)
            .body(Full::default())
            .unwrap();
        let (response, _) = rig.send(get).await;
        assert_eq!(response.status(), status, "{session}");
    }
    let seen = rig.seen.lock().unwrap();
    assert_eq!(seen[1].0.headers["mcp-session-id"], "own-1");
}

#[tokio::test]
async fn metadata_is_served_beside_the_server() {
    let rig = Rig::published();
    let get = request(Method::GET, "/.well-known/oauth-protected-resource/mcp")
        .body(Full::default())
        .unwrap();
    let (response, body) = rig.send(get).await;
    assert_eq!(response.status(), StatusCode::OK);
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["resource"], format!("{ORIGIN}/mcp"));
    assert_eq!(
        document["authorization_servers"],
        json!(["https://as.example/servers/notes"])
    );
}

#[tokio::test]
async fn before_the_first_policy_and_after_five_silent_minutes_the_answer_is_503() {
    let unpublished = Rig::new();
    let (response, _) = unpublished.call("read").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    let rig = Rig::published();
    rig.clock.advance(Duration::from_secs(300));
    assert_eq!(rig.call("read").await.0.status(), StatusCode::OK);
    rig.clock.advance(Duration::from_secs(1));
    let (response, _) = rig.call("read").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    rig.publisher.contact();
    assert_eq!(rig.call("read").await.0.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_in_many_pieces_is_bounded_like_one_in_one_piece() {
    let rig = Rig::published();
    for (bytes, status) in [
        (1024, StatusCode::OK),
        (1025, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let frame = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":""}}"#;
        let padding = "x".repeat(bytes - frame.len());
        let body = frame.replace("\"x\":\"\"", &format!("\"x\":\"{padding}\""));
        let pieces: Vec<Result<_, Infallible>> = body
            .into_bytes()
            .chunks(100)
            .map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(pieces));
        let request = request(Method::POST, "/mcp")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", rig.token("note:read")),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap();
        let response = rig.service.clone().call(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_authority_was_not_heard_of_for_five_minutes() {
    let rig = Rig::published();
    let listen = request(Method::GET, "/mcp")
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", rig.token("note:read")),
        )
        .header(header::ACCEPT, "text/event-stream")
        .body(Full::default())
        .unwrap();
    let response = rig.service.clone().call(listen).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.into_body();
    rig.clock.advance(Duration::from_secs(300));
    let quiet = tokio::time::timeout(Duration::from_millis(1300), stream.frame()).await;
    assert!(quiet.is_err(), "the last good policy is in force still");
    rig.clock.advance(Duration::from_secs(1));
    let end = tokio::time::timeout(Duration::from_secs(5), stream.frame()).await;
    assert!(end.unwrap().is_none());
}
