//! The bridge with real children.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use sdk::{Era, Principal};
use serde_json::{Value, json};

use super::test_child::settings;
use super::*;
use crate::upstream::UpstreamRequest;
use crate::{BoxBody, BoxError, DiscoverError};

fn principal(subject: &str) -> Principal {
    Principal {
        issuer: "http://localhost:4180/servers/x".into(),
        subject: subject.into(),
        client: "cli_1".into(),
    }
}

/// A client of the bridge, in one era, perhaps with a session.
#[derive(Clone)]
struct Caller {
    bridge: StdioBridge,
    principal: Principal,
    era: Era,
    session: Option<HeaderValue>,
    accept: &'static str,
}

impl Caller {
    fn new(bridge: &StdioBridge, subject: &str, era: Era) -> Self {
        Self {
            bridge: bridge.clone(),
            principal: principal(subject),
            era,
            session: None,
            accept: "application/json, text/event-stream",
        }
    }

    /// A legacy client that has opened its session.
    async fn open(bridge: &StdioBridge, subject: &str) -> Self {
        let mut caller = Self::new(bridge, subject, Era::Legacy);
        let response = caller.initialize().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        caller.session = response.headers().get("mcp-session-id").cloned();
        assert!(caller.session.is_some());
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(
            caller.post(initialized).await.unwrap().status(),
            StatusCode::ACCEPTED
        );
        caller
    }

    async fn initialize(&self) -> Result<Response<BoxBody>, BoxError> {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
                            "clientInfo": {"name": "test", "version": "1"}});
        self.post(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await
    }

    async fn send(&self, method: Method, body: Bytes) -> Result<Response<BoxBody>, BoxError> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static(self.accept));
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.clone());
        }
        let request = UpstreamRequest {
            principal: self.principal.clone(),
            era: self.era,
            method,
            headers,
            body,
        };
        self.bridge.handle(request).await
    }

    async fn post(&self, message: Value) -> Result<Response<BoxBody>, BoxError> {
        self.send(Method::POST, Bytes::from(message.to_string()))
            .await
    }

    async fn request(
        &self,
        id: Value,
        method: &str,
        mut params: Value,
    ) -> Result<Response<BoxBody>, BoxError> {
        if self.era == Era::Modern {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        }
        self.post(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await
    }

    async fn call(
        &self,
        id: Value,
        tool: &str,
        arguments: Value,
    ) -> Result<Response<BoxBody>, BoxError> {
        self.request(
            id,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        )
        .await
    }

    /// What a tool says.
    async fn say(&self, tool: &str, arguments: Value) -> String {
        said(self.call(json!(1), tool, arguments).await.unwrap()).await
    }

    async fn status(&self, method: Method) -> StatusCode {
        self.send(method, Bytes::new()).await.unwrap().status()
    }
}

async fn body(response: Response<BoxBody>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_body(response: Response<BoxBody>) -> Value {
    serde_json::from_str(&body(response).await).unwrap()
}

async fn events(response: Response<BoxBody>) -> Vec<Value> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = body(response).await;
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

async fn said(response: Response<BoxBody>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let message = json_body(response).await;
    message["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{message}"))
        .to_owned()
}

