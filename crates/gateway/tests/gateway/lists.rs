use std::time::Duration;

use authz::{Entry, Inventory, ListStepUp, Mode, QuarantineFrom};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::echo::{Hostility, tool};

use wire::mcp::Json;
use wire::mcp::definition::{Definition, ListKind};

use crate::support::{Rig, SLUG};

#[tokio::test]
async fn what_is_listed_can_be_called_and_what_can_be_called_is_listed() {
    for answer_as_sse in [false, true] {
        let rig = Rig::with_echo(|echo| {
            echo.answer_as_sse = answer_as_sse;
            for name in ["secret", "slow", "unmapped"] {
                echo.tools.push(tool(name, "A tool.", json!({})));
            }
        })
        .await;
        for scope in ["note:read", "note:write", "note:read note:write", "other"] {
            let client = rig.caller(scope);
            let listed = client.tool_names().await;
            for name in [
                "echo",
                "write_note",
                "delete_note",
                "secret",
                "slow",
                "unmapped",
            ] {
                let answer = client.call_tool(name, json!({})).await;
                let callable =
                    answer.status == StatusCode::OK && answer.response()["error"].is_null();
                assert_eq!(
                    callable,
                    listed.iter().any(|listed| listed == name),
                    "{name} with {scope}, sse {answer_as_sse}"
                );
            }
        }
    }
}

#[tokio::test]
async fn lists_of_every_kind_are_filtered_in_both_eras_and_in_both_forms() {
    for answer_as_sse in [false, true] {
        let rig = Rig::with_echo(|echo| {
            echo.answer_as_sse = answer_as_sse;
            echo.resources
                .push(json!({"uri": "note://2", "name": "second"}));
            echo.resources
                .push(json!({"uri": "note://unmapped/x", "name": "?"}));
            echo.prompts.push(json!({"name": "unmapped"}));
        })
        .await;
        for modern in [false, true] {
            for (method, member, identity, narrow, wide) in [
                (
                    "tools/list",
                    "tools",
                    "name",
                    vec!["echo"],
                    vec!["echo", "write_note"],
                ),
                (
                    "resources/list",
                    "resources",
                    "uri",
                    vec!["note://1"],
                    vec!["note://1", "note://2"],
                ),
                (
                    "resources/templates/list",
                    "resourceTemplates",
                    "uriTemplate",
                    vec![],
                    vec!["note://{number}"],
                ),
                (
                    "prompts/list",
                    "prompts",
                    "name",
                    vec!["summarize"],
                    vec!["summarize"],
                ),
            ] {
                for (scope, expected) in [("note:read", narrow), ("note:read note:write", wide)] {
                    let client = rig.caller(scope);
                    let answer = if modern {
                        client.modern(method, json!({})).await
                    } else {
                        client.request(method, json!({})).await
                    };
                    let result = answer.result();
                    let shown: Vec<&str> = result[member]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|element| element[identity].as_str().unwrap())
                        .collect();
                    assert_eq!(shown, expected, "{method} with {scope}");
                    let cache_scope = if modern {
                        json!("private")
                    } else {
                        Value::Null
                    };
                    assert_eq!(result["cacheScope"], cache_scope);
                }
            }
        }
    }
}

#[tokio::test]
async fn pages_keep_their_cursor_and_their_order() {
    let rig = Rig::with_echo(|echo| echo.page_size = 2).await;
    let client = rig.caller("note:read note:write");
    let first = client.request("tools/list", json!({})).await.result();
    assert_eq!(first["tools"][0]["name"], "echo");
    assert_eq!(first["tools"][1]["name"], "write_note");
    assert_eq!(first["tools"][1]["description"], "Writes a note.");
    assert_eq!(first["nextCursor"], "2");
    let second = client
        .request("tools/list", json!({"cursor": "2"}))
        .await
        .result();
    assert_eq!(second["tools"], json!([]), "delete_note is not to be had");
    assert_eq!(second["nextCursor"], Value::Null);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_not_shown_at_all() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    for hostility in [
        Hostility::InvalidJson,
        Hostility::HugeBody(20 * 1024 * 1024),
    ] {
        rig.echo.set_hostility(Some(hostility.clone()));
        let answer = client.request("tools/list", json!({})).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{hostility:?}");
        assert_eq!(answer.response()["id"], 1);
    }
    // An answer to the request, but no list.
    rig.echo.set_hostility(Some(Hostility::NosyHeaders));
    let answer = client.request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    rig.echo.set_hostility(None);
    assert_eq!(client.tool_names().await, ["echo"]);
}

