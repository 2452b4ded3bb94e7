//! What gateways tell the authority.

use std::time::Duration;

use axum::body::Body;
use domain::{CallDecision, ServerSettings, WhenFull};
use http::{Method, StatusCode};
use oauth::resource_server::NewCredential;
use serde_json::{Value, json};
use store::{ActivityQueue, CallFilter};

use crate::machines::basic;
use crate::support::{Answer, World, request};

async fn post(world: &World, path: &str, credential: &NewCredential, body: &Value) -> Answer {
    let (id, secret) = (credential.id.as_str(), credential.secret.expose());
    let request = request(Method::POST, path)
        .header("authorization", basic(id, secret))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    world.send(request).await
}

/// A point of P-256 (RFC 7517 appendix A.1).
fn key(kid: &str) -> Value {
    json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

async fn listed(world: &World, path: &str) -> Vec<String> {
    let set = world.get(path).await.json();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_key_of_a_gateway_is_listed_for_its_server_alone_and_for_as_long_as_it_is_said() {
    let world = World::new().await;
    world.add_server("other", ServerSettings::default()).await;
    let credential = world.credential("todo").await;
    let say = async |kid: &str| {
        let body = json!({"identity_key": key(kid)});
        post(&world, "/servers/todo/manifest", &credential, &body).await
    };
    let (of_todo, of_other, of_all) = (
        "/servers/todo/identity/jwks.json",
        "/servers/other/identity/jwks.json",
        "/identity/jwks.json",
    );
    let own = listed(&world, of_all).await;
    assert_eq!(say("gwk_a").await.status, StatusCode::OK);
    assert_eq!(listed(&world, of_todo).await.last().unwrap(), "gwk_a");
    for path in [of_other, of_all] {
        assert_eq!(listed(&world, path).await, own, "{path}");
    }
    world.clock.advance(Duration::from_secs(299));
    assert_eq!(say("gwk_b").await.status, StatusCode::OK);
    assert!(listed(&world, of_todo).await.contains(&"gwk_a".to_owned()));
    world.clock.advance(Duration::from_secs(1));
    assert!(!listed(&world, of_todo).await.contains(&"gwk_a".to_owned()));
    assert!(listed(&world, of_todo).await.contains(&"gwk_b".to_owned()));
}

#[tokio::test]
async fn only_a_key_that_a_gateway_makes_is_listed_and_none_takes_the_id_of_another() {
    let world = World::new().await;
    let credential = world.credential("todo").await;
    let path = "/servers/todo/manifest";
    let own = listed(&world, "/identity/jwks.json").await;
    let with = |name: &str, value: Value| {
        let mut changed = key("gwk_a");
        changed[name] = value;
        json!({ "identity_key": changed })
    };
    for body in [
        with("kid", json!(own[0])),
        with("kid", json!(format!("gwk_{}", "a".repeat(61)))),
        with("kid", json!("gwk_ a")),
        with("kty", json!("RSA")),
        with("x", json!("AAAA")),
        with("n", json!("AQAB")),
        json!({"identity_key": "gwk_a"}),
    ] {
        let answer = post(&world, path, &credential, &body).await;
        answer.assert_error(400, "invalid_request", "gwk_");
    }
    for body in [json!([]), json!({"inventory": []})] {
        let answer = post(&world, path, &credential, &body).await;
        answer.assert_error(400, "invalid_request", "object");
    }
    let good = json!({"identity_key": key("gwk_a")});
    assert_eq!(post(&world, path, &credential, &good).await.status, 200);
    let mut private = key("gwk_b");
    private["d"] = json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
    let body = json!({ "identity_key": private });
    assert_eq!(post(&world, path, &credential, &body).await.status, 200);
    let shown = world.get("/servers/todo/identity/jwks.json").await.text;
    assert!(
        shown.contains("gwk_b") && !shown.contains("870MB6"),
        "{shown}"
    );
    let stolen = with("x", key("x")["y"].clone());
    assert_eq!(post(&world, path, &credential, &stolen).await.status, 400);
}

#[tokio::test]
async fn an_inventory_maps_nothing_new_by_itself_and_says_what_is_hidden() {
    let world = World::new().await;
    let credential = world.credential("todo").await;
    let body =
        json!({"inventory": {"tools": [{"name": "launch", "inputSchema": {"type": "object"}}]}});
    let path = "/servers/todo/manifest";
    let answer = post(&world, path, &credential, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["hidden"], json!(["launch"]));
    let server = world.authority.server("todo").unwrap();
    assert!(!server.server.policy.tools.contains_key("launch"));
}

#[tokio::test]
async fn a_server_that_protects_itself_hears_which_of_its_scopes_nobody_can_have() {
    let world = World::new().await;
    let credential = world.credential("todo").await;
    let path = "/servers/todo/manifest";
    let declared = world.authority.server("todo").unwrap();
    let declared = declared.server.policy.scopes[0].name.to_string();
    let mut body = json!({
        "inventory": {"tools": [{"name": "launch", "inputSchema": {"type": "object"}}]},
        "scopes": {"todo:extra": "More"},
        "tools": {"launch": declared},
    });
    body["scopes"][&declared] = json!("");
    let answer = post(&world, path, &credential, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["undeclared_scopes"], json!(["todo:extra"]));
    // It has a policy, and what is new is for a person to map.
    assert_eq!(answer.json()["hidden"], json!(["launch"]));
    let server = world.authority.server("todo").unwrap();
    assert!(!server.server.policy.tools.contains_key("launch"));
    body["scopes"] = json!(["todo:extra"]);
    let answer = post(&world, path, &credential, &body).await;
    answer.assert_error(400, "invalid_request", "scopes must be an object");
}

#[tokio::test]
async fn sixty_four_gateways_of_a_server_have_keys_and_the_next_is_refused() {
    let world = World::new().await;
    let todo = world.credential("todo").await;
    let path = "/servers/todo/manifest";
    for number in 0..64 {
        let body = json!({"identity_key": key(&format!("gwk_{number}"))});
        assert_eq!(post(&world, path, &todo, &body).await.status, 200);
    }
    let one_more = json!({"identity_key": key("gwk_64")});
    let answer = post(&world, path, &todo, &one_more).await;
    answer.assert_error(400, "invalid_request", "too many gateways");
    // One that has a place keeps it.
    let again = json!({"identity_key": key("gwk_63")});
    assert_eq!(post(&world, path, &todo, &again).await.status, 200);
    // Its id may be so long and no longer.
    world.clock.advance(Duration::from_secs(24 * 3600));
    for (length, status) in [(64, 200), (65, 400)] {
        let kid = format!("gwk_{}", "x".repeat(length - 4));
        let answer = post(&world, path, &todo, &json!({"identity_key": key(&kid)})).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

/// Each, with the credential of another server and without one.
#[tokio::test]
async fn a_gateway_of_another_server_tells_nothing_here() {
    let world = World::new().await;
    world.add_server("other", ServerSettings::default()).await;
    let todo = world.credential("todo").await;
    let other = world.credential("other").await;
    let call = json!({"at": 0, "method": "tools/call", "outcome": "allowed", "reason": "", "status": 200, "duration_us": 1});
    for (name, body) in [
        ("manifest", json!({"identity_key": key("gwk_a")})),
        ("activity", json!({"calls": [call]})),
    ] {
        let path = format!("/servers/todo/{name}");
        let answer = post(&world, &path, &other, &body).await;
        answer.assert_error(401, "invalid_client", "credential");
        let answer = world.post_json(&path, &body).await;
        answer.assert_error(401, "invalid_client", "credential");
        assert_eq!(post(&world, &path, &todo, &body).await.status, 200);
    }
    let most = json!({"calls": vec![call.clone(); 512]});
    let answer = post(&world, "/servers/todo/activity", &todo, &most).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let many = json!({"calls": vec![call; 513]});
    let answer = post(&world, "/servers/todo/activity", &todo, &many).await;
    answer.assert_error(400, "invalid_request", "512");
}

/// A call as a gateway tells it.
fn told() -> Value {
    json!({
        "at": 0, "subject": "usr_1", "client": "cli_1", "method": "tools/call", "name": "add", "outcome": "allowed",
        "reason": "observed only", "status": 200, "duration_us": 90, "decision": "would_be_denied",
        "cause": "unmapped", "rule": "default: deny", "policy_revision": 7, "judged_us": 50,
        "arguments_digest": "kQ", "arguments": r#"{"/list":"home"}"#,
    })
}

#[tokio::test]
async fn what_a_gateway_tells_of_a_call_is_kept_as_far_as_it_can_be_true() {
    let mut world = World::new().await;
    let log = world.keep_activity(ActivityQueue::default()).await;
    let credential = world.credential("todo").await;
    let with = |member: &str, value: Value| {
        let mut call = told();
        call[member] = value;
        call
    };
    let long = format!(r#"{{"/a":"{}"}}"#, "x".repeat(1024 - 9));
    let calls = [
        told(),
        with("decision", json!("a word of a later release")),
        with("arguments", json!("no object")),
        with("arguments", json!(r#"{"a":1}{"b":2}"#)),
        with("arguments", json!(long)),
        with("arguments", json!(long.replacen('x', "xx", 1))),
        with("rule", json!("y\u{0}".repeat(400))),
        with("cause", json!("unmapped\u{1b}]0;hush\u{7}\n  900  never")),
        with("cause", json!("Unmapped")),
        with("cause", json!("caller_left")),
        // As a release before this one tells it.
        json!({"at": 0, "method": "GET", "outcome": "denied", "reason": "", "status": 403, "duration_us": 1}),
    ];
    let answer = post(
        &world,
        "/servers/todo/activity",
        &credential,
        &json!({"calls": calls}),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    log.close().await;
    let log = world.keep_activity(ActivityQueue::default()).await;
    let kept = log.look(&CallFilter::default(), None).await.unwrap().calls;
    assert_eq!(kept.len(), 11);
    let first = &kept[0];
    assert_eq!(first.decision, Some(CallDecision::WouldBeDenied));
    assert_eq!(first.cause.as_deref(), Some("unmapped"));
    assert_eq!(first.rule.as_deref(), Some("default: deny"));
    assert_eq!(
        (first.policy_revision, first.judged_us),
        (Some(7), Some(50))
    );
    assert_eq!(first.arguments_digest.as_deref(), Some("kQ"));
    assert_eq!(first.arguments.as_deref(), Some(r#"{"/list":"home"}"#));
    assert_eq!(kept[1].decision, None);
    assert_eq!((&kept[2].arguments, &kept[3].arguments), (&None, &None));
    assert_eq!(kept[4].arguments, Some(long));
    assert_eq!(kept[5].arguments, None);
    assert_eq!(kept[6].rule, Some("y".repeat(400)));
    assert_eq!((&kept[7].cause, &kept[8].cause), (&None, &None));
    assert_eq!(kept[9].cause.as_deref(), Some("caller_left"));
    assert_eq!((kept[10].decision, &kept[10].rule), (None, &None));
    log.close().await;
}

#[tokio::test]
async fn where_no_call_may_be_lost_a_report_without_room_is_to_be_sent_again() {
    for when_full in [WhenFull::Refuse, WhenFull::Drop] {
        let mut world = World::new().await;
        let queue = ActivityQueue {
            records_max: 4,
            when_full,
        };
        let log = world.keep_activity(queue).await;
        let credential = world.credential("todo").await;
        // As when nothing can be written.
        log.close().await;
        let report = json!({"calls": [told()]});
        let answer = post(&world, "/servers/todo/activity", &credential, &report).await;
        match when_full {
            WhenFull::Refuse => {
                answer.assert_error(503, "temporarily_unavailable", "too busy");
                assert_eq!(answer.headers["retry-after"], "5");
                assert_eq!(log.dropped(), 0);
            }
            WhenFull::Drop => {
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(log.dropped(), 1);
            }
        }
    }
}
