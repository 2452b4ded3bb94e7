//! Lists that come in pages: each page is filtered by itself, and a client that follows the cursors sees all that it may and nothing else.

use std::collections::BTreeMap;

use authz::{Entry, Requirement};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::McpClient;
use wire::oauth::ScopeSet;

use crate::support::{Rig, entry};

const PAGE: usize = 3;
/// Five pages, with a letter for each element: `y` is to be had, `w` behind a scope, `d` denied, `u` in no policy. For who has
/// no other scope, the second page becomes empty and the last one too.
const PAGES: [&str; 5] = ["ywy", "duw", "yyu", "dyy", "udw"];

struct Kind {
    method: &'static str,
    member: &'static str,
    identity: &'static str,
    named: fn(usize) -> String,
}

const KINDS: [Kind; 4] = [
    Kind {
        method: "tools/list",
        member: "tools",
        identity: "name",
        named: |number| format!("tool_{number}"),
    },
    Kind {
        method: "resources/list",
        member: "resources",
        identity: "uri",
        named: |number| format!("note://kept/{number}"),
    },
    Kind {
        method: "resources/templates/list",
        member: "resourceTemplates",
        identity: "uriTemplate",
        named: |number| format!("note://of/{number}/{{x}}"),
    },
    Kind {
        method: "prompts/list",
        member: "prompts",
        identity: "name",
        named: |number| format!("prompt_{number}"),
    },
];

/// What each letter asks for; nothing for what is in no policy.
fn requirement(letter: char) -> Option<Requirement> {
    let needs = |scope| Requirement::AnyOf(vec![ScopeSet::parse_lenient(scope)]);
    match letter {
        'y' => Some(needs("note:read")),
        'w' => Some(needs("note:write")),
        'd' => Some(Requirement::Denied),
        _ => None,
    }
}

fn letters() -> impl Iterator<Item = (usize, char)> {
    PAGES.iter().flat_map(|page| page.chars()).enumerate()
}

fn listed(kind: &Kind) -> Vec<Value> {
    letters()
        .map(|(number, _)| {
            json!({"name": format!("n{number}"), "inputSchema": {"type": "object"}, kind.identity: (kind.named)(number)})
        })
        .collect()
}

fn mapped(kind: &Kind) -> BTreeMap<String, Entry> {
    let entries = letters()
        .filter_map(|(number, letter)| Some(((kind.named)(number), entry(requirement(letter)?))));
    entries.collect()
}

async fn rig(answer_as_sse: bool) -> Rig {
    let [tools, resources, templates, prompts] = &KINDS;
    let rig = Rig::with_echo(|echo| {
        echo.answer_as_sse = answer_as_sse;
        echo.page_size = PAGE;
        echo.tools = listed(tools);
        echo.resources = listed(resources);
        echo.resource_templates = listed(templates);
        echo.prompts = listed(prompts);
    })
    .await;
    publish_without(&rig, None);
    rig
}

/// Puts the policy into force, without the element of this number when there is one.
fn publish_without(rig: &Rig, number: Option<usize>) {
    let [tools, resources, templates, prompts] = KINDS.each_ref().map(|kind| {
        let mut entries = mapped(kind);
        entries.retain(|name, _| number.is_none_or(|number| *name != (kind.named)(number)));
        entries
    });
    rig.publish(|server| {
        server.policy.tools = tools;
        server.policy.resources = resources;
        server.policy.resource_templates = templates;
        server.policy.prompts = prompts;
    });
}

async fn page(client: &McpClient, kind: &Kind, cursor: Option<&str>, modern: bool) -> Value {
    let params = match cursor {
        None => json!({}),
        Some(cursor) => json!({"cursor": cursor}),
    };
    let answer = match modern {
        true => client.modern(kind.method, params).await,
        false => client.request(kind.method, params).await,
    };
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.result()
}

fn identities(kind: &Kind, result: &Value) -> Vec<String> {
    let elements = result[kind.member].as_array().unwrap().iter();
    elements
        .map(|element| element[kind.identity].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_page_is_filtered_keeps_its_cursor_and_order_and_one_without_anything_leads_to_the_next()
 {
    for answer_as_sse in [false, true] {
        let rig = rig(answer_as_sse).await;
        for (scope, seen) in [("note:read", "y"), ("note:read note:write", "yw"), ("", "")] {
            for modern in [false, true] {
                let client = match modern {
                    true => rig.caller(scope),
                    false => rig
                        .caller(scope)
                        .with_header("mcp-protocol-version", "2025-11-25"),
                };
                for kind in &KINDS {
                    let words = format!("{} {scope} {modern} {answer_as_sse}", kind.method);
                    let mut cursor: Option<String> = None;
                    for (number, letters) in PAGES.iter().enumerate() {
                        let result = page(&client, kind, cursor.as_deref(), modern).await;
                        let expected: Vec<String> = letters
                            .chars()
                            .enumerate()
                            .filter(|(_, letter)| seen.contains(*letter))
                            .map(|(index, _)| (kind.named)(number * PAGE + index))
                            .collect();
                        assert_eq!(
                            identities(kind, &result),
                            expected,
                            "{words}, page {number}"
                        );
                        cursor = result["nextCursor"].as_str().map(str::to_owned);
                        let next =
                            (number + 1 < PAGES.len()).then(|| ((number + 1) * PAGE).to_string());
                        assert_eq!(cursor, next, "{words}, page {number}");
                        let cache_scope = modern.then_some("private");
                        assert_eq!(result["cacheScope"].as_str(), cache_scope, "{words}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_policy_that_changes_between_two_pages_is_the_one_that_the_next_page_is_filtered_by() {
    for answer_as_sse in [false, true] {
        let rig = rig(answer_as_sse).await;
        for modern in [false, true] {
            let client = rig.caller("note:read");
            for kind in &KINDS {
                let third =
                    async || identities(kind, &page(&client, kind, Some("6"), modern).await);
                let (gone, stays) = ((kind.named)(6), (kind.named)(7));
                assert_eq!(third().await, [gone.clone(), stays.clone()]);
                publish_without(&rig, Some(6));
                assert_eq!(third().await, [stays]);
                publish_without(&rig, None);
            }
        }
    }
}
