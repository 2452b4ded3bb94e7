//! The child of the tests: this test program once more, told by a variable to be an MCP server.
//!
//! It is written against the standard library and blocks, as small servers do. What the test harness prints before it
//! starts is an example of a server that prints other things to its standard output.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use super::StdioSettings;

const ROLE: &str = "TEST_CHILD_ROLE";

/// Settings that start it in `role`.
pub(super) fn settings(role: &str) -> StdioSettings {
    let program = std::env::current_exe().unwrap();
    let args = ["--exact", "stdio::test_child::be_the_child", "--nocapture"];
    let mut settings = StdioSettings::new(
        program.to_str().unwrap(),
        args.map(str::to_owned).to_vec(),
        std::env::temp_dir(),
    );
    settings.env = vec![(ROLE.to_owned(), role.to_owned())];
    settings.limits.stop_patience = Duration::from_millis(300);
    settings.limits.probe_timeout = match role {
        "silent-at-probe" => Duration::from_millis(500),
        _ => Duration::from_secs(10),
    };
    settings
}

/// Does nothing as a test.
#[test]
fn be_the_child() {
    if let Ok(role) = std::env::var(ROLE) {
        serve(&role);
        std::process::exit(0);
    }
}

fn write(message: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{message}").unwrap();
    out.flush().unwrap();
}

fn answer(id: &Value, result: &Value) {
    write(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

fn text(id: &Value, text: impl Into<String>) {
    answer(
        id,
        &json!({"content": [{"type": "text", "text": text.into()}]}),
    );
}

fn serve(role: &str) {
    if role == "dies-at-once" {
        std::process::exit(7);
    }
    // What the test harness began stays on a line of its own.
    write(&json!("not a message"));
    eprint_line("ready");
    let mut held: Vec<Value> = Vec::new();
    let mut asking: Option<Value> = None;
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = message["id"].clone();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("initialize") if role == "refuses" => {
                let error = json!({"code": -32602, "message": "no"});
                write(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
            Some("initialize") => answer(
                &id,
                &json!({"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}, "resources": {}},
                        "serverInfo": {"name": "child", "version": "1"}}),
            ),
            Some("server/discover") if role == "modern" => answer(
                &id,
                &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                        "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private",
                        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "child", "version": "1"}}}),
            ),
            Some("server/discover") if role == "dies-at-probe" => std::process::exit(1),
            Some("server/discover") if role == "silent-at-probe" => {}
            Some("tools/list") => {
                let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
                let page = match params["cursor"].as_str() {
                    None => json!({"tools": [tool("one"), tool("two")], "nextCursor": "next"}),
                    Some(_) => json!({"tools": [tool("three")]}),
                };
                answer(&id, &page);
            }
            Some("resources/list") => {
                answer(&id, &json!({"resources": [{"uri": "a://1", "name": "a"}]}))
            }
            Some("tools/call") => call(&id, params, &mut held, &mut asking),
            Some("notifications/cancelled") => {
                eprint_line(&format!("cancelled {}", params["requestId"]))
            }
            Some(_) if id.is_null() => {}
            Some(_) => {
                let error = json!({"code": -32601, "message": "Method not found"});
                write(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
            None => {
                if let Some(asked) = asking.take() {
                    text(&asked, format!("client said {}", message["result"]));
                }
            }
        }
    }
    if role == "clings" {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn eprint_line(line: &str) {
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").unwrap();
}

fn call(id: &Value, params: &Value, held: &mut Vec<Value>, asking: &mut Option<Value>) {
    let arguments = &params["arguments"];
    match params["name"].as_str().unwrap() {
        "pid" => text(id, std::process::id().to_string()),
        "env" => {
            let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            names.sort();
            text(id, names.join(","));
        }
        "directory" => text(id, std::env::current_dir().unwrap().to_str().unwrap()),
        "progress" => {
            let token = &params["_meta"]["progressToken"];
            for progress in 1..=3 {
                write(
                    &json!({"jsonrpc": "2.0", "method": "notifications/progress",
                              "params": {"progressToken": token, "progress": progress}}),
                );
            }
            text(id, "done");
        }
        "ask" => {
            write(
                &json!({"jsonrpc": "2.0", "id": "question-1", "method": "sampling/createMessage", "params": {}}),
            );
            *asking = Some(id.clone());
        }
        "changed" => {
            text(id, "changing");
            write(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        }
        // Answered in the other order, so that only the id says whose answer it is.
        "hold" => held.push(json!([id, arguments["mark"]])),
        "release" if (held.len() as u64) < arguments["count"].as_u64().unwrap_or(0) => {
            text(id, "too early");
        }
        "release" => {
            while let Some(one) = held.pop() {
                text(&one[0], one[1].as_str().unwrap());
            }
            text(id, "released");
        }
        "hang" => {}
        "crash" => std::process::exit(3),
        "huge" => text(
            id,
            "x".repeat(arguments["bytes"].as_u64().unwrap() as usize),
        ),
        "stderr" => {
            eprint_line("\u{1b}[31mred\u{1b}[0m");
            eprint_line(&"y".repeat(10_000));
            text(id, "said");
        }
        "offspring" => {
            #[allow(clippy::zombie_processes, reason = "who ends it is what the test asks")]
            let child = std::process::Command::new("sleep")
                .arg("60")
                .spawn()
                .unwrap();
            text(id, child.id().to_string());
        }
        name => text(id, format!("{name} {arguments}")),
    }
}
