//! A gateway without an authority, for measuring: `alone UPSTREAM_URL PORT`. Prints a token that may call the tool
//! `echo`, and runs until killed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use authz::{
    Entry, FeedSnapshot, Policy, Requirement, Revocations, Risk, ScopeDeclaration, ServerSnapshot,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, OsRandom, Secret, SystemClock, base64url};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis_gateway::{Gateway, IdentityKey, Limits, ServerSettings, Settings, Upstream};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wire::oauth::{Jwk, JwkSet, Scope, ScopeSet};

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let upstream = args.next().unwrap().parse().unwrap();
    let port: u16 = args.next().unwrap().parse().unwrap();
    let origin = format!("http://127.0.0.1:{port}");
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (publisher, feed) = sdk::policy_feed(Arc::new(SystemClock));
    let (sender, mut records) = mpsc::channel(4096);
    let gateway = Gateway::new(
        Settings {
            public_url: origin.clone(),
            alias_origins: Vec::new(),
            former_origins: Vec::new(),
            reserved_paths: Vec::new(),
            allowed_origins: Vec::new(),
            servers: vec![ServerSettings {
                slug: "echo".into(),
                resource: format!("{origin}/mcp/echo"),
                aliases: Vec::new(),
                upstream: Upstream::Http {
                    url: upstream,
                    headers: Vec::new(),
                },
            }],
            identity_key: IdentityKey {
                kid: "identity-1".into(),
                pkcs8: Secret::new(key.to_pkcs8v1().unwrap().as_ref().to_vec()),
            },
            opaque_tokens: None,
            other_issuers: std::collections::HashMap::new(),
            limits: Limits::default(),
        },
        feed,
        sender,
        Arc::new(SystemClock),
        Arc::new(OsRandom),
    )
    .unwrap();
    publisher.publish(Arc::new(snapshot(&origin, &key)));
    println!("{}", token(&origin, &key));
    tokio::spawn(async move { while records.recv().await.is_some() {} });
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            publisher.contact();
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(gateway.clone());
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

fn snapshot(origin: &str, key: &EcdsaKeyPair) -> FeedSnapshot {
    let entry = |requirement| Entry {
        requirement,
        title: "a tool".into(),
        ..Entry::default()
    };
    let read = ScopeSet::parse_lenient("echo:read");
    let tools = ["echo", "count"].map(|name| {
        let requirement = Requirement::AnyOf(vec![read.clone()]);
        (name.to_owned(), entry(requirement))
    });
    let point = key.public_key().as_ref();
    let server = ServerSnapshot {
        slug: "echo".into(),
        name: "Echo".into(),
        issuer: format!("{origin}/servers/echo"),
        resource: format!("{origin}/mcp/echo"),
        former_resources: Vec::new(),
        former_issuers: Vec::new(),
        policy: Policy {
            scopes: vec![ScopeDeclaration {
                id: "scp_1".into(),
                name: Scope::parse("echo:read").unwrap(),
                title: "Echo".into(),
                risk: Risk::Low,
                implies: ScopeSet::new(),
            }],
            default_scopes: read.clone(),
            tools: BTreeMap::from(tools),
            ..Policy::default()
        },
        policy_revision: 1,
        keys: JwkSet {
            keys: vec![Jwk {
                kty: "EC".into(),
                kid: Some("access-1".into()),
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
        session_mac_key: Secret::new(vec![9; 32]),
        argument_digest_key: Secret::new(vec![8; 32]),
    };
    FeedSnapshot {
        change: 1,
        servers: HashMap::from([("echo".to_owned(), Arc::new(server))]),
    }
}

fn token(origin: &str, key: &EcdsaKeyPair) -> String {
    let now = SystemClock.now().unix_seconds();
    let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": "access-1"});
    let claims = json!({
        "iss": format!("{origin}/servers/echo"),
        "sub": "usr_0123456789abcdefghij",
        "aud": format!("{origin}/mcp/echo"),
        "exp": now + 3600,
        "iat": now,
        "jti": "jti_0123456789abcdefghij",
        "client_id": "cli_0123456789abcdefghij",
        "scope": "echo:read",
        "grant_id": "grt_0123456789abcdefghij",
    });
    let signed = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64url(signature.as_ref()))
}
