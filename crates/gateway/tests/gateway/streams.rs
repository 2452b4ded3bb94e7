use std::time::{Duration, Instant};

use base::Clock as _;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Rig, RigSettings, SLUG, head, scripted};

async fn next(response: &mut Response<Incoming>) -> Option<String> {
    let frame = tokio::time::timeout(Duration::from_secs(5), response.body_mut().frame())
        .await
        .expect("something happens within 5 s")?;
    let data = frame.ok()?.into_data().ok()?;
    Some(String::from_utf8(data.to_vec()).unwrap())
}

/// A listening stream of alice's, its first event read.
async fn listening(rig: &Rig) -> Response<Incoming> {
    let mut alice = rig.caller("note:read");
    alice.initialize().await;
    let mut stream = alice.send(Method::GET, Bytes::new()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    let event = next(&mut stream).await.unwrap();
    assert!(
        event.contains("notifications/tools/list_changed"),
        "{event}"
    );
    stream
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_made() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    // The echo sends one event and then nothing for ever.
    let stream = listening(&rig).await;
    drop(stream);
}

#[tokio::test]
async fn a_server_that_says_that_its_tools_changed_is_looked_at_again() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let noticed = rig.gateway.upstream_changes(SLUG);
    let waiting = Duration::from_millis(50);
    let early = tokio::time::timeout(waiting, noticed.notified()).await;
    assert!(early.is_err(), "nothing was said");
    let _stream = listening(&rig).await;
    tokio::time::timeout(waiting, noticed.notified())
        .await
        .expect("the first event of the stream says so");
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_between_its_events_and_never_inside_one() {
    const TOLD: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n";
    // An event that has only begun is not sent on before it has ended, so nothing can come into it.
    for (sent, begun) in [(TOLD, TOLD), (&*format!("{TOLD}data: {{"), TOLD)] {
        let sent = format!("{}{sent}", head("text/event-stream"));
        let upstream = scripted(move |_, mut stream| {
            let sent = sent.clone();
            async move {
                stream.write_all(sent.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        })
        .await;
        let mut settings = RigSettings {
            upstream: Some(upstream),
            ..RigSettings::default()
        };
        settings.limits.keep_alive_after = Duration::from_millis(500);
        let rig = Rig::with(settings).await;
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}});
        let client = rig.caller("note:read");
        let mut response = client.send(Method::POST, call.to_string().into()).await;
        assert_eq!(next(&mut response).await.as_deref(), Some(begun));
        let more = tokio::time::timeout(Duration::from_secs(3), next(&mut response)).await;
        assert_eq!(more.ok().flatten().as_deref(), Some(": \n\n"));
    }
}

#[tokio::test]
async fn many_events_arrive_in_order_and_none_is_lost() {
    let rig = Rig::start().await;
    let answer = rig
        .caller("note:read")
        .call_tool("count", json!({"events": 1000}))
        .await;
    let messages = answer.messages();
    assert_eq!(messages.len(), 1001);
    for (index, message) in messages[..1000].iter().enumerate() {
        assert_eq!(message["params"]["data"], index);
    }
    assert_eq!(answer.text(), r#"{"events":1000}"#);
}

#[tokio::test]
async fn a_revocation_closes_a_stream_within_a_second_and_leaves_the_others_open() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut alice = listening(&rig).await;
    let mut bob = rig.caller_as("usr_bob", "cli_1", "note:read");
    bob.initialize().await;
    let mut bob = bob.send(Method::GET, Bytes::new()).await;
    next(&mut bob).await.unwrap();
    let until = rig.clock.now().after(Duration::from_secs(3600));
    let revoked_at = Instant::now();
    rig.publish(|server| {
        server.revocations.grants = [("grt_1".into(), until)].into_iter().collect();
    });
    assert_eq!(next(&mut alice).await, None);
    assert!(revoked_at.elapsed() < Duration::from_secs(1));
    let quiet = tokio::time::timeout(Duration::from_millis(300), bob.body_mut().frame()).await;
    assert!(quiet.is_err(), "bob still listens");
}

#[tokio::test]
async fn a_rule_that_denies_everything_closes_the_streams_of_those_it_concerns() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut alice = listening(&rig).await;
    let mut bob = rig.caller_as("usr_bob", "cli_1", "note:read");
    bob.initialize().await;
    let mut bob = bob.send(Method::GET, Bytes::new()).await;
    next(&mut bob).await.unwrap();
    let deny = |what: serde_json::Value, revision| {
        let rule = json!([{"id": "rul_1", "effect": "deny", "who": {"person": "usr_alice"},
            "client": "any", "what": what}]);
        rig.publish(|server| {
            server.policy_revision = revision;
            server.policy.subject_rules = serde_json::from_value(rule).unwrap();
        });
    };
    deny(json!({"tools": ["echo"]}), 2);
    let told = next(&mut alice).await.expect("only one tool is denied");
    assert!(told.contains("notifications/tools/list_changed"), "{told}");
    let quiet = tokio::time::timeout(Duration::from_millis(300), alice.body_mut().frame()).await;
    assert!(quiet.is_err(), "she listens still");
    deny(json!("all"), 3);
    assert_eq!(next(&mut alice).await, None);
    let quiet = tokio::time::timeout(Duration::from_millis(300), bob.body_mut().frame()).await;
    assert!(quiet.is_err(), "bob still listens");
}

#[tokio::test]
async fn a_listening_stream_closes_when_its_token_ends() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut stream = listening(&rig).await;
    rig.pass(3599);
    let quiet = tokio::time::timeout(Duration::from_millis(1300), stream.body_mut().frame()).await;
    assert!(quiet.is_err(), "one second is left");
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_call_that_was_admitted_may_finish_after_its_token_ended() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    let call = tokio::spawn(async move { client.call_tool("slow", json!({"ms": 1500})).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.pass(3700);
    let answer = call.await.unwrap();
    assert_eq!(answer.text(), r#"{"ms":1500}"#);
}

#[tokio::test]
async fn streams_end_when_the_gateway_is_being_stopped() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut stream = listening(&rig).await;
    rig.gateway.close_streams();
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn streams_end_when_the_authority_was_not_heard_of_for_too_long() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut stream = listening(&rig).await;
    rig.clock.advance(Duration::from_secs(5 * 60));
    let quiet = tokio::time::timeout(Duration::from_millis(1300), stream.body_mut().frame()).await;
    assert!(quiet.is_err(), "the last good policy is in force still");
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(next(&mut stream).await, None);
}