/// The next message of a stream that goes on.
async fn next_event(response: &mut Response<BoxBody>) -> Value {
    loop {
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
            return serde_json::from_str(data).unwrap();
        }
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn process_exists(id: &str) -> bool {
    let id = rustix::process::Pid::from_raw(id.parse().unwrap()).unwrap();
    rustix::process::test_kill_process(id).is_ok()
}

#[tokio::test]
async fn each_session_has_a_child_of_its_own_and_ends_with_delete() {
    let bridge = StdioBridge::new(settings("legacy"));
    let first = Caller::open(&bridge, "alice").await;
    let second = Caller::open(&bridge, "alice").await;
    assert_ne!(first.session, second.session);
    let (one, two) = (
        first.say("pid", json!({})).await,
        second.say("pid", json!({})).await,
    );
    assert_ne!(one, two);
    assert_eq!(
        first.say("pid", json!({})).await,
        one,
        "the same child again"
    );
    assert_eq!(first.status(Method::DELETE).await, StatusCode::NO_CONTENT);
    assert_eq!(first.status(Method::DELETE).await, StatusCode::NOT_FOUND);
    let after = first.call(json!(1), "pid", json!({})).await.unwrap();
    assert_eq!(after.status(), StatusCode::NOT_FOUND);
    eventually("the child of the ended session is gone", || {
        !process_exists(&one)
    })
    .await;
    assert_eq!(second.say("pid", json!({})).await, two);
    bridge.shutdown().await;
    assert!(!process_exists(&two));
}

#[tokio::test]
async fn a_session_is_needed_and_belongs_to_who_opened_it() {
    let bridge = StdioBridge::new(settings("legacy"));
    let stranger = Caller::new(&bridge, "alice", Era::Legacy);
    let early = stranger.call(json!(5), "pid", json!({})).await.unwrap();
    assert_eq!(early.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_body(early).await["id"], 5);
    assert_eq!(stranger.status(Method::GET).await, StatusCode::BAD_REQUEST);
    let alice = Caller::open(&bridge, "alice").await;
    let mut bob = alice.clone();
    bob.principal = principal("bob");
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(bob.status(method).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(
        bob.call(json!(1), "pid", json!({})).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    let again = alice.initialize().await.unwrap();
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        alice.status(Method::PUT).await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert!(!alice.say("pid", json!({})).await.is_empty());
}

#[tokio::test]
async fn answers_find_their_request_whatever_their_order_and_their_ids() {
    let bridge = StdioBridge::new(settings("legacy"));
    let caller = Caller::open(&bridge, "alice").await;
    let hold = |id: Value, mark: &'static str| {
        let caller = caller.clone();
        tokio::spawn(async move {
            let response = caller
                .call(id, "hold", json!({ "mark": mark }))
                .await
                .unwrap();
            json_body(response).await
        })
    };
    let waiting = [
        hold(json!("a"), "first"),
        hold(json!(7), "second"),
        hold(json!("a"), "third"),
    ];
    while caller.say("release", json!({"count": 3})).await != "released" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (waiting, (id, mark)) in waiting.into_iter().zip([
        (json!("a"), "first"),
        (json!(7), "second"),
        (json!("a"), "third"),
    ]) {
        let message = waiting.await.unwrap();
        assert_eq!(message["id"], id);
        assert_eq!(message["result"]["content"][0]["text"], mark);
    }
}

#[tokio::test]
async fn progress_makes_a_stream_and_carries_the_clients_token() {
    let bridge = StdioBridge::new(settings("legacy"));
    let mut caller = Caller::open(&bridge, "alice").await;
    let params = json!({"name": "progress", "_meta": {"progressToken": "mine"}});
    let response = caller
        .request(json!(9), "tools/call", params.clone())
        .await
        .unwrap();
    let events = events(response).await;
    assert_eq!(events.len(), 4);
    assert!(
        events[..3]
            .iter()
            .all(|event| event["params"]["progressToken"] == "mine"),
        "{events:?}"
    );
    assert_eq!(events[3]["id"], 9);
    // Who reads JSON only gets the answer only.
    caller.accept = "application/json";
    let response = caller
        .request(json!(9), "tools/call", params)
        .await
        .unwrap();
    assert_eq!(json_body(response).await["id"], 9);
    // And who reads streams only gets a stream.
    caller.accept = "text/event-stream";
    let response = caller.call(json!(3), "pid", json!({})).await.unwrap();
    assert_eq!(super::tests::events(response).await[0]["id"], 3);
}

#[tokio::test]
async fn the_server_may_ask_the_client_during_a_call() {
    let bridge = StdioBridge::new(settings("legacy"));
    let caller = Caller::open(&bridge, "alice").await;
    let mut call = caller.call(json!(1), "ask", json!({})).await.unwrap();
    let question = next_event(&mut call).await;
    assert_eq!(question["method"], "sampling/createMessage");
    let unasked = json!({"jsonrpc": "2.0", "id": "another", "result": {}});
    assert_eq!(
        caller.post(unasked).await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"role": "user"}});
    assert_eq!(
        caller.post(reply).await.unwrap().status(),
        StatusCode::ACCEPTED
    );
    let answer = next_event(&mut call).await;
    assert_eq!(
        answer["result"]["content"][0]["text"],
        r#"client said {"role":"user"}"#
    );
    assert!(
        call.body_mut().frame().await.is_none(),
        "the answer ends the stream"
    );
}

