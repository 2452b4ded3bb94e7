//! The records of calls: what is in them, and what is asked of them.

use std::path::Path;

use super::*;

/// What a caller writes into an argument that nobody declared safe.
const CANARY: &str = "canary-hunter2";

impl Apart {
    /// The exported calls that `more` asks for.
    async fn exported(&self, more: &[&str]) -> Vec<Value> {
        let text = self.done(&[&["activity", "export"], more].concat()).await;
        assert!(!text.contains(CANARY), "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Until an exported call is so.
    async fn exported_one(&self, more: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            if let Some(call) = self.exported(more).await.into_iter().rev().find(&is_so) {
                return call;
            }
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn heard(&self) -> usize {
        let requests = self.echo.requests().into_iter();
        requests
            .filter(|request| {
                request
                    .body
                    .windows(CANARY.len())
                    .any(|part| part == CANARY.as_bytes())
            })
            .count()
    }

    /// Asks for this tool until the policy answers as `wanted` says.
    async fn asked(&self, token: &str, tool: &str, wanted: bool) {
        let began = Instant::now();
        loop {
            let arguments = json!({"password": CANARY, "path": "/srv/a", "n": 1.0});
            let answer = self.client(token).call_tool(tool, arguments).await;
            let is_error = answer.response()["error"].is_object();
            if answer.status == StatusCode::OK && is_error != wanted {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{tool}: {}", answer.status);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn observing(apart: &Apart) {
    apart.mapped().await;
    let (person, tokens) = apart.signed_in().await;
    let token = access(&tokens);
    let subject = claims(token)["sub"].as_str().unwrap().to_owned();
    // One that is allowed, before all others.
    apart.felt(token, StatusCode::OK, PATIENCE).await;
    apart
        .done(&["servers", "set", "echo", "--mode", "observe"])
        .await;
    apart
        .done(&["tools", "map", "echo", "delete_note", "--deny"])
        .await;

    // It is answered, and the record says that it would not have been.
    let would_be = |call: &Value| call["decision"] == "would_be_denied";
    let began = Instant::now();
    let call = loop {
        apart.asked(token, "delete_note", true).await;
        let calls = apart.exported(&["--denied"]).await;
        if let Some(call) = calls.into_iter().find(would_be) {
            break call;
        }
        assert!(began.elapsed() < PATIENCE);
    };
    assert!(apart.heard() > 0, "the upstream was asked");
    for (member, expected) in [
        ("server", json!("echo")),
        ("subject", json!(subject)),
        ("client", json!(person.client_id)),
        ("method", json!("tools/call")),
        ("name", json!("delete_note")),
        ("cause", json!("denied_by_rule")),
        ("rule", json!("tool delete_note: denied")),
        ("outcome", json!("allowed")),
        ("status", json!(200)),
        ("arguments", Value::Null),
    ] {
        assert_eq!(call[member], expected, "{member}: {call}");
    }
    for member in ["policy_revision", "judged_us", "duration_us"] {
        assert!(call[member].as_i64().unwrap() > 0, "{member}: {call}");
    }
    for member in ["at", "grant", "arguments_digest", "correlation_id"] {
        assert!(call[member].is_string(), "{member}: {call}");
    }
    let report = apart
        .done(&["activity", "observed", "echo", "--json"])
        .await;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["mode"], "observe");
    assert!(report["would_be_denied"].as_u64().unwrap() > 0, "{report}");
    assert!(report["calls"].as_u64() > report["would_be_denied"].as_u64());
    assert_eq!(report["tools"][0]["name"], "delete_note");
    assert_eq!(report["tools"][0]["rule"], "tool delete_note: denied");
    assert_eq!(report["clients"][0]["client"], json!(person.client_id));
    assert_eq!(report["people"][0]["shown"], EMAIL);
    let told = apart.done(&["activity", "observed", "echo"]).await;
    assert!(told.contains("echo observes"), "{told}");
    for word in ["delete_note", "denied_by_rule", EMAIL] {
        assert!(told.contains(word), "{word}: {told}");
    }

    // What is asked for is found, and nothing else.
    let none = "2001-01-01";
    for (more, found) in [
        (["--person", EMAIL], true),
        (["--person", subject.as_str()], true),
        (["--client", person.client_id.as_str()], true),
        (["--server", "echo"], true),
        (["--since", "1h"], true),
        (["--client", "cli_of_nobody"], false),
        (["--server", "nowhere"], false),
        (["--until", none], false),
    ] {
        assert_eq!(!apart.exported(&more).await.is_empty(), found, "{more:?}");
    }
    let listed = apart
        .done(&["activity", "list", "--limit", "3", "--denied"])
        .await;
    assert!(
        listed.contains("would_be_denied (denied_by_rule), 200"),
        "{listed}"
    );
    assert!(listed.contains(EMAIL), "{listed}");
    assert!(listed.lines().count() <= 4, "{listed}");

    declared_safe(apart, token, call["arguments_digest"].as_str().unwrap()).await;

    // The same when it is enforced: nobody is asked, and the record says so.
    let enforce = ["servers", "set", "echo", "--mode", "enforce"];
    apart.done(&enforce).await;
    apart.asked(token, "delete_note", false).await;
    let heard = apart.heard();
    apart.asked(token, "delete_note", false).await;
    assert_eq!(apart.heard(), heard);
    let denied = apart
        .exported_one(&["--denied"], |call| call["decision"] == "denied")
        .await;
    assert_eq!(denied["outcome"], "denied");
    assert_eq!(denied["rule"], "tool delete_note: denied");
    assert_eq!(denied["arguments_digest"], Value::Null);
    let told = apart.done(&["activity", "observed", "echo"]).await;
    assert!(told.contains("enforces now"), "{told}");

    let mut inside = apart.gateway.open("operations_listen").await;
    let metrics = inside.send(Request::get("/metrics"), "").await.unwrap();
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    for decision in ["would_be_denied", "denied"] {
        let series = format!(
            "portcullis_tool_calls_total{{server=\"echo\",tool=\"delete_note\",decision=\"{decision}\"}}"
        );
        assert!(metrics.contains(&series), "{series} in\n{metrics}");
    }
}

/// An argument that somebody declares safe stands in the records from then on; the others never do.
async fn declared_safe(apart: &Apart, token: &str, digest: &str) {
    let exported = apart.done(&["export"]).await;
    let tool = "[servers.echo.policy.tools.delete_note]\n";
    let edited =
        |line: &str| exported.replace(tool, &format!("{tool}recorded_arguments = {line}\n"));
    let apply = async |text: &str| {
        let file = apart.home.write("edited.toml", text);
        let arguments = ["apply", "--yes", file.to_str().unwrap()];
        run(&apart.home, &apart.of_authority, &arguments, "").await
    };
    for (line, words) in [
        ("[\"path\"]", "no JSON Pointer"),
        ("[\"/pth\"]", "has no argument /pth"),
    ] {
        let refused = apply(&edited(line)).await;
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let applied = apply(&edited("[\"/path\", \"/n\"]")).await;
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let began = Instant::now();
    let call = loop {
        apart.asked(token, "delete_note", true).await;
        let calls = apart.exported(&["--denied"]).await.into_iter().rev();
        if let Some(call) = calls.take(1).find(|call| call["arguments"].is_object()) {
            break call;
        }
        assert!(began.elapsed() < PATIENCE);
    };
    assert_eq!(call["arguments"], json!({"/path": "/srv/a", "/n": 1.0}));
    // It is of all arguments, as before.
    assert_eq!(call["arguments_digest"], digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_observes_refuses_nothing_and_reports_what_it_would_have() {
    let apart = Apart::start("").await;
    observing(&apart).await;
    apart.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_report_from_an_authority_on_postgres() {
    let Some(url) = postgres() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let schema = format!("calls_{}", unused_port().await);
    let apart = Apart::start(&on_postgres(folder.path(), &url, &schema)).await;
    observing(&apart).await;
    apart.stop().await;
}

/// The gateway's configuration with `more` in it.
fn with(file: &Path, more: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replacen("[authority]", &format!("{more}\n[authority]"), 1);
    std::fs::write(file, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_record_may_be_lost_calls_are_refused_while_there_is_no_room_and_none_is_missing()
{
    let mut apart = Apart::start("").await;
    apart.mapped().await;
    with(
        &apart.of_gateway,
        "[activity]\nwhen_full = \"refuse\"\nwaiting = 512\n[limits]\nconnections = 16",
    );
    apart.gateway.stop().await;
    apart.gateway = Node::start(&apart.home, &apart.of_gateway).await;
    apart.felt("x", StatusCode::UNAUTHORIZED, PATIENCE).await;
    let (_, tokens) = apart.signed_in().await;
    let token = access(&tokens);
    assert_eq!(apart.call(token).await, StatusCode::OK);

    // Nobody takes the records now.
    apart.authority.child.kill().await.unwrap();
    let mut answered = 1;
    let refused = loop {
        let client = apart.client(token);
        let answer = client.call_tool("echo", json!({"a": 1})).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        answered += 1;
        assert!(answered < 3000, "nothing is ever refused");
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key("retry-after"));
    let words = refused.response()["error"]["message"].to_string();
    assert!(words.contains("cannot be recorded"), "{words}");
    let heard = apart.echo.requests().len();
    assert_eq!(apart.call(token).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(apart.echo.requests().len(), heard);
    let mut inside = apart.gateway.open("operations_listen").await;
    let metrics = inside.send(Request::get("/metrics"), "").await.unwrap();
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    assert!(metrics.contains("reason=\"unrecorded\""), "{metrics}");

    // It comes back, and hears of every call that was answered.
    apart.authority = Node::start(&apart.home, &apart.of_authority).await;
    apart.felt(token, StatusCode::OK, PATIENCE).await;
    answered += 1;
    let began = Instant::now();
    loop {
        let calls = apart.exported(&["--server", "echo"]).await;
        let allowed = |call: &&Value| call["name"] == "echo" && call["outcome"] == "allowed";
        let recorded = calls.iter().filter(allowed).count();
        if recorded >= answered {
            assert_eq!(recorded, answered);
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{recorded} of {answered}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    apart.stop().await;
}
