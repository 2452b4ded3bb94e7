//! What comes back is judged by what it is and whose it is, not by what was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gateway::{Limits, Outcome};
use http::{Method, StatusCode};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use serde_json::{Value, json};
use testkit::{Answer, McpClient};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Rig, RigSettings, SLUG, head, rig_before, scripted};

/// What `echo` may show of this is one tool.
const TOOLS: &str = r#"{"tools":[{"name":"echo"},{"name":"secret"}]}"#;

fn result(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn events(messages: &[&str]) -> String {
    messages
        .iter()
        .map(|message| format!("data: {message}\n\n"))
        .collect()
}

/// A gateway in front of an upstream that answers with `body` whatever it is asked.
async fn answering(content_type: &str, body: &str) -> Rig {
    let answer: Arc<str> = format!("{}{body}", head(content_type)).into();
    let upstream = scripted(move |_, mut stream| {
        let answer = Arc::clone(&answer);
        async move { stream.write_all(answer.as_bytes()).await.unwrap() }
    })
    .await;
    rig_before(upstream).await
}

async fn call(rig: &Rig, in_stream: bool) -> Answer {
    let answer = rig.caller("note:read").call_tool("echo", json!({})).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("secret"), "{text}");
    let kind = answer.headers["content-type"].to_str().unwrap().to_owned();
    if answer.status == StatusCode::OK {
        assert_eq!(kind == "text/event-stream", in_stream, "{kind}");
    }
    answer
}

#[tokio::test]
async fn an_answer_to_a_call_passes_when_it_is_one_and_its_own() {
    let passes = [
        result("1", r#"{"content":[]}"#),
        // Below the first level it is nobody's list.
        result(
            "1",
            r#"{"content":[],"structuredContent":{"tools":[{"name":"x"}]}}"#,
        ),
        result(
            "1",
            &format!(r#"{{"content":{}1{}}}"#, "[".repeat(100), "]".repeat(100)),
        ),
        r#"{ "id" : 1, "result" : { "content" : [ ] }, "jsonrpc" : "2.0" }"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","error":{"code":-1,"message":"no"}}"#.to_owned(),
    ];
    let refused = [
        (result("2", "{}"), "answered a request that was not made"),
        (
            result("\"1\"", "{}"),
            "answered a request that was not made",
        ),
        (result("2", TOOLS), "answered a request that was not made"),
        (
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"secret"}}"#.to_owned(),
            "answered a request that was not made",
        ),
        (result("1", "[]"), "no object"),
        (result("1", r#""secret""#), "no object"),
        (
            result("1", r#"{"tools":{"secret":1}}"#),
            "without a list of tools",
        ),
        (
            result("1", r#"{"tools":[],"tools":[{"name":"secret"}]}"#),
            "no message",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{"secret":1}}"#.to_owned(),
            "no message",
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"id":1,"result":{"secret":1}}"#.to_owned(),
            "no message",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"Result":{"secret":1}}"#.to_owned(),
            "no message",
        ),
        (format!("[{}]", result("1", TOOLS)), "no message"),
        (r#"{"secret":1}"#.to_owned(), "no message"),
        // Some readers end the string at the apostrophe.
        (result("1", "{'a':1}"), "no message"),
    ];
    for in_stream in [false, true] {
        let kind = match in_stream {
            true => "text/event-stream",
            false => "application/json",
        };
        let body = |message: &str| match in_stream {
            true => events(&[message]),
            false => message.to_owned(),
        };
        for message in &passes {
            let rig = answering(kind, &body(message)).await;
            let answer = call(&rig, in_stream).await;
            assert_eq!(answer.status, StatusCode::OK, "{message}");
            assert_eq!(answer.body, body(message), "as it came");
        }
        for (message, words) in &refused {
            let rig = answering(kind, &body(message)).await;
            let answer = call(&rig, in_stream).await;
            let status = match in_stream {
                // It had begun.
                true => StatusCode::OK,
                false => StatusCode::BAD_GATEWAY,
            };
            assert_eq!(answer.status, status, "{message}");
            assert_eq!(answer.messages().len(), 1, "{message}");
            assert_eq!(answer.response()["id"], 1, "{message}");
            let told = &answer.response()["error"]["message"];
            assert!(told.as_str().unwrap().contains(words), "{message}: {told}");
        }
    }
}

#[tokio::test]
async fn how_long_a_task_lives_is_not_how_long_an_answer_is_kept() {
    for task in [
        r#"{"resultType":"task","taskId":"t","status":"working","ttlMs":null}"#,
        r#"{"resultType":"task","taskId":"t","status":"working","ttlMs":86400000}"#,
    ] {
        let own = result("1", task);
        let rig = answering("application/json", &own).await;
        assert_eq!(call(&rig, false).await.body, own);
    }
}

#[tokio::test]
async fn a_list_is_filtered_whatever_was_asked() {
    for (in_stream, kind) in [(false, "application/json"), (true, "text/event-stream")] {
        for (list, shown) in [
            (TOOLS, json!({"tools": [{"name": "echo"}]})),
            (
                r#"{"content":[],"Tools":[{"name":"secret"}],"prompts":[{"name":"summarize"},{"name":"secret"}]}"#,
                json!({"content": [], "prompts": [{"name": "summarize"}]}),
            ),
            (
                r#"{"resources":[{"uri":"note://1"},{"uri":"note://secret/x"}],"resourceTemplates":[{"uriTemplate":"secret://{x}"}]}"#,
                json!({"resources": [{"uri": "note://1"}], "resourceTemplates": []}),
            ),
        ] {
            let message = result("1", list);
            let body = match in_stream {
                true => events(&[&message]),
                false => message,
            };
            let rig = answering(kind, &body).await;
            assert_eq!(call(&rig, in_stream).await.result(), shown, "{list}");
        }
    }
}

#[tokio::test]
async fn a_stream_carries_its_answer_once_and_what_its_server_asks_and_tells() {
    let asks = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
    let tells = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"tools":[1]}}"#;
    let own = result("1", r#"{"content":[]}"#);
    let again = result("1", TOOLS);
    let body = events(&[asks, tells, &own, &again, tells]);
    let rig = answering("text/event-stream", &body).await;
    let answer = call(&rig, true).await;
    assert_eq!(answer.body, events(&[asks, tells, &own, tells]));
    // When something else came in its place the answer is given, and no other one follows.
    let body = events(&[&result("2", TOOLS), &own, tells]);
    let rig = answering("text/event-stream", &body).await;
    let messages = call(&rig, true).await.messages();
    assert!(messages[0]["error"].is_object(), "{messages:?}");
    assert_eq!(
        messages[1..],
        [serde_json::from_str::<Value>(tells).unwrap()]
    );
    // Events of another kind hold no messages.
    let body = format!(
        "event: other\n{}event: message\n{}",
        events(&[&again]),
        events(&[&own])
    );
    let rig = answering("text/event-stream", &body).await;
    let answer = call(&rig, true).await;
    assert_eq!(answer.body, format!("event: message\n{}", events(&[&own])));
}

#[tokio::test]
async fn where_no_answer_belongs_none_passes() {
    let tells = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    let list = result("1", TOOLS);
    let rig = answering("text/event-stream", &events(&[&list, tells])).await;
    let client = rig.caller("note:read");
    let listened = Answer::read(client.send(Method::GET, Bytes::new()).await).await;
    assert_eq!(listened.body, events(&[tells]));
    let notified = client.notify("notifications/initialized").await;
    assert_eq!(notified.body, events(&[tells]));

    let rig = answering("application/json", &list).await;
    let client = rig.caller("note:read");
    let listened = Answer::read(client.send(Method::GET, Bytes::new()).await).await;
    assert_eq!(listened.status, StatusCode::BAD_GATEWAY);
    let notified = client.notify("notifications/initialized").await;
    let ended = Answer::read(client.send(Method::DELETE, Bytes::new()).await).await;
    for answer in [notified, ended] {
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b""[..]));
        assert!(!String::from_utf8_lossy(&listened.body).contains("secret"));
    }
}

