//! For the tests of a protected server: an issuer of their own, whose tokens are good where its keys are given.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, OsRandom, SystemClock, Timestamp, base64url, random_token};
use serde_json::json;
use wire::oauth::{Jwk, JwkSet};

use crate::IssuerKeys;

/// What is in a token unless something else is asked for.
const LIFETIME: Duration = Duration::from_secs(600);
const ISSUER: &str = "https://issuer.test";

/// An issuer with a key that nobody else has and that is gone when it is dropped.
///
/// ```
/// # use portcullis::testing::TestIssuer;
/// # use portcullis::{LocalPolicy, Protection};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = TestIssuer::new();
/// let protection = Protection::for_resource("https://todo.example/mcp")
///     .policy(LocalPolicy::new().scope("todo:read", "See todos").tool("list", "todo:read"))
///     .issuer(issuer.issuer(), issuer.keys())
///     .start()?;
/// let token = issuer.token("https://todo.example/mcp").scope("todo:read").mint();
/// # let _ = (protection, token);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestIssuer {
    issuer: String,
    key: EcdsaKeyPair,
    key_id: String,
}

/// A token to be minted. What is not set is as in a good one.
#[derive(Debug, Clone)]
pub struct TestToken<'a> {
    by: &'a TestIssuer,
    issuer: String,
    resource: String,
    subject: String,
    client: String,
    client_proven: bool,
    scope: String,
    begins: Timestamp,
    ends: Timestamp,
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl TestIssuer {
    /// One that is called `https://issuer.test`.
    pub fn new() -> Self {
        Self::named(ISSUER)
    }

    /// One that is called so.
    pub fn named(issuer: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("a P-256 key can always be made");
        Self {
            issuer: issuer.to_owned(),
            key,
            key_id: random_token(&OsRandom, "test_"),
        }
    }

    /// Its `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its public key, for [`ProtectionBuilder::issuer`](crate::ProtectionBuilder::issuer).
    pub fn keys(&self) -> IssuerKeys {
        IssuerKeys::these(self.key_set())
    }

    /// The same as a JWK Set, for whoever serves it.
    pub fn key_set(&self) -> JwkSet {
        let point = self.key.public_key().as_ref();
        // Uncompressed: 4, then both coordinates.
        let (x, y) = (&point[1..33], &point[33..65]);
        JwkSet {
            keys: vec![Jwk {
                kty: "EC".to_owned(),
                kid: Some(self.key_id.clone()),
                key_use: Some("sig".to_owned()),
                alg: Some("ES256".to_owned()),
                crv: Some("P-256".to_owned()),
                x: Some(base64url(x)),
                y: Some(base64url(y)),
                n: None,
                e: None,
            }],
        }
    }

    /// A token for this resource, of `usr_test` through `cli_test`, without a scope, good for ten minutes from now.
    pub fn token(&self, resource: &str) -> TestToken<'_> {
        let now = SystemClock.now();
        TestToken {
            by: self,
            issuer: self.issuer.clone(),
            resource: resource.to_owned(),
            subject: "usr_test".to_owned(),
            client: "cli_test".to_owned(),
            client_proven: false,
            scope: String::new(),
            begins: now,
            ends: now.after(LIFETIME),
        }
    }
}

impl TestToken<'_> {
    /// Of this person.
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = subject.to_owned();
        self
    }

    /// Through this client.
    pub fn client(mut self, client: &str) -> Self {
        self.client = client.to_owned();
        self
    }

    /// Through a client that is proven to be the one of its id: what rules give to the clients of a host they give to these alone.
    pub fn client_proven(mut self) -> Self {
        self.client_proven = true;
        self
    }

    /// With these scopes, with spaces between.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = scope.to_owned();
        self
    }

    /// Of another issuer, signed by this one all the same.
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = issuer.to_owned();
        self
    }

    /// Issued at this moment of another clock, good for ten minutes from then.
    pub fn at(mut self, now: Timestamp) -> Self {
        (self.begins, self.ends) = (now, now.after(LIFETIME));
        self
    }

    /// One that ended a minute ago.
    pub fn expired(mut self) -> Self {
        self.ends = self.begins.before(Duration::from_secs(60));
        self.begins = self.ends.before(LIFETIME);
        self
    }

    /// Signs it.
    pub fn mint(self) -> String {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": self.by.key_id});
        let claims = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.resource,
            "exp": self.ends.unix_seconds(),
            "iat": self.begins.unix_seconds(),
            "jti": random_token(&OsRandom, "jti_"),
            "client_id": self.client,
            "client_proven": self.client_proven,
            "scope": self.scope,
            "grant_id": random_token(&OsRandom, "gra_"),
        });
        let (header, claims) = (header.to_string(), claims.to_string());
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.by.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("a key in memory can always sign");
        format!("{signed}.{}", base64url(signature.as_ref()))
    }
}
