//! Tokens of machines that cannot do OAuth, exchanged at the door.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock as _, base64url};
use http::StatusCode;
use sdk::{Exchanging, OpaqueRefusal, OpaqueTokens};
use serde_json::json;

use crate::support::{Rig, RigSettings, SigningKey};

/// An authority that knows one service token.
#[derive(Debug, Default)]
struct Authority {
    asked: AtomicUsize,
    down: AtomicBool,
    gone: AtomicBool,
    /// The access token that the good one stands for.
    access_token: Mutex<String>,
}

impl OpaqueTokens for Authority {
    fn exchange<'a>(&'a self, slug: &'a str, token: &'a str) -> Exchanging<'a> {
        assert_eq!(slug, "notes");
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) {
                return Err(OpaqueRefusal::Unavailable("the disk is full".into()));
            }
            if token != good() || self.gone.load(Ordering::SeqCst) {
                return Err(OpaqueRefusal::Invalid);
            }
            Ok(self.access_token.lock().unwrap().clone())
        })
    }
}

fn good() -> String {
    token(7)
}

fn token(byte: u8) -> String {
    format!("pct_{}", base64url([byte; 32]))
}

async fn rig() -> (Rig, Arc<Authority>) {
    let authority = Arc::new(Authority::default());
    let rig = Rig::with(RigSettings {
        opaque_tokens: Some(Arc::clone(&authority) as Arc<dyn OpaqueTokens>),
        ..RigSettings::default()
    })
    .await;
    issue(&rig, &authority, "note:read");
    (rig, authority)
}

fn issue(rig: &Rig, authority: &Authority, scope: &str) {
    *authority.access_token.lock().unwrap() = rig.token(scope);
}

fn asked(authority: &Authority) -> usize {
    authority.asked.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_service_token_calls_what_it_may_and_never_reaches_the_upstream() {
    let (rig, authority) = rig().await;
    let client = rig.stranger().with_bearer(&good());
    for _ in 0..3 {
        let status = client.call_tool("echo", json!({})).await.status;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(asked(&authority), 1, "kept until its access token ends");
    for request in rig.echo.requests() {
        let told = format!("{:?}", request.headers);
        assert!(!told.contains("pct_"), "{told}");
    }
    let bad = rig.stranger().with_bearer(&token(8));
    let answer = bad.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

#[tokio::test]
async fn what_does_not_look_like_one_is_never_asked_about() {
    let (rig, authority) = rig().await;
    for text in ["pct_", "pct_short", &good()[..46], &format!("{}A", good())] {
        let client = rig.stranger().with_bearer(text);
        let status = client.call_tool("echo", json!({})).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
    }
    assert_eq!(asked(&authority), 0);
    let client = rig.stranger().with_bearer(&good());
    let status = client.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(asked(&authority), 1);
}

#[tokio::test]
async fn a_revoked_service_token_is_refused_at_its_next_call_though_it_was_kept() {
    let (rig, authority) = rig().await;
    let client = rig.stranger().with_bearer(&good());
    let status = async || client.call_tool("echo", json!({})).await.status;
    assert_eq!(status().await, StatusCode::OK);
    let until = rig.clock.now().after(Duration::from_secs(3600));
    rig.publish(|server| {
        server.revocations.grants = [("grt_other".into(), until)].into_iter().collect();
    });
    assert_eq!(status().await, StatusCode::OK, "another grant");
    rig.publish(|server| {
        server.revocations.grants = [("grt_1".into(), until)].into_iter().collect();
    });
    assert_eq!(
        status().await,
        StatusCode::UNAUTHORIZED,
        "the authority had not heard of it"
    );
    authority.gone.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked(&authority), 3, "what is gone is asked about once");
    // When its access token has ended it is asked about anew, and is still gone.
    rig.clock.advance(Duration::from_secs(3700));
    rig.publish(|_| {});
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&authority), 4);
}