#[tokio::test]
async fn what_belongs_to_no_request_comes_on_the_get_stream() {
    let bridge = StdioBridge::new(settings("legacy"));
    let caller = Caller::open(&bridge, "alice").await;
    let mut stream = caller.send(Method::GET, Bytes::new()).await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(caller.say("changed", json!({})).await, "changing");
    assert_eq!(
        next_event(&mut stream).await["method"],
        "notifications/tools/list_changed"
    );
    caller.status(Method::DELETE).await;
    while let Some(frame) = stream.body_mut().frame().await {
        frame.unwrap();
    }
    let mut other = Caller::open(&bridge, "alice").await;
    other.accept = "application/json";
    assert_eq!(other.status(Method::GET).await, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_silent_child_does_not_leave_the_client_without_a_sign() {
    let mut settings = settings("legacy");
    settings.limits.quiet = Duration::from_millis(100);
    let bridge = StdioBridge::new(settings);
    let caller = Caller::open(&bridge, "alice").await;
    let mut call = caller
        .call(json!(1), "hold", json!({"mark": "late"}))
        .await
        .unwrap();
    let sign = call
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert!(sign.starts_with(b":"));
    drop(caller.call(json!(2), "release", json!({})).await.unwrap());
    assert_eq!(
        next_event(&mut call).await["result"]["content"][0]["text"],
        "late"
    );
}

#[tokio::test]
async fn a_crash_is_told_in_words_and_ends_the_session() {
    let bridge = StdioBridge::new(settings("legacy"));
    let caller = Caller::open(&bridge, "alice").await;
    let error = caller.call(json!(1), "crash", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    let after = caller.call(json!(1), "pid", json!({})).await.unwrap();
    assert_eq!(after.status(), StatusCode::NOT_FOUND);
    // On a stream that has begun the words come as an error of the request.
    let caller = Caller::open(&bridge, "alice").await;
    let mut waiting = caller.call(json!(8), "ask", json!({})).await.unwrap();
    next_event(&mut waiting).await;
    caller.call(json!(1), "crash", json!({})).await.unwrap_err();
    let error = next_event(&mut waiting).await;
    assert_eq!(error["id"], 8);
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("exit status: 3"),
        "{error}"
    );
}

#[tokio::test]
async fn a_child_that_does_not_start_or_refuses_leaves_nothing_behind() {
    let bridge = StdioBridge::new(settings("dies-at-once"));
    let error = Caller::new(&bridge, "alice", Era::Legacy)
        .initialize()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("exit status: 7"), "{error}");
    let mut missing = settings("legacy");
    missing.command = "no-such-command-anywhere".into();
    let error = Caller::new(&StdioBridge::new(missing), "alice", Era::Legacy)
        .initialize()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("was not found"), "{error}");
    let mut nowhere = settings("legacy");
    nowhere.directory = "/no/such/directory".into();
    let error = Caller::new(&StdioBridge::new(nowhere), "alice", Era::Legacy)
        .initialize()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/no/such/directory"), "{error}");
    let mut no_program = settings("legacy");
    no_program.command = "/etc/passwd".into();
    let error = Caller::new(&StdioBridge::new(no_program), "alice", Era::Legacy)
        .initialize()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("may not be executed"), "{error}");
    let bridge = StdioBridge::new(settings("refuses"));
    // More often than there is room: a refused child makes room at once.
    for _ in 0..6 {
        let refused = Caller::new(&bridge, "alice", Era::Legacy)
            .initialize()
            .await
            .unwrap();
        assert!(!refused.headers().contains_key("mcp-session-id"));
        assert_eq!(json_body(refused).await["error"]["message"], "no");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_principal_has_four_children_a_server_sixteen_and_the_next_is_told_to_wait() {
    let mut settings = settings("legacy");
    settings.limits.children_max = 6;
    let bridge = StdioBridge::new(settings);
    let mut alice = Vec::new();
    for _ in 0..4 {
        alice.push(Caller::open(&bridge, "alice").await);
    }
    let fifth = Caller::new(&bridge, "alice", Era::Legacy)
        .initialize()
        .await
        .unwrap();
    assert_eq!(fifth.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(fifth.headers().contains_key("retry-after"));
    let _bob = Caller::open(&bridge, "bob").await;
    let _carol = Caller::open(&bridge, "carol").await;
    let seventh = Caller::new(&bridge, "dave", Era::Legacy)
        .initialize()
        .await
        .unwrap();
    assert_eq!(seventh.status(), StatusCode::SERVICE_UNAVAILABLE);
    let pid = alice[0].say("pid", json!({})).await;
    alice[0].status(Method::DELETE).await;
    eventually("the ended child is gone", || !process_exists(&pid)).await;
    Caller::open(&bridge, "dave").await;
    assert_eq!(StdioLimits::default().children_per_principal_max, 4);
    assert_eq!(StdioLimits::default().children_max, 16);
}

#[tokio::test]
async fn a_forgotten_session_makes_room_for_a_new_one_of_the_same_principal() {
    let mut settings = settings("legacy");
    settings.limits.children_per_principal_max = 2;
    settings.limits.evict_after = Duration::from_millis(300);
    let bridge = StdioBridge::new(settings);
    let forgotten = Caller::open(&bridge, "alice").await;
    let watched = Caller::open(&bridge, "alice").await;
    let _stream = watched.send(Method::GET, Bytes::new()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let fresh = Caller::open(&bridge, "alice").await;
    assert_eq!(
        forgotten
            .call(json!(1), "pid", json!({}))
            .await
            .unwrap()
            .status(),
        StatusCode::NOT_FOUND
    );
    assert!(!watched.say("pid", json!({})).await.is_empty());
    assert!(!fresh.say("pid", json!({})).await.is_empty());
}

#[tokio::test]
async fn an_unused_session_ends_and_one_with_a_listener_does_not() {
    let mut settings = settings("legacy");
    settings.limits.session_idle = Duration::from_millis(1500);
    let bridge = StdioBridge::new(settings);
    let unused = Caller::open(&bridge, "alice").await;
    let watched = Caller::open(&bridge, "alice").await;
    let pid = unused.say("pid", json!({})).await;
    let stream = watched.send(Method::GET, Bytes::new()).await.unwrap();
    eventually("the unused child is gone", || !process_exists(&pid)).await;
    assert_eq!(
        unused
            .call(json!(1), "pid", json!({}))
            .await
            .unwrap()
            .status(),
        StatusCode::NOT_FOUND
    );
    tokio::time::sleep(Duration::from_millis(2000)).await;
    let pid = watched.say("pid", json!({})).await;
    drop(stream);
    eventually("nobody listens any more", || !process_exists(&pid)).await;
}

#[tokio::test]
async fn a_child_ends_with_all_it_started_and_even_when_it_clings() {
    let bridge = StdioBridge::new(settings("clings"));
    let caller = Caller::open(&bridge, "alice").await;
    let child = caller.say("pid", json!({})).await;
    let offspring = caller.say("offspring", json!({})).await;
    assert!(process_exists(&child) && process_exists(&offspring));
    let started = Instant::now();
    bridge.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(5));
    // Killed and perhaps not yet collected by init.
    eventually("nobody is left", || is_dead(&child) && is_dead(&offspring)).await;
    // The same when the last bridge is dropped.
    let bridge = StdioBridge::new(settings("clings"));
    let caller = Caller::open(&bridge, "alice").await;
    let child = caller.say("pid", json!({})).await;
    drop((bridge, caller));
    eventually("nobody is left", || is_dead(&child)).await;
}

/// Gone, or a zombie that its new parent has not collected.
fn is_dead(id: &str) -> bool {
    let state = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", id])
        .output();
    let Ok(state) = state else {
        return !process_exists(id);
    };
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    state.is_empty() || state.starts_with('Z')
}

#[tokio::test]
async fn the_environment_is_clean_and_has_what_was_added() {
    let mut settings = settings("legacy");
    settings.env.push(("API_KEY".into(), "k".into()));
    settings.directory = std::env::temp_dir();
    assert!(!format!("{settings:?}").contains("\"k\""));
    let bridge = StdioBridge::new(settings);
    let caller = Caller::open(&bridge, "alice").await;
    let names = caller.say("env", json!({})).await;
    let names: Vec<&str> = names.split(',').collect();
    assert!(
        names.contains(&"API_KEY") && names.contains(&"PATH"),
        "{names:?}"
    );
    // Cargo tells its tests a lot; none of it is the child's business.
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
    assert!(
        !names.iter().any(|name| name.starts_with("CARGO")),
        "{names:?}"
    );
    let directory = caller.say("directory", json!({})).await;
    assert_eq!(
        directory,
        std::env::temp_dir()
            .canonicalize()
            .unwrap()
            .to_str()
            .unwrap()
    );
}

#[tokio::test]
async fn standard_error_is_relayed_line_by_line_cut_and_clean() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut settings = settings("legacy");
    let taking = Arc::clone(&lines);
    settings.stderr = Some(StderrSink::new(move |line| {
        taking.lock().unwrap().push(line.to_owned())
    }));
    settings.limits.stderr_line_bytes_max = 100;
    let bridge = StdioBridge::new(settings);
    let caller = Caller::open(&bridge, "alice").await;
    caller.say("stderr", json!({})).await;
    let cut = format!("{} [...]", "y".repeat(100));
    eventually("all lines have come", || {
        lines.lock().unwrap().contains(&cut)
    })
    .await;
    let lines = lines.lock().unwrap();
    assert!(
        lines.contains(&"ready".to_owned()) && lines.contains(&"red".to_owned()),
        "{lines:?}"
    );
    // What is no message on the standard output is shown too, marked.
    assert!(
        lines.iter().any(|line| line.starts_with("(stdout) ")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_is_an_error_and_the_session_goes_on() {
    let mut settings = settings("legacy");
    settings.limits.line_bytes_max = 100_000;
    let bridge = StdioBridge::new(settings);
    let caller = Caller::open(&bridge, "alice").await;
    let error = caller
        .call(json!(1), "huge", json!({"bytes": 200_000}))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 100000 bytes"),
        "{error}"
    );
    assert_eq!(
        caller.say("huge", json!({"bytes": 90_000})).await.len(),
        90_000
    );
}

#[tokio::test]
async fn a_cancelled_call_is_answered_and_the_child_hears_of_it() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut settings = settings("legacy");
    let taking = Arc::clone(&lines);
    settings.stderr = Some(StderrSink::new(move |line| {
        taking.lock().unwrap().push(line.to_owned())
    }));
    let bridge = StdioBridge::new(settings);
    let caller = Caller::open(&bridge, "alice").await;
    let hanging = tokio::spawn({
        let caller = caller.clone();
        async move { json_body(caller.call(json!("h"), "hang", json!({})).await.unwrap()).await }
    });
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "h"}});
    while !hanging.is_finished() {
        let told = caller.post(cancel.clone()).await.unwrap();
        assert_eq!(told.status(), StatusCode::ACCEPTED);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(hanging.await.unwrap()["id"], "h");
    // Its id for the call, not the client's: initialize was 1.
    eventually("the child hears", || {
        lines.lock().unwrap().contains(&"cancelled 2".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_modern_child_is_shared_by_what_one_subject_does_through_one_client() {
    let bridge = StdioBridge::new(settings("modern"));
    let alice = Caller::new(&bridge, "alice", Era::Modern);
    let bob = Caller::new(&bridge, "bob", Era::Modern);
    let pid = alice.say("pid", json!({})).await;
    assert_eq!(alice.say("pid", json!({})).await, pid);
    assert_ne!(bob.say("pid", json!({})).await, pid);
    let discovered = alice
        .request(json!("d"), "server/discover", json!({}))
        .await
        .unwrap();
    assert!(!discovered.headers().contains_key("mcp-session-id"));
    assert_eq!(
        json_body(discovered).await["result"]["supportedVersions"],
        json!(["2026-07-28"])
    );
    // A legacy client is served beside it.
    assert_ne!(
        Caller::open(&bridge, "alice")
            .await
            .say("pid", json!({}))
            .await,
        pid
    );
}

#[tokio::test]
async fn hanging_up_cancels_a_modern_call() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut settings = settings("modern");
    let taking = Arc::clone(&lines);
    settings.stderr = Some(StderrSink::new(move |line| {
        taking.lock().unwrap().push(line.to_owned())
    }));
    settings.limits.quiet = Duration::from_millis(300);
    let bridge = StdioBridge::new(settings);
    let alice = Caller::new(&bridge, "alice", Era::Modern);
    let hanging = alice.call(json!("h"), "hang", json!({})).await.unwrap();
    assert!(
        lines
            .lock()
            .unwrap()
            .iter()
            .all(|line| !line.starts_with("cancelled"))
    );
    drop(hanging);
    eventually("the child hears", || {
        lines
            .lock()
            .unwrap()
            .iter()
            .any(|line: &String| line.starts_with("cancelled "))
    })
    .await;
}

#[tokio::test]
async fn a_legacy_server_answers_a_modern_probe_with_a_plain_400() {
    for role in ["legacy", "dies-at-probe", "silent-at-probe"] {
        let bridge = StdioBridge::new(settings(role));
        let modern = Caller::new(&bridge, "alice", Era::Modern);
        let probe = modern
            .request(json!(1), "server/discover", json!({}))
            .await
            .unwrap();
        assert_eq!(probe.status(), StatusCode::BAD_REQUEST, "{role}");
        let code = json_body(probe).await["error"]["code"].as_i64().unwrap();
        assert!(
            !(-32099..=-32020).contains(&code),
            "{role}: {code} would look modern"
        );
        let caller = Caller::open(&bridge, "alice").await;
        assert!(!caller.say("pid", json!({})).await.is_empty(), "{role}");
    }
}

#[tokio::test]
async fn the_inventory_is_read_in_the_era_that_the_server_speaks() {
    for (role, modern) in [
        ("legacy", false),
        ("modern", true),
        ("dies-at-probe", false),
        ("silent-at-probe", false),
    ] {
        let found = discover(&settings(role)).await.unwrap();
        let tools: Vec<_> = found
            .inventory
            .tools
            .iter()
            .map(|tool| tool.identity().to_owned())
            .collect();
        assert_eq!(tools, ["one", "three", "two"], "{role}");
        assert_eq!(
            found.inventory.resources.len(),
            usize::from(!modern),
            "{role}"
        );
        assert_eq!(found.modern, modern, "{role}");
        assert_eq!(found.server_name.as_deref(), Some("child"), "{role}");
    }
    let refused = discover(&settings("refuses")).await.unwrap_err();
    assert!(
        matches!(&refused, DiscoverError::NotMcp(words) if words.contains("no")),
        "{refused:?}"
    );
    let dead = discover(&settings("dies-at-once")).await.unwrap_err();
    assert!(
        matches!(&dead, DiscoverError::Unreachable(words) if words.contains("7")),
        "{dead:?}"
    );
}
