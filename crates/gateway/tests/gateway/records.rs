use gateway::{ListCount, Outcome};
use serde_json::json;

use crate::support::{Rig, SLUG};

#[tokio::test]
async fn each_call_leaves_one_record_that_says_how_it_ended_and_why() {
    let rig = Rig::start().await;
    let caller = rig.caller("note:read").with_header("user-agent", "tests/1");
    caller.call_tool("echo", json!({"secret": "canary"})).await;
    let record = rig.next_record().await;
    assert_eq!(&*record.server, SLUG);
    assert_eq!(record.subject.as_deref(), Some("usr_alice"));
    assert_eq!(record.client.as_deref(), Some("cli_1"));
    assert_eq!(record.grant.as_deref(), Some("grt_1"));
    assert_eq!(record.user_agent.as_deref(), Some("tests/1"));
    assert_eq!(record.method, "tools/call");
    assert_eq!(record.name.as_deref(), Some("echo"));
    assert_eq!(record.outcome, Outcome::Allowed);
    assert_eq!(record.reason, "tool echo: note:read");
    assert_eq!(record.status, 200);
    assert!(record.duration_us > 0);
    assert_eq!(record.correlation_id, None);
    assert!(!format!("{record:?}").contains("canary"));

    let answer = caller.call_tool("secret", json!({})).await;
    let shown = answer.response()["error"]["data"]["correlation_id"].clone();
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::Denied);
    assert_eq!(record.correlation_id.as_deref(), shown.as_str());
    assert!(
        record.reason.contains("tool secret: denied"),
        "{}",
        record.reason
    );

    caller.call_tool("write_note", json!({})).await;
    assert_eq!(rig.next_record().await.outcome, Outcome::NeedsScope);

    rig.stranger().call_tool("echo", json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::Unauthenticated);
    assert_eq!(record.subject, None);
    assert_eq!(record.method, "POST");

    caller.post(&json!([])).await;
    assert_eq!(rig.next_record().await.outcome, Outcome::Rejected);

    caller.request("tools/list", json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.list, Some(ListCount { shown: 1, total: 3 }));
}

#[tokio::test]
async fn a_list_in_a_stream_is_counted_too() {
    let rig = Rig::with_echo(|echo| echo.answer_as_sse = true).await;
    rig.caller("note:read")
        .request("tools/list", json!({}))
        .await;
    let record = rig.next_record().await;
    assert_eq!(record.list, Some(ListCount { shown: 1, total: 3 }));
    assert_eq!(record.status, 200);
}
