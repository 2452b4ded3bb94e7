//! A policy that changes what a caller sees is told on the streams on which that caller listens.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use authz::{Mode, Policy, Requirement};
use bytes::Bytes;
use gateway::stdio::StdioSettings;
use gateway::{Limits, Upstream};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use testkit::McpClient;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use crate::support::{Rig, RigSettings, entry, head, rig_before, scripted};

const TOOLS: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
const PROMPTS: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}\n\n";

async fn next(response: &mut Response<Incoming>) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(5), response.body_mut().frame())
        .await
        .expect("something happens within 5 s")
        .expect("the stream goes on");
    String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()
}

async fn stays_quiet(response: &mut Response<Incoming>, millis: u64) {
    let quiet = Duration::from_millis(millis);
    if let Ok(frame) = tokio::time::timeout(quiet, response.body_mut().frame()).await {
        panic!("{frame:?}");
    }
}

/// Puts a policy in force that differs from that of the rig by `change`.
fn change(rig: &Rig, revision: i64, change: impl FnOnce(&mut Policy)) {
    rig.publish(|server| {
        server.policy_revision = revision;
        change(&mut server.policy);
    });
}

fn deny(policy: &mut Policy, tool: &str) {
    policy
        .tools
        .insert(tool.to_owned(), entry(Requirement::Denied));
}

