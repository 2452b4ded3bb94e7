//! An MCP server whose tokens are another authorization server's, in each way of finding out whether one is good.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use authz::{
    Entry, FeedSnapshot, Policy, Requirement, Revocations, Risk, Role, RoleScopes,
    ScopeDeclaration, ServerSnapshot, TokenForm,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, Secret, base64url};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use portcullis::{
    Addresses, Answering, FeedPublisher, IssuerSource, OtherIssuer, OtherIssuerSettings, Protect,
    ProtectLayer, ProtectedServer, ProtectedServerSettings, Validation, VerifiedCaller,
    policy_feed,
};
use serde_json::{Value, json};
use testkit::{MovableClock, SeededRandom};
use tower_layer::Layer as _;
use tower_service::Service;
use wire::mcp::{Json, Object};
use wire::oauth::{Jwk, JwkSet, Scope, ScopeSet};

const ORIGIN: &str = "https://notes.example";
const RESOURCE: &str = "https://notes.example/mcp";
const ISSUER: &str = "https://login.example.com";
const OURS: &str = "https://as.example/servers/notes";

/// Answers with who calls and what they hold.
#[derive(Clone)]
struct Notes;

impl Service<Request<Full<Bytes>>> for Notes {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let caller = request.extensions().get::<Arc<VerifiedCaller>>().unwrap();
        let who = caller.caller();
        let answer = format!("{} {} {:?}", who.subject, who.scopes, who.roles);
        ready(Ok(Response::new(Full::from(answer))))
    }
}

/// The other issuer: its keys and what it says of tokens, and how often it was asked.
#[derive(Debug, Default)]
struct Issuer {
    keys: Mutex<Option<JwkSet>>,
    answers: Mutex<HashMap<String, Value>>,
    is_down: Mutex<bool>,
    fetched: AtomicUsize,
    asked: AtomicUsize,
}

impl Issuer {
    fn says(&self, token: &str, answer: Value) {
        self.answers
            .lock()
            .unwrap()
            .insert(token.to_owned(), answer);
    }

    fn is_down(&self, is_down: bool) {
        *self.is_down.lock().unwrap() = is_down;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

impl IssuerSource for Issuer {
    fn keys(&self) -> Answering<'_, JwkSet> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().unwrap().clone();
        let keys = keys.filter(|_| !*self.is_down.lock().unwrap());
        Box::pin(async move { keys.ok_or_else(|| "it is down".to_owned()) })
    }

    fn introspect<'a>(&'a self, token: &'a str) -> Answering<'a, Object> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().get(token).cloned();
        let answer = answer.unwrap_or_else(|| json!({"active": false}));
        let is_down = *self.is_down.lock().unwrap();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let answer = Json::from_serde(&answer).as_object().cloned();
            answer
                .filter(|_| !is_down)
                .ok_or_else(|| "it is down".to_owned())
        })
    }
}

struct Key {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, kid }
    }

    fn jwk(&self) -> Jwk {
        let point = self.pair.public_key().as_ref();
        Jwk {
            kty: "EC".into(),
            kid: Some(self.kid.into()),
            key_use: Some("sig".into()),
            alg: Some("ES256".into()),
            crv: Some("P-256".into()),
            x: Some(base64url(&point[1..33])),
            y: Some(base64url(&point[33..65])),
            n: None,
            e: None,
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": self.kid}).to_string();
        let signed = format!("{}.{}", base64url(header), base64url(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", base64url(signature.unwrap().as_ref()))
    }
}

struct Rig {
    service: Protect<Notes>,
    issuer: Arc<Issuer>,
    clock: MovableClock,
    publisher: FeedPublisher,
    snapshot: ServerSnapshot,
    key: Key,
    authority_key: Key,
}

impl Rig {
    fn new(validation: Validation) -> Self {
        Self::with(validation, TokenForm::default())
    }

    fn with(validation: Validation, form: TokenForm) -> Self {
        let clock = MovableClock::default();
        let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
        let (key, authority_key) = (Key::new("k1"), Key::new("ours"));
        let issuer = Arc::new(Issuer::default());
        *issuer.keys.lock().unwrap() = Some(JwkSet {
            keys: vec![key.jwk()],
        });
        let settings = OtherIssuerSettings {
            issuer: ISSUER.into(),
            validation,
            audience: None,
            algorithms: vec!["ES256".into()],
            form,
            kept_for: Duration::from_secs(30),
        };
        let source = Arc::clone(&issuer) as Arc<dyn IssuerSource>;
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
        )
        .with_other_issuer(Arc::new(OtherIssuer::new(settings, source)));
        let rig = Self {
            service: ProtectLayer::new(Arc::new(server)).layer(Notes),
            issuer,
            snapshot: snapshot(&authority_key),
            clock,
            publisher,
            key,
            authority_key,
        };
        rig.publish(|_| {});
        rig
    }

    fn publish(&self, change: impl FnOnce(&mut ServerSnapshot)) {
        let mut server = self.snapshot.clone();
        change(&mut server);
        self.publisher.publish(Arc::new(FeedSnapshot {
            change: 1,
            servers: HashMap::from([("notes".to_owned(), Arc::new(server))]),
        }));
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.publisher.contact();
    }

    fn claims(&self) -> Value {
        let now = self.clock.now().unix_seconds();
        json!({
            "iss": ISSUER, "sub": "alice", "aud": RESOURCE, "exp": now + 600, "iat": now, "jti": "j",
            "client_id": "app", "scope": "note:read",
        })
    }

    fn answer(&self) -> Value {
        with(
            self.claims(),
            &[("active", json!(true)), ("token_type", json!("Bearer"))],
        )
    }

    async fn call(&self, token: &str) -> (StatusCode, String) {
        let (head, body) = self.answered(token).await;
        (head.status, body)
    }

    async fn answered(&self, token: &str) -> (http::response::Parts, String) {
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read"}});
        let request = Request::post("/mcp")
            .header(header::HOST, "notes.example")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(call.to_string()))
            .unwrap();
        let response = self.service.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.call(token).await.0
    }
}