#[tokio::test]
async fn a_service_token_whose_owner_got_other_roles_is_exchanged_anew_at_once() {
    let (rig, authority) = rig().await;
    let client = rig.stranger().with_bearer(&good());
    let status = async || client.call_tool("echo", json!({})).await.status;
    assert_eq!(status().await, StatusCode::OK);
    let cut_off_for = |subject: &str| {
        rig.publish(|server| {
            server.revocations.standings.insert(subject.into(), 7);
        });
    };
    cut_off_for("usr_bob");
    assert_eq!(status().await, StatusCode::OK);
    assert_eq!(asked(&authority), 1, "somebody else's roles");
    cut_off_for("usr_alice");
    let mut claims = rig.claims("note:read");
    claims["standing"] = json!(7);
    *authority.access_token.lock().unwrap() = rig.key.sign("at+jwt", &claims);
    for _ in 0..2 {
        assert_eq!(status().await, StatusCode::OK);
    }
    assert_eq!(asked(&authority), 2, "the new one is kept like the first");
}

#[tokio::test]
async fn an_access_token_whose_owner_got_other_roles_is_refused_until_it_is_refreshed() {
    let (rig, _) = rig().await;
    let client = rig.caller("note:read");
    let status = async || client.call_tool("echo", json!({})).await.status;
    assert_eq!(status().await, StatusCode::OK);
    rig.publish(|server| {
        server.revocations.standings.insert("usr_alice".into(), 7);
    });
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_service_token_goes_on_when_its_access_token_has_ended() {
    let (rig, authority) = rig().await;
    let client = rig.stranger().with_bearer(&good());
    let status = async || client.call_tool("echo", json!({})).await.status;
    assert_eq!(status().await, StatusCode::OK);
    rig.clock.advance(Duration::from_secs(3700));
    rig.publish(|_| {});
    issue(&rig, &authority, "note:read");
    assert_eq!(status().await, StatusCode::OK);
    assert_eq!(asked(&authority), 2);
}

#[tokio::test]
async fn an_outage_of_the_authority_is_503_and_what_is_kept_goes_on() {
    let (rig, authority) = rig().await;
    let kept = rig.stranger().with_bearer(&good());
    let status = kept.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
    authority.down.store(true, Ordering::SeqCst);
    let status = kept.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
    let other = rig.stranger().with_bearer(&token(8));
    let answer = other.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.headers.contains_key("www-authenticate"));
    authority.down.store(false, Ordering::SeqCst);
    let status = other.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "now it is known");
    // An access token whose key has not reached us is our own trouble, too.
    let unknown = SigningKey::generate("access-9");
    *authority.access_token.lock().unwrap() = unknown.sign("at+jwt", &rig.claims("note:read"));
    rig.clock.advance(Duration::from_secs(3700));
    rig.publish(|_| {});
    let status = kept.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_flood_of_made_up_service_tokens_asks_slowly_and_turns_nobody_away_for_good() {
    let (rig, authority) = rig().await;
    let known = rig.stranger().with_bearer(&good());
    let status = known.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
    let mut answers = Vec::new();
    for number in 0..1050_u16 {
        let [high, low] = number.to_be_bytes();
        let mut bytes = [200; 32];
        (bytes[0], bytes[1]) = (high, low);
        let client = rig
            .stranger()
            .with_bearer(&format!("pct_{}", base64url(bytes)));
        answers.push(client.call_tool("echo", json!({})).await.status);
    }
    assert_eq!(asked(&authority), 1000, "the clock stands still");
    let refused = |status: &&StatusCode| **status == StatusCode::UNAUTHORIZED;
    assert_eq!(answers.iter().filter(refused).count(), 999);
    let later = |status: &&StatusCode| **status == StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(answers.iter().filter(later).count(), 51);
    let status = known.call_tool("echo", json!({})).await.status;
    assert_eq!(status, StatusCode::OK);
}
