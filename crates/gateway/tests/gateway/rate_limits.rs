use std::time::Duration;

use authz::{Mode, Policy};
use gateway::{Judged, Outcome};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::{Answer, McpClient};

use crate::support::{Rig, policy};

/// A rig whose policy has these limits.
async fn limited(limits: Value) -> Rig {
    let rig = Rig::start().await;
    limit(&rig, &limits, |_| {});
    rig
}

fn limit(rig: &Rig, limits: &Value, change: impl FnOnce(&mut Policy)) {
    rig.publish(|server| {
        server.policy.rate_limits = serde_json::from_value(limits.clone()).unwrap();
        change(&mut server.policy);
    });
}

fn per_person(rate: &str) -> Value {
    json!([{"id": "lim_1", "per": "person", "rate": rate}])
}

async fn call(client: &McpClient, tool: &str) -> Answer {
    client.call_tool(tool, json!({})).await
}

async fn status(client: &McpClient, tool: &str) -> StatusCode {
    call(client, tool).await.status
}

/// How many calls of each kind reached the upstream.
fn forwarded(rig: &Rig) -> usize {
    rig.echo.requests().len()
}

#[tokio::test]
async fn the_last_call_of_a_limit_passes_the_next_is_429_and_passes_when_it_has_waited() {
    let rig = limited(per_person("3 per 30s")).await;
    let alice = rig.caller("note:read");
    for _ in 0..3 {
        assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    }
    let before = forwarded(&rig);
    let refused = call(&alice, "echo").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "10");
    assert!(!refused.headers.contains_key("www-authenticate"));
    let error = &refused.response()["error"];
    assert_eq!(error["code"], -32603);
    assert_eq!(error["message"], "Called too often; try again in 10 s");
    assert_eq!(error["data"]["retry_after"], 10);
    assert_eq!(refused.response()["id"], 1);
    assert_eq!(forwarded(&rig), before, "the upstream is not asked");
    let bob = rig.caller_as("usr_bob", "cli_1", "note:read");
    assert_eq!(status(&bob, "echo").await, StatusCode::OK);

    rig.clock.advance(Duration::from_millis(9_999));
    rig.publisher.contact();
    let refused = call(&alice, "echo").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    rig.clock.advance(Duration::from_millis(1));
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    let again = status(&alice, "echo").await;
    assert_eq!(again, StatusCode::TOO_MANY_REQUESTS);

    for _ in 0..3 {
        rig.next_record().await;
    }
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::Rejected);
    assert_eq!(record.status, 429);
    assert_eq!(record.name.as_deref(), Some("echo"));
    assert_eq!(
        record.reason,
        "rate_limited (lim_1: 3 per 30s, for each person: all calls)"
    );
    let shown = &error["data"]["correlation_id"];
    assert_eq!(record.correlation_id.as_deref(), shown.as_str());
}

#[tokio::test]
async fn both_eras_are_told_the_same_and_what_only_connects_or_goes_on_is_not_counted() {
    let rig = limited(per_person("2 per 1h")).await;
    let mut alice = rig.caller("note:read");
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    let modern = || alice.modern("tools/call", json!({"name": "echo", "arguments": {}}));
    assert_eq!(modern().await.status, StatusCode::OK);
    let refused = modern().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1800");
    assert_eq!(refused.response()["error"]["code"], -32603);
    // Lists and reading count like calls.
    for (method, params) in [
        ("tools/list", json!({})),
        ("resources/read", json!({"uri": "note://1"})),
        ("prompts/get", json!({"name": "summarize"})),
    ] {
        let refused = alice.request(method, params).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{method}");
    }
    assert_eq!(alice.initialize().await.status, StatusCode::OK);
    let ping = alice.request("ping", json!({})).await;
    assert_ne!(ping.status, StatusCode::TOO_MANY_REQUESTS);
    let cancelled = alice.notify("notifications/cancelled").await;
    assert_ne!(cancelled.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_limit_of_tools_counts_them_together_and_no_other() {
    let limits = json!([{"id": "lim_1", "per": "person_and_client", "rate": "2 per 1h",
        "what": {"tools": ["echo", "count"]}}]);
    let rig = limited(limits).await;
    let alice = rig.caller("note:read");
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    assert_eq!(status(&alice, "count").await, StatusCode::OK);
    for tool in ["echo", "count"] {
        let refused = status(&alice, tool).await;
        assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS, "{tool}");
    }
    assert_eq!(status(&alice, "slow").await, StatusCode::OK);
    let list = alice.request("tools/list", json!({})).await;
    assert_eq!(list.status, StatusCode::OK);
    let elsewhere = rig.caller_as("usr_alice", "cli_2", "note:read");
    assert_eq!(status(&elsewhere, "echo").await, StatusCode::OK);
}

#[tokio::test]
async fn of_calls_at_once_exactly_so_many_pass_as_may_and_each_node_counts_by_itself() {
    let limits = json!([{"id": "lim_1", "per": "everybody", "rate": "20 per 1h"}]);
    for _ in 0..2 {
        let rig = limited(limits.clone()).await;
        let calls: Vec<_> = (0..60)
            .map(|index| {
                let person = format!("usr_{}", index % 4);
                let client = rig.caller_as(&person, "cli_1", "note:read");
                tokio::spawn(async move { status(&client, "echo").await })
            })
            .collect();
        let mut passed = 0;
        for call in calls {
            match call.await.unwrap() {
                StatusCode::OK => passed += 1,
                refused => assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS),
            }
        }
        assert_eq!(passed, 20);
        assert_eq!(forwarded(&rig), 20);
    }
}