fn snapshot(authority_key: &Key) -> ServerSnapshot {
    ServerSnapshot {
        slug: "notes".into(),
        name: String::new(),
        issuer: OURS.into(),
        former_issuers: Vec::new(),
        resource: RESOURCE.into(),
        former_resources: Vec::new(),
        policy: Policy {
            scopes: vec![ScopeDeclaration {
                id: "scp_1".into(),
                name: Scope::parse("note:read").unwrap(),
                title: "Read".into(),
                risk: Risk::Low,
                implies: ScopeSet::new(),
            }],
            default_scopes: ScopeSet::parse_lenient("note:read"),
            tools: BTreeMap::from([(
                "read".to_owned(),
                Entry {
                    requirement: Requirement::AnyOf(vec![ScopeSet::parse_lenient("note:read")]),
                    ..Entry::default()
                },
            )]),
            ..Policy::default()
        },
        policy_revision: 1,
        keys: JwkSet {
            keys: vec![authority_key.jwk()],
        },
        revocations: Revocations::default(),
        documentation_url: None,
        session_mac_key: Secret::new(vec![3; 32]),
        argument_digest_key: Secret::new(vec![8; 32]),
    }
}

fn with(mut claims: Value, members: &[(&str, Value)]) -> Value {
    for (name, value) in members {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(*name);
        }
    }
    claims
}

/// The same token with another signature.
fn spoiled(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{first}{}", &signature[1..])
}

const OK: StatusCode = StatusCode::OK;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

#[tokio::test]
async fn a_signed_token_of_the_issuer_is_taken_and_one_that_differs_in_anything_is_not() {
    let rig = Rig::new(Validation::Jwt);
    let (status, body) = rig.call(&rig.key.sign(&rig.claims())).await;
    assert_eq!((status, &*body), (OK, "alice note:read []"));
    let token = rig.key.sign(&rig.claims());
    assert_eq!(rig.status(&spoiled(&token)).await, UNAUTHORIZED);
    let now = rig.clock.now().unix_seconds();
    for (name, wrong) in [
        ("iss", json!("https://login.example.com/")),
        ("aud", json!("https://other.example/mcp")),
        ("aud", Value::Null),
        ("exp", json!(now - 60)),
        ("nbf", json!(now + 60)),
        ("sub", Value::Null),
        ("client_id", Value::Null),
    ] {
        let wrong = with(rig.claims(), &[(name, wrong)]);
        let (head, body) = rig.answered(&rig.key.sign(&wrong)).await;
        assert_eq!(head.status, UNAUTHORIZED, "{wrong}: {body}");
        let challenge = head.headers["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.contains("resource_metadata=\"https://notes.example/"),
            "{challenge}"
        );
    }
    assert_eq!(rig.issuer.asked(), 0);
}

