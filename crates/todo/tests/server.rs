//! The whole server over HTTP: who gets in, whose todos they are, and both eras of the protocol.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::{Answer, McpClient};

const ISSUER: &str = "http://localhost:4180";
const BEARER: &str = "a-random-bearer";
/// When all of this happens.
const NOW: i64 = 1_795_132_800;

struct Bench {
    identity_keys: tokio::sync::watch::Sender<String>,
    key: EcdsaKeyPair,
    url: String,
    _directory: tempfile::TempDir,
    server: tokio::task::JoinHandle<Result<(), portcullis_todo::Error>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn jwk_set(key: &EcdsaKeyPair) -> String {
    let point = key.public_key().as_ref();
    json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "key-1",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
    }]})
    .to_string()
}

fn jwt(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> Value {
    json!({"typ": "portcullis-identity+jwt", "alg": "ES256", "kid": "key-1"})
}

fn claims(subject: &str) -> Value {
    json!({"iss": ISSUER, "aud": "todo", "sub": subject, "client_id": "cli_1", "grant_id": "grt_1",
           "scope": "todo:read", "iat": NOW, "exp": NOW + 60, "jti": "1"})
}

impl Bench {
    async fn start() -> Self {
        let key = new_key();
        let directory = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (identity_keys, read) = tokio::sync::watch::channel(jwk_set(&key));
        let server = tokio::spawn(portcullis_todo::serve(portcullis_todo::Settings {
            listener,
            bearer: BEARER.into(),
            database: directory.path().join("todo.sqlite"),
            identity_keys: read,
            issuer: ISSUER.into(),
            audience: "todo".into(),
            now: Arc::new(|| NOW),
        }));
        Self {
            key,
            identity_keys,
            url,
            _directory: directory,
            server,
        }
    }

    fn client(&self) -> McpClient {
        McpClient::new(&self.url).with_bearer(BEARER)
    }

    fn client_of(&self, subject: &str) -> McpClient {
        let identity = jwt(&self.key, &header(), &claims(subject));
        self.client().with_header("portcullis-identity", &identity)
    }
}

fn structured(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let result = answer.result();
    assert_ne!(result["isError"], true, "{result}");
    result["structuredContent"].clone()
}

fn tool_error(answer: &Answer) -> String {
    assert_eq!(answer.result()["isError"], true, "{answer:?}");
    answer.text()
}

#[tokio::test]
async fn a_person_works_through_their_list_and_another_does_not_see_it() {
    let bench = Bench::start().await;
    let (mut alice, bob) = (bench.client_of("usr_alice"), bench.client_of("usr_bob"));
    assert_eq!(alice.initialize().await.status, StatusCode::OK);
    let added = structured(
        &alice
            .call_tool("add_todo", json!({"title": " buy milk "}))
            .await,
    );
    assert_eq!(
        (&added["number"], &added["title"]),
        (&json!(1), &json!("buy milk"))
    );
    let done = structured(&alice.call_tool("complete_todo", json!({"number": 1})).await);
    assert_eq!(done["done"], true);
    let found = structured(&alice.call_tool("get_todo", json!({"number": 1})).await);
    assert_eq!(found, done);
    let listed = structured(&alice.call_tool("list_todos", json!({"show": "done"})).await);
    assert_eq!(listed["todos"], json!([done]));
    assert_eq!(
        structured(&bob.call_tool("list_todos", json!({})).await)["todos"],
        json!([])
    );
    let refusal = tool_error(&bob.call_tool("delete_todo", json!({"number": 1})).await);
    assert!(refusal.contains("no todo number 1"), "{refusal}");
    structured(&alice.call_tool("delete_todo", json!({"number": 1})).await);
    let refusal = tool_error(&alice.call_tool("get_todo", json!({"number": 1})).await);
    assert!(refusal.contains("list_todos"), "{refusal}");
    let refusal = tool_error(
        &alice
            .call_tool("add_todo", json!({"title": "x".repeat(201)}))
            .await,
    );
    assert!(refusal.contains("at most 200"), "{refusal}");
}

#[tokio::test]
async fn both_eras_of_the_protocol_are_answered_without_sessions() {
    let bench = Bench::start().await;
    let client = bench.client_of("usr_alice");
    let discovered = client.modern("server/discover", json!({})).await;
    assert_eq!(discovered.status, StatusCode::OK, "{discovered:?}");
    let versions = discovered.result()["supportedVersions"].clone();
    assert!(
        versions.as_array().unwrap().contains(&json!("2026-07-28")),
        "{versions}"
    );
    let modern = client
        .modern(
            "tools/call",
            json!({"name": "add_todo", "arguments": {"title": "modern"}}),
        )
        .await;
    assert_eq!(structured(&modern)["number"], 1);
    let mut legacy = client.clone();
    let opened = legacy.initialize().await;
    assert!(opened.headers.get("mcp-session-id").is_none());
    assert_eq!(opened.result()["protocolVersion"], "2025-11-25");
    let listed = structured(&legacy.call_tool("list_todos", json!({})).await);
    assert_eq!(listed["todos"][0]["title"], "modern");
}

#[tokio::test]
async fn the_tools_say_what_they_do_and_each_has_its_scope() {
    let bench = Bench::start().await;
    // The gateway looks before anybody has signed in.
    let listed = bench.client().request("tools/list", json!({})).await;
    let tools = listed.result()["tools"].as_array().unwrap().clone();
    let mut names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let scopes = portcullis_todo::policy_overrides();
    let mut mapped: Vec<_> = scopes.iter().map(|(tool, _)| tool.as_str()).collect();
    mapped.sort_unstable();
    assert_eq!(names, mapped);
    for tool in &tools {
        assert!(
            tool["title"].is_string() && tool["description"].is_string(),
            "{tool}"
        );
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        let (_, scope) = scopes
            .iter()
            .find(|(name, _)| tool["name"] == *name)
            .unwrap();
        let expected = match scope[0].as_str() {
            "todo:read" => (true, false),
            "todo:write" => (false, false),
            _ => (false, true),
        };
        let annotations = &tool["annotations"];
        assert_eq!(annotations["readOnlyHint"], expected.0, "{tool}");
        assert_eq!(annotations["destructiveHint"], expected.1, "{tool}");
    }
    let refusal = tool_error(&bench.client().call_tool("list_todos", json!({})).await);
    assert!(refusal.contains("Portcullis-Identity"), "{refusal}");
}

#[tokio::test]
async fn only_the_bearer_gets_in() {
    let bench = Bench::start().await;
    for client in [
        McpClient::new(&bench.url),
        McpClient::new(&bench.url).with_bearer("another"),
        McpClient::new(&bench.url).with_bearer(&format!("{BEARER}x")),
        McpClient::new(&bench.url).with_header("authorization", BEARER),
    ] {
        let answer = client.request("tools/list", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let answer = bench.client().request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn an_identity_that_is_not_quite_right_is_refused_and_the_right_one_is_not() {
    let bench = Bench::start().await;
    let with = |change: &dyn Fn(&mut Value, &mut Value)| {
        let (mut header, mut claims) = (header(), claims("usr_alice"));
        change(&mut header, &mut claims);
        jwt(&bench.key, &header, &claims)
    };
    let good = with(&|_, _| {});
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let cases = [
        ("typ", with(&|header, _| header["typ"] = json!("at+jwt"))),
        (
            "no typ",
            with(&|header, _| drop(header.as_object_mut().unwrap().remove("typ"))),
        ),
        ("kid", with(&|header, _| header["kid"] = json!("key-2"))),
        ("crit", with(&|header, _| header["crit"] = json!(["b64"]))),
        ("alg", with(&|header, _| header["alg"] = json!("HS256"))),
        ("alg none", with(&|header, _| header["alg"] = json!("none"))),
        ("aud", with(&|_, claims| claims["aud"] = json!("other"))),
        (
            "no aud",
            with(&|_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ),
        (
            "iss",
            with(&|_, claims| claims["iss"] = json!("http://localhost:4181")),
        ),
        (
            "exp",
            with(&|_, claims| claims["exp"] = json!(claims["iat"].as_u64().unwrap() - 60)),
        ),
        (
            "no exp",
            with(&|_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ),
        (
            "no sub",
            with(&|_, claims| drop(claims.as_object_mut().unwrap().remove("sub"))),
        ),
        ("empty sub", with(&|_, claims| claims["sub"] = json!(""))),
        (
            "foreign key",
            jwt(&new_key(), &header(), &claims("usr_alice")),
        ),
        ("no signature", format!("{unsigned}.")),
        ("too long", format!("{good}{}", "A".repeat(9000))),
        ("no JWT", "alice".to_owned()),
    ];
    for (name, identity) in cases {
        let client = bench.client().with_header("portcullis-identity", &identity);
        let answer = client.call_tool("list_todos", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(
            !String::from_utf8_lossy(&answer.body).contains(&identity),
            "{name}"
        );
    }
    let client = bench.client().with_header("portcullis-identity", &good);
    structured(&client.call_tool("list_todos", json!({})).await);
}

#[tokio::test]
async fn after_a_rotation_the_new_identity_key_counts_and_the_old_one_does_not() {
    let bench = Bench::start().await;
    let new = new_key();
    let status = async |key: &EcdsaKeyPair| {
        let identity = jwt(key, &header(), &claims("usr_alice"));
        let client = bench.client().with_header("portcullis-identity", &identity);
        client.clone().initialize().await.status
    };
    assert_eq!(status(&bench.key).await, StatusCode::OK);
    assert_eq!(status(&new).await, StatusCode::UNAUTHORIZED);
    // A set that cannot be read changes nothing.
    bench.identity_keys.send_replace("{}".into());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(status(&bench.key).await, StatusCode::OK);
    bench.identity_keys.send_replace(jwk_set(&new));
    let waited = async {
        while status(&new).await != StatusCode::OK {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let limit = std::time::Duration::from_secs(5);
    tokio::time::timeout(limit, waited).await.unwrap();
    assert_eq!(status(&bench.key).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wrong_arguments_are_refused_in_words_and_change_nothing() {
    let bench = Bench::start().await;
    let client = bench.client_of("usr_alice");
    for arguments in [
        json!({}),
        json!({"title": 7}),
        json!({"title": "x", "extra": 1}),
    ] {
        let answer = client.call_tool("add_todo", arguments.clone()).await;
        let response = answer.response();
        let refused = response.get("error").is_some() || response["result"]["isError"] == true;
        assert!(refused, "{arguments}: {response}");
    }
    assert_eq!(
        structured(&client.call_tool("list_todos", json!({})).await)["todos"],
        json!([])
    );
}

#[tokio::test]
async fn a_wrong_key_set_or_file_is_reported_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let start = async |identity_keys: &str, database: &str| {
        let settings = portcullis_todo::Settings {
            listener: tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
            bearer: BEARER.into(),
            database: directory.path().join(database),
            identity_keys: tokio::sync::watch::channel(identity_keys.into()).1,
            issuer: ISSUER.into(),
            audience: "todo".into(),
            now: Arc::new(|| NOW),
        };
        portcullis_todo::serve(settings)
            .await
            .unwrap_err()
            .to_string()
    };
    assert!(start("{}", "a").await.starts_with("identity_keys"));
    assert!(start(r#"{"keys":[]}"#, "a").await.contains("no key"));
    let words = start(&jwk_set(&new_key()), "missing/todo.sqlite").await;
    assert!(words.contains("missing/todo.sqlite"), "{words}");
}