#[tokio::test]
async fn a_request_or_a_notification_is_no_answer_in_json() {
    for message in [
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"x":"secret"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"secret"}}"#,
    ] {
        let rig = answering("application/json", message).await;
        assert_eq!(call(&rig, false).await.status, StatusCode::BAD_GATEWAY);
    }
}

/// With a status that refuses, clients may read what stands behind it all the same.
#[tokio::test]
async fn a_status_that_refuses_lets_no_other_answer_through() {
    let error = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-1,"message":"no"}}"#;
    for (status, body, is_shown) in [
        ("404 Not Found", error.to_owned(), true),
        ("500 Internal Server Error", error.to_owned(), true),
        ("404 Not Found", result("2", TOOLS), false),
        ("404 Not Found", r#"{"detail":"secret"}"#.to_owned(), false),
        ("500 Internal Server Error", result("2", TOOLS), false),
    ] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}"
        );
        let upstream = scripted(move |_, mut stream| {
            let answer = answer.clone();
            async move { stream.write_all(answer.as_bytes()).await.unwrap() }
        })
        .await;
        let rig = rig_before(upstream).await;
        let answer = call(&rig, false).await;
        assert_eq!(answer.body == body, is_shown, "{status} {body}");
        let is_own = status.starts_with(answer.status.as_str());
        assert_eq!(
            is_own,
            is_shown || status.starts_with('4'),
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn the_stream_of_a_subscription_carries_the_end_of_its_own_and_no_other_answer() {
    let acknowledged = r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{}}}"#;
    let ends = result("1", r#"{"resultType":"complete"}"#);
    let body = events(&[acknowledged, &result("2", TOOLS), &ends]);
    for (body, last) in [(events(&[acknowledged, &ends]), "result"), (body, "error")] {
        let rig = answering("text/event-stream", &body).await;
        let params = json!({"notifications": {}});
        let client = rig.caller("note:read");
        let answer = client.modern("subscriptions/listen", params).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("secret"), "{text}");
        let messages = answer.messages();
        assert_eq!(messages.len(), 2, "{text}");
        assert_eq!(messages[1]["id"], 1, "{text}");
        assert!(messages[1][last].is_object(), "{text}");
    }
}

