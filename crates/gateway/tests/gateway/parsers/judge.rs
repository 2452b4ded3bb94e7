use std::collections::HashMap;
use std::sync::Arc;

use authz::{FeedSnapshot, Mode, Revocations, ServerSnapshot};
use base::{Clock as _, Secret};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use sdk::{
    Addresses, AskedAddress, InForce, ProtectedServer, ProtectedServerSettings, VerifiedCaller,
    policy_feed,
};
use serde_json::json;
use testkit::{MovableClock, SeededRandom};
use wire::mcp::{Limits, read_message};
use wire::oauth::JwkSet;

use super::generate::Sample;
use super::told::Told;
use crate::support::{SLUG, SigningKey, policy};

const ORIGIN: &str = "https://notes.example";

/// What a forwarder sends, beside what was judged.
pub struct Sent {
    pub judged: Told,
    pub bytes: Vec<u8>,
}

/// The steps that the gateway takes between a request and its forwarder, for a caller who was verified once.
pub struct Judge {
    server: ProtectedServer,
    caller: Arc<VerifiedCaller>,
    in_force: Arc<InForce>,
    asked: AskedAddress,
}

impl Judge {
    /// With the policy of the other tests; in observe mode it lets pass what it would deny.
    pub async fn new(mode: Mode) -> Self {
        let clock = MovableClock::default();
        let (publisher, feed) = policy_feed(Arc::new(clock.clone()));
        let key = SigningKey::generate("access-1");
        let resource = format!("{ORIGIN}/mcp/{SLUG}");
        let issuer = format!("{ORIGIN}/servers/{SLUG}");
        let server = ServerSnapshot {
            slug: SLUG.into(),
            name: "Notes".into(),
            issuer: issuer.clone(),
            resource: resource.clone(),
            former_resources: Vec::new(),
            former_issuers: Vec::new(),
            policy: authz::Policy { mode, ..policy() },
            policy_revision: 1,
            keys: JwkSet {
                keys: vec![key.jwk()],
            },
            revocations: Revocations::default(),
            documentation_url: None,
            session_mac_key: Secret::new(vec![9; 32]),
            argument_digest_key: Secret::new(vec![8; 32]),
        };
        publisher.publish(Arc::new(FeedSnapshot {
            change: 1,
            servers: HashMap::from([(SLUG.to_owned(), Arc::new(server))]),
        }));
        let server = ProtectedServer::new(
            ProtectedServerSettings {
                slug: SLUG.into(),
                path: format!("/mcp/{SLUG}"),
                request_body_bytes_max: 1024 * 1024,
            },
            Arc::new(Addresses::new(ORIGIN, &[], &[]).unwrap()),
            feed,
            Arc::new(clock.clone()),
            Arc::new(SeededRandom::new(7)),
        );
        let now = clock.now();
        let claims = json!({
            "iss": issuer, "sub": "usr_alice", "aud": resource, "client_id": "cli_1", "grant_id": "grt_1",
            "exp": now.unix_seconds() + 3600, "iat": now.unix_seconds(), "jti": "jti-1", "scope": "note:read note:write",
        });
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", key.sign("at+jwt", &claims));
        headers.insert(header::AUTHORIZATION, bearer.parse().unwrap());
        let asked = server.canonical_address(&Arc::from(ORIGIN));
        let in_force = server.in_force(now).unwrap();
        let caller = server
            .authenticate(&headers, &asked, &in_force, now)
            .await
            .unwrap();
        Self {
            server,
            caller,
            in_force,
            asked,
        }
    }

    /// What is sent upstream for a request, or `None` when it is refused.
    pub async fn judge(&self, sample: &Sample) -> Option<Sent> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in &sample.headers {
            // What is no header value does not get past the line.
            let value = HeaderValue::from_bytes(value).ok()?;
            headers.append(HeaderName::from_static(name), value);
        }
        let body = Full::new(sample.body.clone().into());
        let call = self
            .server
            .read_call(request.into_parts().0, body)
            .await
            .ok()?;
        let judged = {
            let message = call.message().unwrap();
            Told::judged(message, &authz::read_call(message))
        };
        let permitted = self
            .server
            .authorize(
                Arc::clone(&self.caller),
                Arc::clone(&self.in_force),
                &self.asked,
                call,
            )
            .ok()?;
        let bytes = permitted.body().to_vec();
        // Who reads it here once more, as the bridge to a child process does, reads the same.
        let again = read_message(&bytes, &Limits::default());
        assert_eq!(again.as_ref().ok(), permitted.message());
        Some(Sent { judged, bytes })
    }
}