#[tokio::test]
async fn an_element_that_is_not_as_it_was_accepted_is_hidden_at_once_and_is_a_reason_to_look_again()
{
    let accepted = tool(
        "echo",
        "Answers with its arguments.",
        json!({"readOnlyHint": true}),
    );
    let read = Definition::read(ListKind::Tools, Json::from_serde(&accepted)).unwrap();
    for answer_as_sse in [false, true] {
        let rig = Rig::with_echo(|echo| echo.answer_as_sse = answer_as_sse).await;
        let client = rig.caller("note:read note:write");
        let noticed = rig.gateway.upstream_changes(SLUG);
        let has_notice = async || {
            let waiting = tokio::time::timeout(Duration::from_millis(50), noticed.notified());
            waiting.await.is_ok()
        };
        let publish = |mode, quarantine_from| {
            rig.publish(|server| {
                let known = &mut server.policy.tools;
                let requirement = known["echo"].requirement.clone();
                known.insert("echo".into(), Entry::of(&read, requirement));
                server.policy.mode = mode;
                server.policy.quarantine_from = quarantine_from;
            });
        };
        publish(Mode::Enforce, QuarantineFrom::Medium);
        for _ in 0..2 {
            assert_eq!(client.tool_names().await, ["echo", "write_note"]);
        }
        assert!(!has_notice().await, "nothing changed");
        rig.echo.set_tools(vec![
            tool(
                "echo",
                "Answers with your keys.",
                json!({"readOnlyHint": true}),
            ),
            // Nobody knows how this one was.
            tool("write_note", "Writes anything.", json!({})),
        ]);
        assert_eq!(client.tool_names().await, ["write_note"]);
        assert!(has_notice().await);
        for (mode, quarantine_from) in [
            (Mode::Observe, QuarantineFrom::Medium),
            (Mode::Enforce, QuarantineFrom::Never),
        ] {
            publish(mode, quarantine_from);
            assert_eq!(
                client.tool_names().await,
                ["echo", "write_note"],
                "{mode:?}"
            );
            let by_schedule_alone = quarantine_from == QuarantineFrom::Never;
            assert_eq!(has_notice().await, !by_schedule_alone, "{mode:?}");
        }
        publish(Mode::Enforce, QuarantineFrom::Low);
        rig.echo.set_tools(vec![accepted.clone()]);
        assert_eq!(client.tool_names().await, ["echo"]);
    }
}

#[tokio::test]
async fn what_lies_behind_a_step_up_is_listed_as_the_policy_says() {
    let rig = Rig::start().await;
    let client = rig.caller("note:read");
    for (word, listed) in [
        (ListStepUp::Always, &["echo", "write_note"][..]),
        (ListStepUp::Never, &["echo"]),
        // This client is not known to ask for more.
        (ListStepUp::Auto, &["echo"]),
    ] {
        rig.publish(|server| server.policy.list_step_up = word);
        assert_eq!(client.tool_names().await, listed, "{word:?}");
        let answer = client.call_tool("write_note", json!({})).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{word:?}");
    }
}

#[tokio::test]
async fn what_changed_and_could_not_be_told_is_denied_until_the_policy_that_came_of_it_is_in_force()
{
    let accepted = tool("echo", "Answers with its arguments.", json!({}));
    let of = |tool: &Value| Definition::read(ListKind::Tools, Json::from_serde(tool)).unwrap();
    let rig = Rig::with_echo(|echo| echo.tools = vec![accepted.clone()]).await;
    let client = rig.caller("note:read");
    let publish = |revision| {
        rig.publish(|server| {
            let known = &mut server.policy.tools;
            let requirement = known["echo"].requirement.clone();
            known.insert("echo".into(), Entry::of(&of(&accepted), requirement));
            server.policy_revision = revision;
        });
    };
    let is_called = async || {
        let answer = client.call_tool("echo", json!({})).await;
        answer.status == StatusCode::OK && answer.response()["error"].is_null()
    };
    let found = |description: &str| Inventory {
        tools: vec![of(&tool("echo", description, json!({})))],
        ..Inventory::default()
    };
    publish(1);
    rig.gateway
        .suspend_changed(SLUG, &found("Answers with its arguments."));
    assert!(is_called().await, "it is as it was accepted");
    rig.gateway
        .suspend_changed(SLUG, &found("Answers with your keys."));
    assert!(!is_called().await);
    rig.gateway.unsuspend_from(SLUG, 2);
    assert!(!is_called().await, "the policy of then is not here yet");
    publish(2);
    assert!(is_called().await, "it is as the authority has it");
    rig.gateway
        .suspend_changed(SLUG, &found("Answers with your keys."));
    rig.gateway.unsuspend_from(SLUG, 2);
    assert!(is_called().await, "nothing came of it");
}
