#![allow(clippy::unwrap_used)]

use serde_json::json;
use wire::mcp::{Limits, parse_strict};

use super::*;

/// A policy as it is stored, with what the test puts in the place of one of its parts.
fn checked(part: &str, value: &Value) -> Vec<String> {
    let mut policy = json!({
        "mode": "enforce", "default_scopes": "todo:read",
        "scopes": [{"id": "todo:read", "name": "todo:read", "title": "See", "risk": "low"}],
        "tools": {
            "list_todos": {"requirement": {"any_of": ["todo:read"]}, "title": "List", "conditions": []},
            "strange": {"requirement": "public", "title": "Strange"}
        },
        "resources": {}, "resource_templates": {},
        "prompts": {"plan": {"requirement": "public", "title": "Plan", "conditions": []}},
        "roles": [{"id": "rol_1", "name": "reader", "scopes": {"only": "todo:read"}}],
        "default_role": "rol_1",
        "subject_rules": [], "rate_limits": [],
    });
    *policy.pointer_mut(part).unwrap() = value.clone();
    let policy: Policy = serde_json::from_value(policy).unwrap();
    let schema =
        br#"{"type":"object","properties":{"list":{"type":"string","enum":["home","work"]},
        "limit":{"type":"integer"},"open":{"type":"boolean"},"free":{},
        "filter":{"type":"object","properties":{"owner":{"type":"string"}}}}}"#;
    let schema = parse_strict(schema, &Limits::default()).unwrap();
    let mistakes = check(&policy, |tool| (tool == "list_todos").then_some(&schema));
    mistakes.iter().map(ToString::to_string).collect()
}