#[tokio::test]
async fn the_authority_s_own_tokens_are_refused_there_whatever_they_claim() {
    for validation in [Validation::Jwt, Validation::Both, Validation::Either] {
        let rig = Rig::new(validation);
        let own = with(
            rig.claims(),
            &[("iss", json!(OURS)), ("grant_id", json!("gra_1"))],
        );
        assert_eq!(
            rig.status(&rig.authority_key.sign(&own)).await,
            UNAUTHORIZED
        );
        let disguised = with(own, &[("iss", json!(ISSUER))]);
        assert_eq!(
            rig.status(&rig.authority_key.sign(&disguised)).await,
            UNAUTHORIZED
        );
        assert_eq!(rig.issuer.asked(), 0, "{validation:?}");
    }
}

#[tokio::test]
async fn the_metadata_names_that_issuer_alone() {
    let rig = Rig::new(Validation::Jwt);
    let request = Request::get("/.well-known/oauth-protected-resource/mcp")
        .header(header::HOST, "notes.example")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = rig.service.clone().call(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["authorization_servers"], json!([ISSUER]));
    assert_eq!(document["resource"], RESOURCE);
}

#[tokio::test]
async fn known_keys_go_on_in_an_outage_and_a_token_of_an_unknown_one_is_503_then() {
    let rig = Rig::new(Validation::Jwt);
    let (known, next) = (rig.key.sign(&rig.claims()), Key::new("k2"));
    assert_eq!(rig.status(&known).await, OK);
    rig.issuer.is_down(true);
    rig.advance(300);
    let later = rig.key.sign(&rig.claims());
    assert_eq!(rig.status(&later).await, OK);
    let (head, _) = rig.answered(&next.sign(&rig.claims())).await;
    assert_eq!(head.status, UNAVAILABLE);
    assert!(head.headers.contains_key("retry-after"));
    assert!(!head.headers.contains_key("www-authenticate"));
    rig.issuer.is_down(false);
    *rig.issuer.keys.lock().unwrap() = Some(JwkSet {
        keys: vec![rig.key.jwk(), next.jwk()],
    });
    // Not asked again at once, however many come.
    let fetched = rig.issuer.fetched();
    for _ in 0..5 {
        assert_eq!(rig.status(&next.sign(&rig.claims())).await, UNAVAILABLE);
    }
    assert_eq!(rig.issuer.fetched(), fetched);
    rig.advance(10);
    assert_eq!(rig.status(&next.sign(&rig.claims())).await, OK);
    assert_eq!(rig.issuer.fetched(), fetched + 1);
    // While it answers, a key that it does not have is no reason to wait.
    assert_eq!(
        rig.status(&Key::new("k3").sign(&rig.claims())).await,
        UNAUTHORIZED
    );
    assert_eq!(rig.issuer.fetched(), fetched + 1);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_takes_its_tokens_along_and_an_empty_set_takes_nothing() {
    let rig = Rig::new(Validation::Jwt);
    let token = rig.key.sign(&rig.claims());
    assert_eq!(rig.status(&token).await, OK);
    let next = Key::new("k2");
    for (keys, status) in [(vec![], OK), (vec![next.jwk()], UNAUTHORIZED)] {
        *rig.issuer.keys.lock().unwrap() = Some(JwkSet { keys });
        rig.advance(11);
        rig.status(&Key::new("unknown").sign(&rig.claims())).await;
        assert_eq!(rig.status(&token).await, status);
    }
    assert_eq!(rig.status(&next.sign(&rig.claims())).await, OK);
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_once_in_a_while_and_by_many_at_once_only_once() {
    let rig = Rig::new(Validation::Introspection);
    rig.issuer.says("good", rig.answer());
    let calls = (0..20).map(|_| rig.status("good"));
    let statuses = futures_util::future::join_all(calls).await;
    assert!(statuses.iter().all(|status| *status == OK));
    assert_eq!(rig.issuer.asked(), 1);
    rig.advance(29);
    assert_eq!(rig.status("good").await, OK);
    assert_eq!(rig.issuer.asked(), 1, "kept");
    rig.issuer.says("good", json!({"active": false}));
    assert_eq!(rig.status("good").await, OK, "its issuer is not asked yet");
    rig.advance(1);
    assert_eq!(rig.status("good").await, UNAUTHORIZED);
    assert_eq!(rig.issuer.asked(), 2);
    // A no is kept for a shorter time.
    rig.issuer.says("good", rig.answer());
    rig.advance(9);
    assert_eq!(rig.status("good").await, UNAUTHORIZED);
    assert_eq!(rig.issuer.asked(), 2);
    rig.advance(1);
    assert_eq!(rig.status("good").await, OK);
}

#[tokio::test]
async fn a_yes_never_counts_beyond_the_end_of_its_token_nor_beyond_a_revocation_of_ours() {
    let rig = Rig::new(Validation::Introspection);
    let end = rig.clock.now().unix_seconds() + 20;
    rig.issuer
        .says("short", with(rig.answer(), &[("exp", json!(end))]));
    assert_eq!(rig.status("short").await, OK);
    rig.advance(26);
    assert_eq!(rig.status("short").await, UNAUTHORIZED);
    rig.issuer.says("good", rig.answer());
    assert_eq!(rig.status("good").await, OK);
    let asked = rig.issuer.asked();
    let moment = rig.clock.now().after(Duration::from_secs(1));
    for subjects in [true, false] {
        rig.publish(|server| {
            let revocations = &mut server.revocations;
            match subjects {
                true => revocations.subjects.insert("alice".into(), moment),
                false => revocations.clients.insert("app".into(), moment),
            };
        });
        assert_eq!(rig.status("good").await, UNAUTHORIZED);
        rig.publish(|_| {});
        assert_eq!(rig.status("good").await, OK);
    }
    assert!(rig.issuer.asked() <= asked + 2);
}

#[tokio::test]
async fn an_answer_is_held_to_what_a_token_is_held_to() {
    let rig = Rig::new(Validation::Introspection);
    let now = rig.clock.now().unix_seconds();
    for (number, (name, wrong)) in [
        ("active", json!(false)),
        ("iss", json!("https://other.example")),
        ("aud", json!("https://other.example/mcp")),
        ("aud", Value::Null),
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("nbf", json!(now + 60)),
        ("sub", Value::Null),
        ("client_id", Value::Null),
        ("token_type", Value::Null),
        ("token_type", json!("DPoP")),
        ("cnf", json!({"jkt": "x"})),
    ]
    .into_iter()
    .enumerate()
    {
        let (good, bad) = (format!("good-{number}"), format!("bad-{number}"));
        rig.issuer.says(&good, rig.answer());
        rig.issuer.says(&bad, with(rig.answer(), &[(name, wrong)]));
        assert_eq!(rig.status(&good).await, OK);
        let asked = rig.issuer.asked();
        assert_eq!(rig.status(&bad).await, UNAUTHORIZED, "{name}");
        assert_eq!(rig.status(&bad).await, UNAUTHORIZED, "{name}");
        assert_eq!(rig.issuer.asked(), asked + 1, "{name}: a no is kept");
    }
    // What is no answer at all is an outage, not a no.
    rig.issuer.says("odd", json!({}));
    assert_eq!(rig.status("odd").await, UNAVAILABLE);
}

/// A token of our own that was shown here by mistake is good elsewhere: nobody else gets to see it.
#[tokio::test]
async fn what_somebody_else_issued_is_refused_without_a_word_to_this_issuer() {
    let rig = Rig::new(Validation::Introspection);
    let ours = with(rig.claims(), &[("iss", json!(OURS))]);
    let odd = with(rig.claims(), &[("iss", json!([ISSUER]))]);
    let service_token = format!("pct_{}", base64url([7; 32]));
    for foreign in [
        rig.authority_key.sign(&ours),
        rig.authority_key.sign(&odd),
        service_token.clone(),
    ] {
        rig.issuer.says(&foreign, rig.answer());
        assert_eq!(rig.status(&foreign).await, UNAUTHORIZED);
    }
    assert_eq!(rig.issuer.asked(), 0);
    // Its own JWTs, and what says nothing of itself, it is asked about.
    let anonymous = with(rig.claims(), &[("iss", Value::Null)]);
    for own in [
        rig.key.sign(&rig.claims()),
        rig.key.sign(&anonymous),
        service_token.replace("pct_", "pcx_"),
    ] {
        rig.issuer.says(&own, rig.answer());
        assert_eq!(rig.status(&own).await, OK);
    }
}

#[tokio::test]
async fn an_outage_is_503_and_never_a_reason_to_sign_in_anew() {
    for validation in [
        Validation::Introspection,
        Validation::Either,
        Validation::Both,
    ] {
        let rig = Rig::new(validation);
        let signed = rig.key.sign(&rig.claims());
        let token = if validation == Validation::Both {
            &*signed
        } else {
            "opaque"
        };
        rig.issuer.says(token, rig.answer());
        // Its keys are known.
        assert_eq!(rig.status(token).await, OK);
        rig.issuer.is_down(true);
        assert_eq!(rig.status(token).await, OK, "kept");
        rig.advance(30);
        let (head, body) = rig.answered(token).await;
        assert_eq!(head.status, UNAVAILABLE, "{validation:?}: {body}");
        assert!(head.headers.contains_key("retry-after"));
        assert!(!head.headers.contains_key("www-authenticate"));
        rig.issuer.is_down(false);
        assert_eq!(rig.status(token).await, OK);
    }
}

#[tokio::test]
async fn both_asks_about_what_verifies_alone_and_the_narrower_scope_counts() {
    let rig = Rig::new(Validation::Both);
    let token = rig.key.sign(&with(
        rig.claims(),
        &[("scope", json!("note:read note:write"))],
    ));
    rig.issuer.says(
        &token,
        with(rig.answer(), &[("scope", json!("note:read note:admin"))]),
    );
    let (status, body) = rig.call(&token).await;
    assert_eq!((status, &*body), (OK, "alice note:read []"));
    assert_eq!(rig.issuer.asked(), 1);
    // Of what does not verify the issuer is never asked, though it would say yes.
    for bad in [
        spoiled(&token),
        rig.key.sign(&with(
            rig.claims(),
            &[("aud", json!("https://other.example"))],
        )),
        Key::new("k1").sign(&rig.claims()),
        "opaque".to_owned(),
    ] {
        rig.issuer.says(&bad, rig.answer());
        assert_eq!(rig.status(&bad).await, UNAUTHORIZED, "{bad}");
    }
    assert_eq!(rig.issuer.asked(), 1);
    rig.issuer.says(&token, json!({"active": false}));
    rig.advance(30);
    assert_eq!(rig.status(&token).await, UNAUTHORIZED);
    let other = rig.key.sign(&with(rig.claims(), &[("jti", json!("k"))]));
    rig.issuer
        .says(&other, with(rig.answer(), &[("sub", json!("bob"))]));
    assert_eq!(rig.status(&other).await, UNAUTHORIZED, "of somebody else");
}

#[tokio::test]
async fn either_never_asks_about_a_signed_token_not_even_when_its_signature_is_wrong() {
    let rig = Rig::new(Validation::Either);
    let token = rig.key.sign(&rig.claims());
    assert_eq!(rig.status(&token).await, OK);
    let foreign = with(rig.claims(), &[("iss", json!("https://other.example"))]);
    let unsigned = format!(
        "{}.{}.",
        base64url(r#"{"alg":"none"}"#),
        base64url(rig.claims().to_string())
    );
    // Padding, which some readers take.
    let padded = token.replacen('.', "=.", 1);
    for bad in [spoiled(&token), rig.key.sign(&foreign), unsigned, padded] {
        rig.issuer.says(&bad, rig.answer());
        assert_eq!(rig.status(&bad).await, UNAUTHORIZED, "{bad}");
    }
    assert_eq!(rig.issuer.asked(), 0);
    for opaque in ["opaque", "with.two.dots", "e30"] {
        rig.issuer.says(opaque, rig.answer());
        assert_eq!(rig.status(opaque).await, OK, "{opaque}");
    }
    assert_eq!(rig.issuer.asked(), 3);
}

#[tokio::test]
async fn roles_come_from_the_claim_that_was_named_and_follow_the_policy() {
    let form = TokenForm {
        roles: Some("groups".into()),
        role_names: vec![("mcp-readers".into(), "reader".into())],
        ..TokenForm::default()
    };
    let rig = Rig::with(Validation::Jwt, form);
    let role = |id: &str| Role {
        id: id.into(),
        name: "reader".into(),
        title: String::new(),
        scopes: RoleScopes::Only(ScopeSet::parse_lenient("note:read")),
    };
    rig.publish(|server| server.policy.roles = vec![role("rol_1")]);
    let reader = rig
        .key
        .sign(&with(rig.claims(), &[("groups", json!(["mcp-readers"]))]));
    let (status, body) = rig.call(&reader).await;
    assert_eq!((status, &*body), (OK, "alice note:read [\"rol_1\"]"));
    let (_, body) = rig.call(&rig.key.sign(&rig.claims())).await;
    assert!(
        body.contains("Unknown tool: read"),
        "without a role: {body}"
    );
    // The token is kept, and what its claim means is of the policy of today.
    rig.publish(|server| server.policy.roles = vec![role("rol_2")]);
    assert_eq!(rig.call(&reader).await.1, "alice note:read [\"rol_2\"]");
}
