//! What is only nearly allowed, and who is only nearly the caller.

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::Rig;

#[tokio::test]
async fn a_name_that_is_only_nearly_that_of_a_tool_is_no_tool() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read note:write");
    for name in [
        "Echo",
        "ECHO",
        "echo ",
        " echo",
        "echo\n",
        "echo\u{0}",
        "echo\u{200b}",
        "\u{feff}echo",
        "ech\u{3bf}",
        "e\u{301}cho",
        "\u{ff45}cho",
        "ec",
        "echo2",
        "echo*",
        "*",
        "echo/",
        "notes__echo",
        "",
    ] {
        let answer = client.call_tool(name, json!({})).await;
        assert_eq!(answer.response()["error"]["code"], -32602, "{name:?}");
    }
    assert_eq!(rig.echo.requests().len(), 0);
    let answer = client.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(rig.echo.requests().len(), 1);
}

#[tokio::test]
async fn another_spelling_of_a_resource_opens_nothing_more() {
    let rig = Rig::start().await;
    // `note://1` may be read; every other note needs what this caller does not have.
    let client = rig.caller("note:read");
    for uri in [
        "note://2",
        "note://1/../2",
        "note://1%2f..%2f2",
        "note://%32",
        "NOTE://2",
        "note://1#2",
        "note://1?x",
        "note://1 ",
        "note:///1",
        "note://1/",
        "note://1/.",
        "note://1\u{0}",
        "note://*",
        "note:1",
        "",
    ] {
        let answer = client.request("resources/read", json!({"uri": uri})).await;
        let refused =
            answer.status == StatusCode::FORBIDDEN || answer.response()["error"]["code"].is_i64();
        assert!(refused, "{uri:?}: {}", answer.status);
    }
    assert_eq!(rig.echo.requests().len(), 0);
    let answer = client
        .request("resources/read", json!({"uri": "note://1"}))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn on_shared_connections_everybody_gets_their_own_answers_under_their_own_name() {
    let rig = Rig::start().await;
    let people = ["usr_alice", "usr_bob", "usr_carol", "usr_dan"];
    let calls = (0..400).map(|number| {
        let person = people[number % people.len()];
        let client = rig.caller_as(person, "cli_1", "note:read");
        async move {
            let mark = format!("{person} {number}");
            let answer = client.call_tool("echo", json!({"mark": mark})).await;
            assert_eq!(answer.status, StatusCode::OK);
            let result = answer.result().to_string();
            assert!(result.contains(&mark), "{mark}: {result}");
        }
    });
    join_all(calls).await;
    let sent = rig.echo.requests();
    assert_eq!(sent.len(), 400);
    for request in sent {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let mark = body["params"]["arguments"]["mark"].as_str().unwrap();
        let identity = request.headers["portcullis-identity"].to_str().unwrap();
        let claims = base::base64url_decode(identity.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"].as_str(), mark.split(' ').next());
    }
}