/// Each wrong value has its right twin.
fn wrong_and_right(part: &str, cases: &[(Value, &str, Value)]) {
    for (wrong, message, right) in cases {
        let mistakes = checked(part, wrong);
        let hit = mistakes.iter().any(|mistake| mistake.contains(message));
        assert!(hit, "{wrong}: {mistakes:?}");
        assert_eq!(checked(part, right), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn a_condition_speaks_of_an_argument_that_the_tool_has_and_of_values_that_it_can_have() {
    let on =
        |argument: &str, operator: Value| json!([{"argument": argument, "operator": operator}]);
    wrong_and_right(
        "/tools/list_todos/conditions",
        &[
            (
                on("/lst", json!({"equals": "home"})),
                "has no argument /lst",
                on("/list", json!({"equals": "home"})),
            ),
            (
                on("list", json!({"equals": "home"})),
                "no JSON Pointer",
                on("/list", json!({"equals": "home"})),
            ),
            (
                on("/list", json!({"equals": "hom"})),
                "is never \"hom\"",
                on("/list", json!({"one_of": ["home", "work"]})),
            ),
            (
                on("/limit", json!({"equals": "5"})),
                "compared with a string",
                on("/limit", json!({"equals": 5})),
            ),
            (
                on("/list", json!({"at_most": 5})),
                "compared with a number",
                on("/limit", json!({"at_most": 5})),
            ),
            (
                on("/open", json!({"starts_with": "t"})),
                "compared with a string",
                on("/open", json!({"equals": true})),
            ),
            (
                on("/free", json!({"equals": [1]})),
                "only strings, numbers",
                on("/free", json!({"equals": 1})),
            ),
            (
                on("/free", json!({"one_of": []})),
                "names no value",
                on("/free", json!({"one_of": [1]})),
            ),
            (
                on("/free", json!({"starts_with": ""})),
                "starts with nothing",
                on("/free", json!({"starts_with": "a"})),
            ),
            (
                on("/free", json!({"equals_claim": "email"})),
                "no claim",
                on("/free", json!({"equals_claim": "sub"})),
            ),
        ],
    );
    let any = on("/whatever", json!({"equals": 1}));
    assert_eq!(
        checked(
            "/tools/strange",
            &json!({"requirement": "public", "title": "", "conditions": any})
        ),
        [""; 0]
    );
    let mistakes = checked("/prompts/plan/conditions", &any);
    assert_eq!(
        mistakes,
        ["prompts.plan.conditions: only tools have arguments; remove the conditions"]
    );
}

#[test]
fn conditions_on_one_argument_can_be_met_together() {
    let both = |one: Value, two: Value| json!([{"argument": "/free", "operator": one}, {"argument": "/free", "operator": two}]);
    let equals = |value: Value| json!({"equals": value});
    let one_of = |values: Value| json!({"one_of": values});
    let starts = |start: &str| json!({"starts_with": start});
    let at_most = |number: i64| json!({"at_most": number});
    let claim = || json!({"equals_claim": "sub"});
    let cases: Vec<_> = [
        (equals(json!("a")), equals(json!("b")), equals(json!("a"))),
        (
            one_of(json!(["a", "b"])),
            one_of(json!(["c", 1])),
            one_of(json!(["b", 1])),
        ),
        (equals(json!("team-a")), starts("x"), starts("team-")),
        (equals(json!(7)), at_most(6), at_most(7)),
        (starts("/srv/"), starts("/home/"), starts("/srv/shared/")),
        (at_most(1), starts("1"), at_most(2)),
        (claim(), at_most(1), starts("usr_")),
        (equals(json!(1)), claim(), equals(json!(1.0))),
    ]
    .into_iter()
    .map(|(one, wrong, right)| {
        (
            both(one.clone(), wrong),
            "no value of /free meets all",
            both(one, right),
        )
    })
    .collect();
    wrong_and_right("/tools/list_todos/conditions", &cases);
    // Of two arguments each may have its own.
    let apart = json!([{"argument": "/free", "operator": {"equals": "a"}},
        {"argument": "/list", "operator": {"equals": "home"}}]);
    assert_eq!(checked("/tools/list_todos/conditions", &apart), [""; 0]);
}

#[test]
fn an_argument_is_recorded_that_the_tool_has_and_that_is_one_value() {
    let tool = |recorded: Value| json!({"requirement": "public", "title": "List", "recorded_arguments": recorded});
    let long = |length: usize| format!("/{}", "x".repeat(length));
    let seventeen: Vec<String> = (0..17).map(|number| format!("/{number}")).collect();
    wrong_and_right(
        "/tools/list_todos",
        &[
            (
                tool(json!(["/lst"])),
                "has no argument /lst",
                tool(json!(["/list"])),
            ),
            (
                tool(json!(["list"])),
                "no JSON Pointer",
                tool(json!(["/list", "/limit"])),
            ),
            (tool(json!([""])), "no JSON Pointer", tool(json!(["/free"]))),
            (
                tool(json!(["/filter"])),
                "/filter is a list or an object",
                tool(json!(["/filter/owner"])),
            ),
            (
                tool(json!(["/list", "/list"])),
                "stands there twice",
                tool(json!([])),
            ),
        ],
    );
    // What nobody has a schema of is not held against one.
    wrong_and_right(
        "/tools/strange",
        &[
            (
                tool(json!(seventeen)),
                "more than 16",
                tool(json!(seventeen[1..])),
            ),
            (
                tool(json!([long(200)])),
                "at most 200 characters",
                tool(json!([long(199)])),
            ),
        ],
    );
    assert_eq!(
        checked("/prompts/plan", &tool(json!(["/a"]))),
        ["prompts.plan.recorded_arguments: only tools have arguments; remove it"]
    );
}

#[test]
fn a_role_permits_scopes_that_there_are_and_has_a_name_of_its_own() {
    let role =
        |id: &str, name: &str, scopes: Value| json!({"id": id, "name": name, "scopes": scopes});
    let reader = role("rol_1", "reader", json!("all"));
    let right = json!([
        reader,
        role("rol_2", "writer", json!({"only": "todo:read"}))
    ]);
    let with = |second: Value| json!([reader, second]);
    wrong_and_right(
        "/roles",
        &[
            (
                with(role("rol_1", "writer", json!("all"))),
                "no id of its own",
                right.clone(),
            ),
            (
                with(role("usr_2", "writer", json!("all"))),
                "no id of its own",
                right.clone(),
            ),
            (
                with(role("rol_2", "reader", json!("all"))),
                "two roles",
                right.clone(),
            ),
            (
                with(role("rol_2", "W riter", json!("all"))),
                "a role's name",
                right.clone(),
            ),
            (
                with(role("rol_2", "writer", json!({"only": "todo:rite"}))),
                "todo:rite is no scope",
                right.clone(),
            ),
        ],
    );
    let many = |count: usize| -> Value {
        (1..=count)
            .map(|index| role(&format!("rol_{index}"), &format!("r{index}"), json!("all")))
            .collect()
    };
    wrong_and_right("/roles", &[(many(65), "more than 64", many(64))]);
    wrong_and_right(
        "/default_role",
        &[(json!("rol_9"), "rol_9 is no role", json!("rol_1"))],
    );
}

#[test]
fn a_subject_rule_names_somebody_and_something() {
    let rule = |id: &str, who: Value, client: Value, what: Value| json!([{"id": id, "effect": "deny", "who": who, "client": client, "what": what}]);
    let (anyone, any, all) = (json!("anyone"), json!("any"), json!("all"));
    let right = rule("rul_1", anyone.clone(), any.clone(), all.clone());
    let who = |who: Value| rule("rul_1", who, any.clone(), all.clone());
    let client = |client: Value| rule("rul_1", anyone.clone(), client, all.clone());
    let what = |what: Value| rule("rul_1", anyone.clone(), any.clone(), what);
    wrong_and_right(
        "/subject_rules",
        &[
            (
                rule("1", anyone.clone(), any.clone(), all.clone()),
                "no id of its own",
                right,
            ),
            (
                who(json!({"role": "rol_2"})),
                "rol_2 is no role",
                who(json!({"role": "rol_1"})),
            ),
            (
                who(json!({"group": "admins"})),
                "no id of a group",
                who(json!({"group": "grp_1"})),
            ),
            (
                who(json!({"person": ""})),
                "names nobody",
                who(json!({"person": "usr_1"})),
            ),
            (
                client(json!({"id": ""})),
                "names no client",
                client(json!({"id": "cli_1"})),
            ),
            (
                client(json!({"verified_host": "https://claude.ai"})),
                "no host name",
                client(json!({"verified_host": "claude.ai"})),
            ),
            (
                client(json!({"verified_host": "Claude.ai"})),
                "no host name",
                client(json!({"verified_host": "*.claude.ai:8443"})),
            ),
            (
                what(json!({"scopes": ""})),
                "names no scope",
                what(json!({"scopes": "todo:read"})),
            ),
            (
                what(json!({"scopes": "todo:rite"})),
                "todo:rite is no scope",
                what(json!({"scopes": "todo:read"})),
            ),
            (
                what(json!({"tools": []})),
                "names no tool",
                what(json!({"tools": ["list_todos"]})),
            ),
            (
                what(json!({"tools": ["list_todo"]})),
                "no tool of this server",
                what(json!({"tools": ["list_todos"]})),
            ),
        ],
    );
}

#[test]
fn roles_and_rules_are_said_of_a_server_that_was_looked_at() {
    let role = json!([{"id": "rol_1", "name": "reader", "scopes": "all"}]);
    let rule =
        json!([{"id": "rul_1", "effect": "deny", "who": "anyone", "client": "any", "what": "all"}]);
    for (place, value) in [("roles", role), ("subject_rules", rule)] {
        let mut json = serde_json::to_value(Policy::default()).unwrap();
        json[place] = value;
        let mut policy: Policy = serde_json::from_value(json).unwrap();
        let mistakes = check(&policy, |_| None);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_eq!(mistakes[0].place, place);
        let message = &mistakes[0].message;
        assert!(
            message.contains("let a gateway look at it once"),
            "{message}"
        );
        policy
            .tools
            .insert("get".to_owned(), crate::Entry::default());
        assert_eq!(check(&policy, |_| None), []);
    }
}

#[test]
fn a_rate_limit_has_an_id_a_burst_within_its_rate_and_names_tools_that_there_are() {
    let limit = |id: &str, burst: u32, what: Value| json!([{"id": id, "per": "person", "what": what, "rate": "60 per 1m", "burst": burst}]);
    let right = limit("lim_1", 60, json!("all"));
    let what = |what: Value| limit("lim_1", 1, what);
    wrong_and_right(
        "/rate_limits",
        &[
            (
                limit("1", 60, json!("all")),
                "no id of its own",
                right.clone(),
            ),
            (
                limit("lim_1", 61, json!("all")),
                "its burst is 1 to 60",
                right.clone(),
            ),
            (
                limit("lim_1", 0, json!("all")),
                "its burst is 1 to 60",
                right,
            ),
            (
                what(json!({"tools": []})),
                "names no tool",
                what(json!({"tools": ["list_todos"]})),
            ),
            (
                what(json!({"tools": ["list_todo"]})),
                "no tool of this server",
                what(json!({"tools": ["list_todos"]})),
            ),
        ],
    );
    let many = |count: usize| -> Value {
        (1..=count)
            .map(|index| json!({"id": format!("lim_{index}"), "per": "client", "rate": "1/1s"}))
            .collect()
    };
    wrong_and_right("/rate_limits", &[(many(65), "more than 64", many(64))]);
}
