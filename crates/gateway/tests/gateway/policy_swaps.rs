//! A policy that is swapped for another one, over and over, under callers that never pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use authz::{Entry, Requirement};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::echo::tool;
use testkit::{Answer, McpClient};
use wire::oauth::ScopeSet;

use crate::support::{Rig, entry};

/// As many for answers in JSON, and as many for events.
const SWAPS: i64 = 500;

fn open() -> Entry {
    entry(Requirement::AnyOf(vec![ScopeSet::parse_lenient(
        "note:read",
    )]))
}

/// The policy of this revision: `steady` is open in all of them, `closed` in none, and of `even` and `odd` one.
fn swap(rig: &Rig, revision: i64) {
    rig.publish(|server| {
        server.policy_revision = revision;
        let tools = &mut server.policy.tools;
        tools.insert("steady".into(), open());
        tools.insert("closed".into(), entry(Requirement::Denied));
        tools.insert(open_in(revision).into(), open());
    });
}

const fn open_in(revision: i64) -> &'static str {
    match revision % 2 {
        0 => "even",
        _ => "odd",
    }
}

/// Whether it was answered by the tool; whatever else is said must be what is said of a tool that is not there.
fn is_let_in(answer: &Answer, name: &str) -> bool {
    if answer.status == StatusCode::OK && answer.text() == "{}" {
        return true;
    }
    let error = &answer.response()["error"];
    assert_eq!(error["code"], -32602, "{answer:?}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("Unknown tool: {name}")),
        "{answer:?}"
    );
    false
}

async fn call(client: &McpClient, name: &str, modern: bool) -> bool {
    let arguments = json!({"name": name, "arguments": {}});
    let answer = match modern {
        true => client.modern("tools/call", arguments).await,
        false => client.request("tools/call", arguments).await,
    };
    is_let_in(&answer, name)
}

async fn listed(client: &McpClient, modern: bool) -> Vec<String> {
    let answer = match modern {
        true => client.modern("tools/list", json!({})).await,
        false => client.request("tools/list", json!({})).await,
    };
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let result = answer.result();
    let names = result["tools"].as_array().unwrap().iter();
    names
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// What a caller met.
#[derive(Debug, Default)]
struct Met {
    rounds: usize,
    /// How often `even` was open, and `odd`.
    open: [usize; 2],
}

async fn calls_without_a_pause(client: McpClient, modern: bool, done: Arc<AtomicBool>) -> Met {
    let mut met = Met::default();
    while !done.load(Ordering::Relaxed) {
        met.rounds += 1;
        assert!(
            call(&client, "steady", modern).await,
            "never without a policy"
        );
        assert!(!call(&client, "closed", modern).await);
        for (index, name) in ["even", "odd"].into_iter().enumerate() {
            met.open[index] += usize::from(call(&client, name, modern).await);
        }
        // One list is of one policy, and not of two.
        let names = listed(&client, modern).await;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(
            names == ["steady", "even"] || names == ["steady", "odd"],
            "{names:?}"
        );
        tokio::task::yield_now().await;
    }
    met
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_thousand_policies_after_another_no_call_is_without_one_or_between_two() {
    for answer_as_sse in [false, true] {
        let rig = Rig::with_echo(|echo| {
            echo.answer_as_sse = answer_as_sse;
            echo.record = false;
            echo.tools = ["steady", "closed", "even", "odd"]
                .map(|name| tool(name, "A tool.", Value::Null))
                .to_vec();
        })
        .await;
        swap(&rig, 0);
        let done = Arc::new(AtomicBool::new(false));
        let callers = [false, true].map(|modern| {
            let client = rig.caller("note:read");
            tokio::spawn(calls_without_a_pause(client, modern, Arc::clone(&done)))
        });
        let client = rig.caller("note:read");
        for revision in 1..=SWAPS {
            swap(&rig, revision);
            // A call that begins now is judged by it.
            let modern = revision % 3 == 0;
            let (now, before) = (open_in(revision), open_in(revision - 1));
            assert!(call(&client, now, modern).await, "revision {revision}");
            assert!(!call(&client, before, modern).await, "revision {revision}");
        }
        done.store(true, Ordering::Relaxed);
        for caller in callers {
            let met = caller.await.unwrap();
            let saw_both = met.open.iter().all(|count| *count > 0);
            assert!(saw_both && met.rounds > 10, "{met:?}");
        }
    }
}
