//! Clients that authenticate, and MCP servers that ask.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::Body;
use base::{Clock as _, OsRandom, base64url};
use domain::{AuditEventKind, Client, ClientId, ClientKeys, ServerSlug, UserId};
use http::{Method, header};
use oauth::clients::{NewClient, NewClientProof};
use oauth::resource_server::{NewCredential, create_credential};
use serde_json::{Value, json};
use store::{EndClient, UserDisabled};
use wire::oauth::{Jwk, JwkSet, ScopeSet};

use crate::support::{Answer, CALLBACK, ISSUER, World, encode, owned, request};

pub const TOKEN: &str = "/servers/todo/token";
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A confidential client with its secret.
pub struct SecretClient {
    pub client: Client,
    pub id: String,
    pub secret: String,
}

/// A confidential client with its key.
pub struct KeyClient {
    pub id: String,
    pub key: AssertionKey,
}

pub struct AssertionKey(EcdsaKeyPair);

impl AssertionKey {
    pub fn generate() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn jwks(&self) -> JwkSet {
        let point = self.0.public_key().as_ref();
        JwkSet {
            keys: vec![Jwk {
                kty: "EC".into(),
                kid: Some("k1".into()),
                key_use: None,
                alg: None,
                crv: Some("P-256".into()),
                x: Some(base64url(&point[1..33])),
                y: Some(base64url(&point[33..])),
                n: None,
                e: None,
            }],
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", base64url(signature.unwrap()))
    }
}

impl KeyClient {
    /// Good claims of an assertion with this `jti`.
    pub fn claims(&self, world: &World, jti: &str) -> Value {
        let now = world.clock.now().unix_seconds();
        json!({
            "iss": self.id, "sub": self.id, "aud": ISSUER,
            "iat": now, "exp": now + 60, "jti": jti,
        })
    }

    pub fn assertion(&self, world: &World, jti: &str) -> String {
        self.key.sign(&self.claims(world, jti))
    }
}

impl World {
    pub async fn confidential(
        &self,
        proof: NewClientProof,
        service_scopes: &str,
    ) -> (Client, String) {
        let server = self.authority.server("todo").unwrap();
        let added = oauth::clients::create(
            &self.store,
            &self.clock,
            &OsRandom,
            &server.server,
            NewClient {
                name: "A backend",
                redirect_uris: &[CALLBACK.to_owned()],
                proof,
                service_scopes: ScopeSet::parse_lenient(service_scopes),
            },
        )
        .await
        .unwrap();
        let secret = added.secret.map(|secret| secret.expose().clone());
        (added.client, secret.unwrap_or_default())
    }

    pub async fn secret_client(&self, service_scopes: &str) -> SecretClient {
        let (client, secret) = self
            .confidential(NewClientProof::Secret, service_scopes)
            .await;
        SecretClient {
            id: client.id.to_string(),
            client,
            secret,
        }
    }

    pub async fn key_client(&self, service_scopes: &str) -> KeyClient {
        let key = AssertionKey::generate();
        let proof = NewClientProof::Keys(ClientKeys::Inline(key.jwks()));
        let (client, _) = self.confidential(proof, service_scopes).await;
        KeyClient {
            id: client.id.to_string(),
            key,
        }
    }

    /// As `post_form`, with `Authorization: Basic`.
    pub async fn post_basic(
        &self,
        path: &str,
        id: &str,
        secret: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let request = request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, basic(id, secret))
            .body(Body::from(encode(&owned(fields))))
            .unwrap();
        self.send(request).await
    }

    pub async fn disable_user(&self, user: &UserId) {
        let event = self.event(AuditEventKind::UserDisabled);
        let until = self.now().after(Duration::from_secs(3600));
        let disabled = self.store.disable_user(user, until, event).await;
        assert_eq!(disabled.unwrap(), UserDisabled::Disabled);
    }

    pub async fn block_client(&self, client: &str) {
        let block = EndClient {
            server: ServerSlug::parse("todo").unwrap(),
            client: ClientId::from_text(client),
            now: self.now(),
            issued_before: self.now().after(Duration::from_secs(1)),
            remembered_until: self.now().after(Duration::from_secs(3600)),
            event: self.event(AuditEventKind::ClientBlocked),
        };
        self.store.block_client(block).await.unwrap().unwrap();
    }

    /// The credential of an MCP server.
    pub async fn credential(&self, slug: &str) -> NewCredential {
        create_credential(
            &self.store,
            self.clock.now(),
            &OsRandom,
            &ServerSlug::parse(slug).unwrap(),
            oauth::resource_server::OLDER_CREDENTIAL_LIFETIME,
        )
        .await
        .unwrap()
        .unwrap()
    }
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", base64(format!("{id}:{secret}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    let mut text = base64url(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