/// A stream of the legacy era, behind what its server says first.
async fn listening(mut client: McpClient) -> Response<Incoming> {
    client.initialize().await;
    let mut stream = client.send(Method::GET, Bytes::new()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    next(&mut stream).await;
    stream
}

/// A stream of the modern era that wants to hear of these.
async fn subscribed(client: &McpClient, notifications: Value) -> Response<Incoming> {
    let message = json!({"jsonrpc": "2.0", "id": "sub-1", "method": "subscriptions/listen", "params": {
        "notifications": notifications,
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}}});
    let client = client
        .clone()
        .with_header("mcp-protocol-version", "2026-07-28")
        .with_header("mcp-method", "subscriptions/listen");
    let stream = client.send(Method::POST, message.to_string().into()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    stream
}

/// Of what an acknowledgement says that it will be told.
fn promised(event: &str) -> Value {
    let message: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
    let acknowledged = "notifications/subscriptions/acknowledged";
    assert_eq!(message["method"], acknowledged);
    message["params"]["notifications"].clone()
}

/// An upstream that acknowledges each subscription so, and says nothing else.
async fn acknowledging(acknowledgement: Value) -> Upstream {
    scripted(move |_, mut stream| {
        let mut message = acknowledgement.clone();
        message["jsonrpc"] = json!("2.0");
        message["method"] = json!("notifications/subscriptions/acknowledged");
        async move {
            let event = format!("{}data: {message}\n\n", head("text/event-stream"));
            stream.write_all(event.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await
}

/// What `tools/list_changed` says to `sub-1`.
fn tools_of_subscription() -> String {
    let told = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"sub-1"}}}"#;
    format!("data: {told}\n\n")
}

#[tokio::test]
async fn a_caller_who_sees_other_lists_is_told_and_one_who_sees_the_same_is_not() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut alice = listening(rig.caller("note:read")).await;
    // Bob may write, and is shown neither what is to be read nor what he could ask for.
    let mut bob = listening(rig.caller_as("usr_bob", "cli_1", "note:write")).await;
    change(&rig, 2, |policy| deny(policy, "echo"));
    assert_eq!(next(&mut alice).await, TOOLS);
    stays_quiet(&mut bob, 1_200).await;
    // The same again, and a policy in which nothing of it is another thing, are no news.
    change(&rig, 3, |policy| {
        deny(policy, "echo");
        policy.default_scopes = wire::oauth::ScopeSet::new();
    });
    stays_quiet(&mut alice, 2_200).await;
    change(&rig, 4, |policy| {
        deny(policy, "echo");
        policy.prompts.clear();
    });
    assert_eq!(next(&mut alice).await, PROMPTS);
    stays_quiet(&mut bob, 1_200).await;
    // In observe mode everybody sees everything.
    change(&rig, 5, |policy| policy.mode = Mode::Observe);
    let told = next(&mut bob).await;
    assert!(told.starts_with(TOOLS) && told.ends_with(PROMPTS), "{told}");
    assert!(!told.contains("id:"), "a stream is resumed as ever: {told}");
}

#[tokio::test]
async fn of_a_burst_of_changes_the_first_is_told_within_a_second_and_what_came_of_the_rest_once() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut alice = listening(rig.caller("note:read")).await;
    let mut bob = listening(rig.caller_as("usr_bob", "cli_1", "note:read")).await;
    let began = Instant::now();
    change(&rig, 2, |policy| deny(policy, "echo"));
    assert_eq!(next(&mut alice).await, TOOLS);
    assert!(began.elapsed() < Duration::from_millis(1_500));
    assert_eq!(next(&mut bob).await, TOOLS);
    for revision in 3..40 {
        change(&rig, revision, |policy| {
            if revision % 2 == 0 {
                deny(policy, "echo");
            }
            if revision % 3 == 0 {
                policy.prompts.clear();
            }
        });
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The last one, 39, has echo again and no prompts.
    for stream in [&mut alice, &mut bob] {
        let mut told = Vec::new();
        let pause = Duration::from_millis(2_500);
        while let Ok(frame) = tokio::time::timeout(pause, next(stream)).await {
            told.push(frame);
        }
        assert!(
            !told.is_empty() && told.concat().contains(PROMPTS),
            "{told:?}"
        );
        assert!(told.len() as u64 <= began.elapsed().as_secs(), "{told:?}");
    }
}

#[tokio::test]
async fn what_the_upstream_is_in_the_middle_of_saying_is_not_cut_in_two() {
    let go_on = Arc::new(Notify::new());
    let went_on = Arc::clone(&go_on);
    let upstream = scripted(move |_, mut stream| {
        let go_on = Arc::clone(&went_on);
        async move {
            let begun = format!(
                "{}id: 7\ndata: {{\"jsonrpc\":\"2.0\",",
                head("text/event-stream")
            );
            stream.write_all(begun.as_bytes()).await.unwrap();
            go_on.notified().await;
            let rest = b"\"method\":\"notifications/message\"}\n\n";
            for byte in rest.chunks(3) {
                stream.write_all(byte).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            std::future::pending::<()>().await;
        }
    })
    .await;
    let rig = rig_before(upstream).await;
    let mut stream = rig
        .caller("note:read")
        .send(Method::GET, Bytes::new())
        .await;
    stays_quiet(&mut stream, 100).await;
    change(&rig, 2, |policy| deny(policy, "echo"));
    assert_eq!(next(&mut stream).await, TOOLS);
    go_on.notify_one();
    assert_eq!(
        next(&mut stream).await,
        "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n"
    );
}

#[tokio::test]
async fn whoever_may_not_read_a_resource_any_more_does_not_hear_of_it_on_an_open_stream() {
    let go_on = Arc::new(Notify::new());
    let went_on = Arc::clone(&go_on);
    let upstream = scripted(move |_, mut stream| {
        let go_on = Arc::clone(&went_on);
        async move {
            let begun = head("text/event-stream");
            stream.write_all(begun.as_bytes()).await.unwrap();
            loop {
                let updated = json!({"jsonrpc": "2.0", "method": "notifications/resources/updated",
                    "params": {"uri": "note://1"}});
                let message = json!({"jsonrpc": "2.0", "method": "notifications/message"});
                let both = format!("data: {updated}\n\ndata: {message}\n\n");
                stream.write_all(both.as_bytes()).await.unwrap();
                go_on.notified().await;
            }
        }
    })
    .await;
    let rig = rig_before(upstream).await;
    let mut stream = rig
        .caller("note:read")
        .send(Method::GET, Bytes::new())
        .await;
    let heard = next(&mut stream).await;
    assert!(heard.contains("note://1"), "{heard}");
    change(&rig, 2, |policy| {
        policy.resources.clear();
        policy.resource_templates.clear();
    });
    let told = next(&mut stream).await;
    assert!(
        told.contains("notifications/resources/list_changed"),
        "{told}"
    );
    go_on.notify_one();
    let heard = next(&mut stream).await;
    assert!(!heard.contains("note://1"), "{heard}");
    assert!(heard.contains("notifications/message"), "{heard}");
}

#[tokio::test]
async fn a_subscription_is_told_what_it_asked_for_behind_its_acknowledgement() {
    let acknowledge = Arc::new(Notify::new());
    let acknowledging = Arc::clone(&acknowledge);
    let upstream = scripted(move |_, mut stream| {
        let acknowledge = Arc::clone(&acknowledging);
        async move {
            let begun = format!("{}: waiting\n\n", head("text/event-stream"));
            stream.write_all(begun.as_bytes()).await.unwrap();
            acknowledge.notified().await;
            // Its own tools never change, so it promises nothing.
            let acknowledged = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": "sub-1"}, "notifications": {}}});
            let event = format!("data: {acknowledged}\n\n");
            stream.write_all(event.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let rig = rig_before(upstream).await;
    let alice = rig.caller("note:read");
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": false});
    let mut tools = subscribed(&alice, wanted).await;
    let mut prompts = subscribed(&alice, json!({"promptsListChanged": true})).await;
    let mut nothing = subscribed(&alice, json!({})).await;
    for stream in [&mut tools, &mut prompts, &mut nothing] {
        assert_eq!(next(stream).await, ": waiting\n\n");
    }
    change(&rig, 2, |policy| deny(policy, "echo"));
    stays_quiet(&mut tools, 1_200).await;
    for _ in 0..3 {
        acknowledge.notify_one();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let acknowledged = next(&mut tools).await;
    assert_eq!(promised(&acknowledged), json!({"toolsListChanged": true}));
    assert_eq!(next(&mut tools).await, tools_of_subscription());
    let acknowledged = next(&mut prompts).await;
    assert_eq!(promised(&acknowledged), json!({"promptsListChanged": true}));
    assert_eq!(promised(&next(&mut nothing).await), json!({}));
    stays_quiet(&mut prompts, 1_200).await;
    stays_quiet(&mut nothing, 1).await;
    change(&rig, 3, |policy| {
        deny(policy, "echo");
        policy.prompts.clear();
    });
    let told = next(&mut prompts).await;
    assert!(
        told.contains("notifications/prompts/list_changed"),
        "{told}"
    );
    assert!(told.contains("\"sub-1\""), "{told}");
    stays_quiet(&mut nothing, 1).await;
}

#[tokio::test]
async fn a_subscription_is_told_of_what_was_acknowledged_and_that_is_of_what_its_caller_sees() {
    let rig = rig_before(acknowledging(json!({"params": {"notifications": {}}})).await).await;
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": true});
    let mut alice = subscribed(&rig.caller("note:read"), wanted.clone()).await;
    let bob = rig.caller_as("usr_bob", "cli_1", "note:write");
    let mut bob = subscribed(&bob, wanted.clone()).await;
    assert_eq!(promised(&next(&mut alice).await), wanted);
    // That there are prompts which he does not see is nothing that he is to know.
    let tools = json!({"toolsListChanged": true});
    assert_eq!(promised(&next(&mut bob).await), tools);
    change(&rig, 2, |policy| {
        policy
            .prompts
            .insert("more".into(), entry(Requirement::Public));
    });
    let told = next(&mut alice).await;
    assert!(
        told.contains("notifications/prompts/list_changed"),
        "{told}"
    );
    stays_quiet(&mut bob, 1_200).await;
    change(&rig, 3, |policy| deny(policy, "slow"));
    assert_eq!(next(&mut bob).await, tools_of_subscription());
}

#[tokio::test]
async fn an_acknowledgement_that_leaves_out_of_what_it_tells_says_so_here() {
    for said in [
        json!({}),
        json!({"params": {}}),
        json!({"params": {"notifications": {}}}),
    ] {
        let rig = rig_before(acknowledging(said.clone()).await).await;
        let tools = json!({"toolsListChanged": true});
        let mut stream = subscribed(&rig.caller("note:read"), tools.clone()).await;
        assert_eq!(promised(&next(&mut stream).await), tools, "{said}");
        change(&rig, 2, |policy| deny(policy, "echo"));
        assert_eq!(next(&mut stream).await, tools_of_subscription());
    }
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_changed_while_it_was_away_and_is_told_it_once() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let alice = || listening(rig.caller("note:read"));
    let bob = || listening(rig.caller_as("usr_bob", "cli_1", "note:write"));
    let (mut hers, mut his) = (alice().await, bob().await);
    stays_quiet(&mut hers, 100).await;
    stays_quiet(&mut his, 100).await;
    drop((hers, his));
    // Until the gateway has noticed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    change(&rig, 2, |policy| deny(policy, "echo"));
    let (mut hers, mut his) = (alice().await, bob().await);
    assert_eq!(next(&mut hers).await, TOOLS);
    stays_quiet(&mut his, 1_200).await;
    drop((hers, his));
    tokio::time::sleep(Duration::from_millis(300)).await;
    stays_quiet(&mut alice().await, 1_200).await;
    // Whoever never listened here has nothing to be told.
    let other = rig.caller_as("usr_alice", "cli_2", "note:read");
    stays_quiet(&mut listening(other).await, 1_200).await;
}

#[tokio::test]
async fn a_stream_that_ends_with_its_token_goes_on_with_the_next_as_if_it_had_not_ended() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut alice = listening(rig.caller("note:read")).await;
    let mut bob = listening(rig.caller_as("usr_bob", "cli_1", "note:read")).await;
    rig.pass(3_601);
    for stream in [&mut alice, &mut bob] {
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.body_mut().frame()).await;
        assert!(ended.unwrap().is_none());
    }
    // Her roles were changed meanwhile; his were not.
    let mut alice = listening(rig.caller("note:read note:write")).await;
    let mut bob = listening(rig.caller_as("usr_bob", "cli_1", "note:read")).await;
    let told = next(&mut alice).await;
    assert!(told.starts_with(TOOLS), "{told}");
    assert!(told.contains("resources/list_changed"), "{told}");
    stays_quiet(&mut bob, 1_200).await;
}

#[tokio::test]
async fn a_subscription_that_is_opened_again_is_told_behind_its_acknowledgement() {
    let rig = rig_before(acknowledging(json!({"params": {"notifications": {}}})).await).await;
    let tools = json!({"toolsListChanged": true});
    let open = async || {
        let mut stream = subscribed(&rig.caller("note:read"), tools.clone()).await;
        assert_eq!(promised(&next(&mut stream).await), tools);
        stream
    };
    let mut first = open().await;
    stays_quiet(&mut first, 100).await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(300)).await;
    change(&rig, 2, |policy| deny(policy, "echo"));
    let mut again = open().await;
    assert_eq!(next(&mut again).await, tools_of_subscription());
    drop(again);
    tokio::time::sleep(Duration::from_millis(300)).await;
    stays_quiet(&mut open().await, 1_200).await;
}

#[tokio::test]
async fn whoever_sees_a_tool_is_told_when_another_definition_of_it_was_accepted() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let accept = |revision, definition: &str| {
        change(&rig, revision, |policy| {
            let echo = policy.tools.get_mut("echo").unwrap();
            echo.fingerprint = Some(format!("2:{definition}"));
        });
    };
    accept(2, "one");
    let mut alice = listening(rig.caller("note:read")).await;
    let mut bob = listening(rig.caller_as("usr_bob", "cli_1", "note:write")).await;
    accept(3, "one");
    stays_quiet(&mut alice, 1_200).await;
    accept(4, "another");
    assert_eq!(next(&mut alice).await, TOOLS);
    stays_quiet(&mut bob, 1_200).await;
}

#[tokio::test]
async fn many_streams_are_not_told_of_one_change_at_the_same_moment() {
    let rig = Rig::with_echo(|echo| echo.sessions = true).await;
    let mut streams = Vec::new();
    for index in 0..24 {
        let person = format!("usr_{index}");
        streams.push(listening(rig.caller_as(&person, "cli_1", "note:read")).await);
    }
    let began = Instant::now();
    let told: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                assert_eq!(next(&mut stream).await, TOOLS);
                began.elapsed()
            })
        })
        .collect();
    change(&rig, 2, |policy| deny(policy, "echo"));
    let mut after = Vec::new();
    for told in told {
        after.push(told.await.unwrap());
    }
    after.sort();
    assert!(after[23] < Duration::from_millis(2_500), "{after:?}");
    assert!(
        after[23] - after[0] > Duration::from_millis(300),
        "{after:?}"
    );
}

