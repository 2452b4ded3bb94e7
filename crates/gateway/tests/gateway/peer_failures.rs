//! What other authorization products for MCP servers were seen to let pass (`docs/peer-failures.md`), asked of this gateway.

use authz::Requirement;
use base::Clock as _;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::McpClient;
use tokio::io::AsyncWriteExt as _;
use wire::oauth::ScopeSet;

use crate::support::{Rig, entry, head, rig_before, scripted};

/// The ways in: what opens a connection, what lists, what does something.
const METHODS: [(&str, &str); 4] = [
    (
        "initialize",
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#,
    ),
    ("ping", "{}"),
    ("tools/list", "{}"),
    ("tools/call", r#"{"name":"write_note","arguments":{}}"#),
];

/// The status of each way in for this client.
async fn statuses(client: &McpClient) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for (method, params) in METHODS {
        let params: Value = serde_json::from_str(params).unwrap();
        let answer = client.request(method, params).await;
        let challenged = answer.headers.contains_key("www-authenticate");
        assert_eq!(challenged, answer.status == StatusCode::UNAUTHORIZED);
        if challenged {
            let line = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(line.starts_with("Bearer error=\"invalid_token\""), "{line}");
            assert!(!answer.body.starts_with(b"{\"jsonrpc\""), "{answer:?}");
        }
        statuses.push(answer.status);
    }
    statuses
}

#[tokio::test]
async fn a_token_that_is_none_gets_401_from_every_method_and_a_good_one_from_none() {
    for answer_as_sse in [false, true] {
        let rig = Rig::with_echo(|echo| echo.answer_as_sse = answer_as_sse).await;
        let good = rig.claims("note:read note:write");
        let changed = |member: &str, value: Value| {
            let mut claims = good.clone();
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(member),
                value => claims.as_object_mut().unwrap().insert(member.into(), value),
            };
            rig.key.sign("at+jwt", &claims)
        };
        let ended = rig.clock.now().unix_seconds() - 60;
        let own = rig.url();
        for (what, token) in [
            ("garbage", "garbage".to_owned()),
            ("expired", changed("exp", json!(ended))),
            ("without an audience", changed("aud", Value::Null)),
            ("for its own client", changed("aud", json!("cli_1"))),
            ("for nobody", changed("aud", json!(""))),
            ("for two", changed("aud", json!([own, "res_1"]))),
            ("for one in a list", changed("aud", json!([own]))),
            (
                "with a slash more",
                changed("aud", json!(format!("{own}/"))),
            ),
            (
                "of the authority and no server",
                changed("iss", json!(rig.origin())),
            ),
            ("without an issuer", changed("iss", Value::Null)),
        ] {
            let client = rig.stranger().with_bearer(&token);
            assert_eq!(
                statuses(&client).await,
                [StatusCode::UNAUTHORIZED; 4],
                "a token {what}"
            );
        }
        assert_eq!(rig.echo.requests().len(), 0);
        let client = rig.stranger().with_bearer(&rig.key.sign("at+jwt", &good));
        assert_eq!(statuses(&client).await, [StatusCode::OK; 4]);
        assert_eq!(rig.echo.requests().len(), 4);
    }
}

#[tokio::test]
async fn a_public_tool_needs_a_token_and_no_scope() {
    let rig = Rig::start().await;
    let answer = rig.stranger().call_tool("count", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.echo.requests().len(), 0);
    let answer = rig.caller("").call_tool("count", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.response()["error"].is_null());
    assert_eq!(rig.echo.requests().len(), 1);
}

#[tokio::test]
async fn a_tool_that_needs_two_scopes_is_not_opened_by_one_of_them() {
    let rig = Rig::start().await;
    let both = ScopeSet::parse_lenient("note:read note:write");
    rig.publish(|server| {
        let needs_both = entry(Requirement::AnyOf(vec![both.clone()]));
        server.policy.tools.insert("echo".into(), needs_both);
    });
    for one in ["note:read", "note:write"] {
        let answer = rig.caller(one).call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{one}");
        let line = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(line.ends_with("scope=\"note:read note:write\""), "{line}");
        let listed = rig.caller(one).tool_names().await;
        assert!(!listed.contains(&"echo".to_owned()), "{one}: {listed:?}");
    }
    assert!(rig.echo.requests().iter().all(|request| {
        let body = String::from_utf8_lossy(&request.body);
        !body.contains("tools/call")
    }));
    let wide = rig.caller("note:read note:write");
    assert_eq!(
        wide.call_tool("echo", json!({"a": 1})).await.text(),
        r#"{"a":1}"#
    );
    assert_eq!(wide.tool_names().await, ["echo", "write_note"]);
}

/// The standard has one claim of one text (RFC 9068 section 2.2.3): a reader of another one sees scopes where there are none,
/// or none where there are.
#[tokio::test]
async fn scopes_are_those_of_the_standard_claim_and_of_no_other() {
    let rig = Rig::start().await;
    let call = async |change: &dyn Fn(&mut Value)| {
        let mut claims = rig.claims("note:read");
        change(&mut claims);
        let client = rig.stranger().with_bearer(&rig.key.sign("at+jwt", &claims));
        client.call_tool("echo", json!({})).await.status
    };
    assert_eq!(call(&|_| {}).await, StatusCode::OK);
    for other in ["scopes", "scp", "permissions"] {
        let renamed = |claims: &mut Value| {
            claims.as_object_mut().unwrap().remove("scope");
            claims[other] = json!(["note:read"]);
        };
        assert_eq!(call(&renamed).await, StatusCode::FORBIDDEN, "{other}");
        let beside = |claims: &mut Value| claims[other] = json!(["note:write"]);
        assert_eq!(call(&beside).await, StatusCode::OK, "{other}");
    }
    let list = |claims: &mut Value| claims["scope"] = json!(["note:read"]);
    assert_eq!(call(&list).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_list_that_cannot_be_judged_is_withheld_in_a_stream_and_one_that_can_is_filtered() {
    let listed =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},{"name":"secret"}]}}"#;
    for (what, list, shown) in [
        ("as it should be", listed.to_owned(), true),
        (
            "with a member that stands twice",
            listed.replace("\"result\":{", "\"result\":{\"tools\":[],"),
            false,
        ),
        (
            "that is no list",
            listed
                .replace("[{\"name\":\"echo\"},", "{\"a\":[")
                .replace("}]}}", "}]}}}"),
            false,
        ),
        (
            "that breaks off",
            listed[..listed.len() - 2].to_owned(),
            false,
        ),
    ] {
        let upstream = scripted(move |_, mut connection| {
            let answer = format!("{}data: {list}\n\n", head("text/event-stream"));
            async move { connection.write_all(answer.as_bytes()).await.unwrap() }
        })
        .await;
        let rig = rig_before(upstream).await;
        let client = rig.caller("note:read");
        let answer = client.request("tools/list", json!({})).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("secret"), "a list {what}: {text}");
        assert_eq!(text.contains("\"echo\""), shown, "a list {what}: {text}");
        assert_eq!(
            answer.response()["error"].is_null(),
            shown,
            "a list {what}: {text}"
        );
    }
}