#[tokio::test]
async fn whoever_calls_too_often_learns_nothing_of_tools_that_they_may_not_call() {
    let limits = json!([{"id": "lim_1", "per": "person", "rate": "1 per 1h"},
        {"id": "lim_2", "per": "person", "rate": "1 per 1h", "what": {"tools": ["secret"]}}]);
    let rig = limited(limits).await;
    let alice = rig.caller("note:read");
    let told = async |tool: &str| {
        let answer = call(&alice, tool).await;
        let mut body = answer.response();
        body["error"]["data"] = json!({});
        let body = body.to_string().replace(tool, "TOOL");
        (
            answer.status,
            body,
            answer.headers.contains_key("retry-after"),
        )
    };
    let unknown = told("nothing_here").await;
    assert_eq!(unknown.0, StatusCode::OK);
    // Denied calls are not counted: the one call that may be made is there still.
    for _ in 0..5 {
        assert_eq!(told("secret").await, unknown);
        assert_eq!(told("delete_note").await, unknown);
    }
    assert_eq!(status(&alice, "write_note").await, StatusCode::FORBIDDEN);
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    let refused = status(&alice, "echo").await;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    // And over the limit they are answered as they were.
    for tool in ["secret", "delete_note", "nothing_here"] {
        assert_eq!(told(tool).await, unknown, "{tool}");
    }
    assert_eq!(status(&alice, "write_note").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn in_observe_mode_a_limit_is_only_told() {
    const RULE: &str = "lim_1: 1 per 1h, for each person: all calls";
    let rig = Rig::start().await;
    limit(&rig, &per_person("1 per 1h"), |policy| {
        policy.mode = Mode::Observe
    });
    let alice = rig.caller("note:read");
    for _ in 0..3 {
        assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    }
    assert_eq!(rig.next_record().await.reason, "tool echo: note:read");
    for _ in 0..2 {
        let record = rig.next_record().await;
        assert_eq!(record.outcome, Outcome::Allowed);
        assert_eq!(
            record.reason,
            "observed only; would be refused: rate_limited (lim_1: 1 per 1h, for each person: all calls)"
        );
        assert_eq!(record.judged, Some(Judged::WouldBeDenied));
        assert_eq!(record.cause, Some("rate_limited"));
        assert_eq!(record.rule.as_deref(), Some(RULE));
    }
    limit(&rig, &per_person("1 per 1h"), |_| {});
    let refused = status(&alice, "echo").await;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    let record = rig.next_record().await;
    assert_eq!(record.judged, Some(Judged::Denied));
    assert_eq!(record.cause, Some("rate_limited"));
    assert_eq!(record.rule.as_deref(), Some(RULE));
}

#[tokio::test]
async fn a_policy_that_changes_takes_nothing_back_of_what_was_counted() {
    let rig = limited(per_person("2 per 1h")).await;
    let alice = rig.caller("note:read");
    for _ in 0..2 {
        assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    }
    let refused = StatusCode::TOO_MANY_REQUESTS;
    limit(&rig, &per_person("2 per 1h"), |policy| {
        policy.tools.remove("count");
    });
    assert_eq!(status(&alice, "echo").await, refused);
    // Another rate is in force for the next call, and the hour that was called away is so under it as well.
    limit(&rig, &per_person("3600 per 1h"), |_| {});
    let answer = call(&alice, "echo").await;
    assert_eq!(answer.status, refused);
    assert_eq!(answer.headers["retry-after"], "1");
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    // Another limit has counted nothing, and without one nothing is refused.
    let other = json!([{"id": "lim_2", "per": "person", "rate": "1 per 1h"}]);
    limit(&rig, &other, |_| {});
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    assert_eq!(status(&alice, "echo").await, refused);
    limit(&rig, &json!([]), |_| {});
    assert_eq!(status(&alice, "echo").await, StatusCode::OK);
    assert!(policy().rate_limits.is_empty());
}