/// Answers `initialize`, acknowledges each subscription, and says nothing else.
const SCRIPT: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}; id=${id%%\}*}
  case $line in
    *'"initialize"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}' ;;
    *'"server/discover"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}' ;;
    *'"subscriptions/listen"'*) printf '%s\n' '{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":'"$id"'},"notifications":{}}}' ;;
  esac
done
"#;

#[tokio::test]
async fn callers_of_a_command_are_told_as_well() {
    let args = vec!["-c".into(), SCRIPT.into()];
    let command = StdioSettings::new("sh", args, PathBuf::from("/"));
    let rig = rig_before(Upstream::Stdio(command)).await;
    let mut legacy = listening(rig.caller("note:read")).await;
    let mut bob = listening(rig.caller_as("usr_bob", "cli_1", "note:write")).await;
    let wanted = json!({"toolsListChanged": true});
    let mut modern = subscribed(&rig.caller("note:read"), wanted).await;
    let acknowledged = next(&mut modern).await;
    assert!(
        acknowledged.contains(r#""notifications":{"toolsListChanged":true}"#),
        "{acknowledged}"
    );
    change(&rig, 2, |policy| deny(policy, "echo"));
    assert_eq!(next(&mut legacy).await, TOOLS);
    assert_eq!(next(&mut modern).await, tools_of_subscription());
    stays_quiet(&mut bob, 1_200).await;
    drop((legacy, bob, modern));
    rig.gateway.shutdown().await;
}

#[tokio::test]
async fn many_streams_are_told_within_seconds_while_calls_are_answered() {
    let streams_max = std::env::var("PORTCULLIS_LISTENING_STREAMS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(60);
    let rig = Rig::with(RigSettings {
        echo: testkit::echo::EchoSettings {
            sessions: true,
            ..Default::default()
        },
        limits: Limits {
            keep_alive_after: Duration::from_secs(3600),
            ..Limits::default()
        },
        ..RigSettings::default()
    })
    .await;
    let many = |policy: &mut Policy| {
        for index in 0..200 {
            policy
                .tools
                .insert(format!("tool_{index}"), entry(Requirement::Public));
        }
    };
    change(&rig, 2, many);
    let mut streams = Vec::new();
    for index in 0..streams_max {
        let person = format!("usr_{}", index / 2);
        streams.push(listening(rig.caller_as(&person, "cli_1", "note:read")).await);
    }
    let mut caller = rig.caller_as("usr_caller", "cli_1", "note:read");
    caller.initialize().await;
    change(&rig, 3, |policy| {
        many(policy);
        deny(policy, "tool_7");
    });
    let began = Instant::now();
    let answer = caller.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    for stream in &mut streams {
        assert_eq!(next(stream).await, TOOLS);
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}
