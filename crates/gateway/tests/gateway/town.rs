//! A gateway with MCP servers at several hosts, asked without a network in between.

use std::collections::HashMap;
use std::sync::Arc;

use authz::{FeedSnapshot, Revocations, ServerSnapshot};
use base::Secret;
use bytes::Bytes;
use gateway::{ServerSettings, Upstream};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use wire::oauth::JwkSet;

use crate::support::{Rig, head, policy, scripted};

/// What came back.
#[derive(Debug)]
pub struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Told {
    /// What the upstream of [`who`] calls itself.
    pub fn who(&self) -> &str {
        self.json["result"]["who"].as_str().unwrap_or("nobody")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// An upstream that says who it is.
pub async fn who(name: &'static str) -> Upstream {
    scripted(move |_, mut stream| async move {
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"who": name}});
        let answer = format!("{}{answer}", head("application/json"));
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

pub fn server(slug: &str, resource: &str, upstream: &Upstream) -> ServerSettings {
    ServerSettings {
        slug: slug.into(),
        resource: resource.into(),
        aliases: Vec::new(),
        upstream: upstream.clone(),
    }
}

pub fn call() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "count"}})
}

impl Rig {
    /// Puts these servers, and no others, in force: in the policy feed and in the gateway.
    pub fn settle(&self, servers: &[ServerSettings]) {
        self.publish_for(servers);
        self.gateway.set_servers(servers.to_vec()).unwrap();
    }

    /// Publishes a feed with these servers.
    pub fn publish_for(&self, servers: &[ServerSettings]) {
        let snapshot = |server: &ServerSettings| ServerSnapshot {
            slug: server.slug.clone(),
            name: String::new(),
            issuer: self.issuer_of(&server.slug),
            resource: server.resource.clone(),
            former_resources: Vec::new(),
            former_issuers: Vec::new(),
            policy: policy(),
            policy_revision: 1,
            keys: JwkSet {
                keys: vec![self.key.jwk()],
            },
            revocations: Revocations::default(),
            documentation_url: None,
            session_mac_key: Secret::new(vec![9; 32]),
            argument_digest_key: Secret::new(vec![8; 32]),
        };
        let servers: HashMap<_, _> = servers
            .iter()
            .map(|server| (server.slug.clone(), Arc::new(snapshot(server))))
            .collect();
        let snapshot = FeedSnapshot { change: 2, servers };
        self.publisher.publish(Arc::new(snapshot));
    }

    pub fn issuer_of(&self, slug: &str) -> String {
        format!("{}/servers/{slug}", self.origin())
    }

    /// A token of alice's for this server.
    pub fn token_for(&self, server: &ServerSettings) -> String {
        let mut claims = self.claims("note:read");
        claims["iss"] = json!(self.issuer_of(&server.slug));
        claims["aud"] = json!(server.resource);
        self.key.sign("at+jwt", &claims)
    }

    pub async fn get(&self, host: &str, path: &str) -> Told {
        let request = Request::get(path).header("host", host);
        self.told(request.body(Full::default()).unwrap()).await
    }

    /// Calls a tool there.
    pub async fn post(&self, host: &str, path: &str, token: &str) -> Told {
        self.send(host, path, token, &[], &call()).await
    }

    pub async fn send(
        &self,
        host: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        message: &Value,
    ) -> Told {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", host)
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(message.to_string()));
        self.told(request.body(body).unwrap()).await
    }

    async fn told(&self, request: Request<Full<Bytes>>) -> Told {
        let (parts, body) = self.gateway.handle(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Told {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    /// Whether the gateway claims a request before the authority.
    pub fn claims_it(&self, host: &str, path: &str) -> bool {
        let request = Request::get(path).header("host", host).body(()).unwrap();
        self.gateway
            .claim(request.uri(), request.headers())
            .is_some()
    }
}
