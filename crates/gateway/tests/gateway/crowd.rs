use std::time::Duration;

use gateway::Limits;
use http::StatusCode;
use serde_json::{from_value, json};

use crate::support::{Rig, RigSettings};

#[tokio::test]
async fn one_call_too_many_of_one_person_is_429_and_another_person_is_served() {
    let rig = Rig::with(RigSettings {
        limits: Limits {
            open_calls_max: 2,
            head_timeout: Duration::from_secs(5),
            ..Limits::default()
        },
        ..RigSettings::default()
    })
    .await;
    let alice = rig.caller_as("usr_alice", "cli_1", "note:read");
    let held: Vec<_> = (0..2)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.call_tool("slow", json!({"ms": 600})).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(250)).await;

    let refused = alice.call_tool("echo", json!({})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    let words = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(words.contains("wait for one to end"), "{words}");

    let bob = rig.caller_as("usr_bob", "cli_1", "note:read");
    assert_eq!(
        bob.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );

    for call in held {
        assert_eq!(call.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(
        alice.call_tool("echo", json!({})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_call_for_which_there_is_no_place_is_not_counted_under_a_rate_limit() {
    let rig = Rig::with(RigSettings {
        limits: Limits {
            open_calls_max: 2,
            ..Limits::default()
        },
        ..RigSettings::default()
    })
    .await;
    rig.publish(|server| {
        let limits = json!([{"id": "lim_1", "per": "person", "rate": "4 per 1h"}]);
        server.policy.rate_limits = from_value(limits).unwrap();
    });
    let alice = rig.caller("note:read");
    let held: Vec<_> = (0..2)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.call_tool("slow", json!({"ms": 600})).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(250)).await;
    for _ in 0..5 {
        let refused = alice.call_tool("echo", json!({})).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        let words = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(words.contains("wait for one to end"), "{words}");
    }
    for call in held {
        assert_eq!(call.await.unwrap().status, StatusCode::OK);
    }
    for expected in [
        StatusCode::OK,
        StatusCode::OK,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        let answer = alice.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, expected);
    }
}