/// An upstream that begins the stream of each request and breaks it off behind one event. Whoever goes on there is sent `replayed`.
async fn breaking_off(replayed: String) -> Rig {
    let upstream = scripted(move |request, mut stream| {
        let replayed = replayed.clone();
        async move {
            let answer = match request.starts_with("POST") {
                true => {
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nMcp-Session-Id: s\r\n\
                         Connection: close\r\n\r\nid: 4.1\nretry: 5\ndata:\n\n"
                        .to_owned()
                }
                false => {
                    assert!(request.contains("last-event-id: 4.1"), "{request}");
                    assert!(request.contains("mcp-session-id: s\r\n"), "{request}");
                    format!("{}{replayed}", head("text/event-stream"))
                }
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    rig_before(upstream).await
}

/// The id of the last event that `answer` has.
fn last_event(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().unwrap().to_owned()
}

async fn resume(client: McpClient, session: &str, event: &str) -> Answer {
    let client = client
        .with_header("mcp-session-id", session)
        .with_header("last-event-id", event);
    Answer::read(client.send(Method::GET, Bytes::new()).await).await
}

#[tokio::test]
async fn a_stream_that_goes_on_carries_the_answer_that_it_began_for_and_no_other() {
    let asks = r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#;
    let replayed = [
        ("4.2", asks.to_owned()),
        ("4.3", result("2", TOOLS)),
        ("4.4", result("1", TOOLS)),
        ("4.5", result("1", r#"{"tools":[{"name":"secret"}]}"#)),
        ("4.6", result("3", r#"{"content":["secret"]}"#)),
    ];
    let replayed = replayed.map(|(id, data)| format!("id: {id}\ndata: {data}\n\n"));
    let rig = breaking_off(replayed.concat()).await;
    let alice = || rig.caller("note:read");
    for method in ["tools/call", "tools/list"] {
        let broken = alice().request(method, json!({"name": "echo"})).await;
        assert_eq!(broken.messages(), Vec::<Value>::new());
        let session = broken.headers["mcp-session-id"].to_str().unwrap();
        let event = last_event(&broken);
        assert!(event.starts_with("4.1."), "{event}");
        let answer = resume(alice(), session, &event).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("secret"), "{text}");
        let messages = answer.messages();
        assert_eq!(messages.len(), 2, "{text}");
        assert_eq!(messages[0]["method"], "sampling/createMessage");
        assert_eq!(messages[1]["id"], 1);
        assert_eq!(messages[1]["result"]["tools"], json!([{"name": "echo"}]));
        // It may break off again.
        assert!(last_event(&answer).starts_with("4.4."), "{text}");
        let tag = |event: &str| event.rsplit('.').nth(1).unwrap().to_owned();
        assert_eq!(tag(&last_event(&answer)), tag(&event));
    }
}

#[tokio::test]
async fn an_event_id_that_was_given_to_somebody_else_or_by_nobody_leads_to_no_answer() {
    let asks = r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#;
    let rig = breaking_off(events(&[asks, &result("1", TOOLS)])).await;
    let opened = rig.caller("note:read").request("ping", json!({})).await;
    let session = opened.headers["mcp-session-id"].to_str().unwrap();
    // The server's own id, as clients know it that began before the gateway bound it.
    let answer = resume(rig.caller("note:read"), session, "4.1").await;
    assert_eq!(answer.body, events(&[asks]));

    let bob = || rig.caller_as("usr_bob", "cli_1", "note:read");
    let his = bob().request("ping", json!({})).await;
    let session = his.headers["mcp-session-id"].to_str().unwrap();
    let answer = resume(bob(), session, &last_event(&opened)).await;
    assert_eq!(answer.body, events(&[asks]));
    let answer = resume(bob(), session, &last_event(&his)).await;
    assert_eq!(answer.messages().len(), 2, "his own leads on");
}

#[tokio::test]
async fn an_answer_of_as_many_bytes_as_are_held_passes_and_one_byte_more_does_not() {
    let bytes_max = 64 * 1024;
    for in_stream in [false, true] {
        for (more, passes) in [(0, true), (1, false)] {
            let around = result("1", r#"{"x":""}"#).len();
            let message = result(
                "1",
                &format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes_max - around + more)),
            );
            let answer = match in_stream {
                true => format!("data:{message}\n\n"),
                false => format!("{}{message}", head("application/json")),
            };
            let upstream = scripted(move |_, mut stream| {
                let answer = answer.clone();
                async move {
                    if in_stream {
                        let begun = format!("{}: begun\n\n", head("text/event-stream"));
                        stream.write_all(begun.as_bytes()).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            })
            .await;
            // Of an event its field counts too, and each field as 32 more.
            let limits = Limits {
                list_bytes_max: bytes_max + if in_stream { "data:".len() + 32 } else { 0 },
                ..RigSettings::default().limits
            };
            let rig = Rig::with(RigSettings {
                upstream: Some(upstream),
                limits,
                ..RigSettings::default()
            })
            .await;
            let call = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
            let client = rig.caller("note:read");
            let response = client.send(Method::POST, call.to_string().into()).await;
            let status = response.status();
            match in_stream {
                // A stream is cut off there.
                true => {
                    let read = http_body_util::BodyExt::collect(response.into_body()).await;
                    assert_eq!(read.is_ok(), passes, "{more}");
                }
                false => {
                    assert_eq!(status == StatusCode::OK, passes, "{more}");
                    let answer = Answer::read(response).await;
                    let words = answer.response()["error"]["message"].to_string();
                    assert_eq!(words.contains("more than 65536 bytes"), !passes, "{words}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_judged_for_one_caller_is_kept_by_that_caller_alone_and_not_for_long() {
    let lies = r#""cacheScope":"public","ttlMs":86400000"#;
    for (method, params, members, modern, expected) in [
        ("tools/list", json!({}), r#""tools":[]"#, true, true),
        (
            "resources/read",
            json!({"uri": "note://1"}),
            r#""contents":[]"#,
            true,
            true,
        ),
        (
            "server/discover",
            json!({}),
            r#""capabilities":{}"#,
            true,
            true,
        ),
        (
            "tools/call",
            json!({"name": "echo"}),
            r#""content":[]"#,
            true,
            false,
        ),
        ("tools/list", json!({}), r#""tools":[]"#, false, false),
        (
            "resources/read",
            json!({"uri": "note://1"}),
            r#""contents":[]"#,
            false,
            false,
        ),
    ] {
        for lies in [Some(lies), None] {
            let members = [Some(members), lies].into_iter().flatten();
            let members = members.collect::<Vec<_>>().join(",");
            let message = result("1", &format!("{{{members}}}"));
            for kind in ["application/json", "text/event-stream"] {
                let body = match kind {
                    "application/json" => message.clone(),
                    _ => events(&[&message]),
                };
                let rig = answering(kind, &body).await;
                let client = rig.caller("note:read");
                let answer = match modern {
                    true => client.modern(method, params.clone()).await,
                    false => client.request(method, params.clone()).await,
                };
                let shown = answer.result();
                let is_said = lies.is_some() || expected;
                let scope = if is_said {
                    json!("private")
                } else {
                    Value::Null
                };
                assert_eq!(shown["cacheScope"], scope, "{method} {modern}: {shown}");
                let time = lies.map_or(Value::Null, |_| json!(300_000));
                assert_eq!(shown["ttlMs"], time, "{method} {modern}: {shown}");
            }
        }
    }
}

/// Counts what the gateway counts, for the thread of one test.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<HashMap<String, u64>>>);

struct Count(Counts, String);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        let mut counts = self.0.0.lock().unwrap();
        *counts.entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, _: u64) {}
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Counter::from_arc(Arc::new(Count(self.clone(), name)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn what_is_withheld_from_a_stream_is_counted_and_stands_in_the_record_of_a_list() {
    let counts = Counts::default();
    let _counting = metrics::set_default_local_recorder(&counts);
    let tells = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    for (body, withheld, outcome) in [
        (events(&[tells, &result("1", TOOLS)]), 0, Outcome::Allowed),
        (
            events(&[&result("2", TOOLS), tells, &result("3", "{}"), "{}"]),
            3,
            Outcome::UpstreamFailed,
        ),
    ] {
        let rig = answering("text/event-stream", &body).await;
        let client = rig.caller("note:read");
        client.request("tools/list", json!({})).await;
        let counted = counts.0.lock().unwrap().clone();
        let name = format!("portcullis_messages_withheld_total {SLUG}");
        assert_eq!(
            counted.get(&name).copied().unwrap_or(0),
            withheld,
            "{counted:?}"
        );
        let record = rig.next_record().await;
        assert_eq!(record.outcome, outcome);
        let says_why = record
            .reason
            .contains("answered a request that was not made");
        assert_eq!(
            says_why,
            outcome == Outcome::UpstreamFailed,
            "{}",
            record.reason
        );
    }
}
