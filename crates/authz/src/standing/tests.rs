#![allow(clippy::unwrap_used)]

use serde_json::json;
use wire::mcp::{Json, Limits, parse_strict};

use crate::{
    Call, Caller, Decision, DenialReason, ListKind, ListStepUp, Policy, RuleEffect, ScopeWithheld,
    Viewer, decide, decision_table, grantable,
};
use wire::oauth::ScopeSet;

mod random_elements;
mod random_policies;

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse_lenient(text)
}

fn policy(rules: serde_json::Value) -> Policy {
    let tool = |scopes: &str| json!({"requirement": {"any_of": [scopes]}, "title": ""});
    let scope = |name: &str, risk: &str, implies: &str| json!({"id": name, "name": name, "title": "", "risk": risk, "implies": implies});
    let mut limited = tool("todo:write");
    limited["conditions"] = json!([
        {"argument": "/list", "operator": {"one_of": ["home", "work"]}},
        {"argument": "/count", "operator": {"at_most": 10}},
    ]);
    serde_json::from_value(json!({
        "mode": "enforce", "default_scopes": "todo:read",
        "scopes": [
            scope("todo:read", "low", ""),
            scope("todo:write", "medium", "todo:read"),
            scope("todo:delete", "high", ""),
        ],
        "tools": {
            "list_todos": tool("todo:read"),
            "add_todo": tool("todo:write"),
            "add_many": limited,
            "delete_todo": tool("todo:delete"),
            "version": {"requirement": "public", "title": ""},
        },
        "resources": {"todo://help": {"requirement": "public", "title": ""}},
        "resource_templates": {},
        "prompts": {},
        "roles": [
            {"id": "rol_reader", "name": "reader", "scopes": {"only": "todo:read"}},
            {"id": "rol_writer", "name": "writer", "scopes": {"only": "todo:write"}},
            {"id": "rol_owner", "name": "owner", "scopes": "all"},
        ],
        "default_role": "rol_reader",
        "subject_rules": rules,
    }))
    .unwrap()
}

fn caller(held: &str, roles: &[&str]) -> Caller {
    Caller {
        subject: "usr_alice".into(),
        client: "cli_1".into(),
        scopes: scopes(held),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Caller::default()
    }
}

fn tool<'a>(name: &'a str, arguments: Option<&'a Json>) -> Call<'a> {
    Call::Tool { name, arguments }
}

fn answer(policy: &Policy, caller: &Caller, name: &str) -> String {
    match decide(policy, caller, &tool(name, None)) {
        Decision::Allowed { .. } => "yes".into(),
        Decision::NeedsScope { required, .. } => format!("needs {required}"),
        Decision::Denied { reason, rule } => format!("{}, {rule}", reason.as_str()),
    }
}

#[test]
fn the_decision_table_with_roles_and_rules_is_as_a_manager_reads_it() {
    let policy = policy(json!([
        {"id": "rul_1", "effect": "deny", "who": "anyone", "client": "unverified", "what": {"scopes": "todo:delete"}},
        {"id": "rul_2", "effect": "allow", "who": {"group": "grp_helpers"}, "what": {"tools": ["add_todo"]}},
        {"id": "rul_3", "effect": "deny", "who": {"person": "usr_mallory"}, "what": "all"},
    ]));
    let all = "todo:read todo:write todo:delete";
    let of = |name: &str, caller: Caller| (name.to_owned(), caller);
    let callers = [
        of("new person", caller("todo:read", &[])),
        of("same, old token", caller(all, &[])),
        of("writer", caller("todo:read", &["rol_writer"])),
        of("owner, unknown client", caller(all, &["rol_owner"])),
        of(
            "owner, Claude",
            Caller {
                client: "https://claude.ai/c".into(),
                client_proven: true,
                ..caller(all, &["rol_owner"])
            },
        ),
        of(
            "owner, who says Claude",
            Caller {
                client: "https://claude.ai/c".into(),
                ..caller(all, &["rol_owner"])
            },
        ),
        of(
            "owner, our client",
            Caller {
                client_vouched: true,
                ..caller(all, &["rol_owner"])
            },
        ),
        of(
            "helper",
            Caller {
                groups: vec!["grp_helpers".into()],
                ..caller("todo:read", &[])
            },
        ),
        of(
            "machine",
            Caller {
                subject: "cli_1".into(),
                client_vouched: true,
                ..caller(all, &[])
            },
        ),
        of(
            "mallory",
            Caller {
                subject: "usr_mallory".into(),
                ..caller(all, &["rol_owner"])
            },
        ),
    ];
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("decision_table_of_roles", decision_table(&policy, &callers));
    });
}

#[test]
fn a_scope_that_nobody_could_give_is_a_no_and_one_that_could_be_had_is_a_question() {
    let policy = policy(json!([]));
    let reader = caller("todo:read", &[]);
    assert_eq!(
        answer(&policy, &reader, "add_todo"),
        "not_permitted, tool add_todo: no role permits todo:write"
    );
    let writer = caller("todo:read", &["rol_writer"]);
    assert_eq!(answer(&policy, &writer, "add_todo"), "needs todo:write");
    // A role that was deleted is the same as none.
    let former = caller("todo:read todo:write", &["rol_gone"]);
    assert_eq!(answer(&policy, &former, "list_todos"), "yes");
    assert!(answer(&policy, &former, "add_todo").starts_with("not_permitted"));
}

#[test]
fn a_rule_binds_the_token_that_was_there_before_it() {
    let writer = caller("todo:read todo:write", &["rol_writer"]);
    assert_eq!(answer(&policy(json!([])), &writer, "add_todo"), "yes");
    for (client, concerned) in [
        (json!("any"), true),
        (json!("unverified"), true),
        (json!({"id": "cli_1"}), true),
        (json!({"id": "cli_2"}), false),
        (json!({"verified_host": "cli_1"}), false),
    ] {
        let denied = policy(
            json!([{"id": "rul_1", "effect": "deny", "who": {"role": "rol_writer"},
            "client": client, "what": {"tools": ["add_todo"]}}]),
        );
        let expected = if concerned {
            "denied_by_rule, tool add_todo: rule rul_1"
        } else {
            "yes"
        };
        assert_eq!(answer(&denied, &writer, "add_todo"), expected, "{client}");
        assert_eq!(answer(&denied, &writer, "list_todos"), "yes");
    }
}

#[test]
fn what_is_given_to_a_client_with_a_document_takes_proof_and_what_is_taken_from_it_takes_none() {
    const CLAUDE: &str = "https://claude.ai/c";
    // Whether it is proven, and whether another issuer knows the client.
    let of = |client: &str, client_proven: bool, client_of_other_issuer: bool| Caller {
        client: client.into(),
        client_proven,
        client_of_other_issuer,
        ..caller("todo:read todo:write", &[])
    };
    let hosted = of(CLAUDE, true, false);
    let local = of(CLAUDE, false, false);
    let elsewhere = of(CLAUDE, true, true);
    let other = of("https://evil.example/c", true, false);
    let registered = of("cli_1", false, false);
    for (client, given, taken) in [
        // Of hosted, local, elsewhere, other, registered.
        (json!({"verified_host": "claude.ai"}), "y----", "yyy--"),
        (json!({"id": CLAUDE}), "y----", "yyy--"),
        (json!({"id": "cli_1"}), "----y", "----y"),
        (json!("unverified"), "-yy-y", "-yy-y"),
        (json!("any"), "yyyyy", "yyyyy"),
    ] {
        for (effect, expected) in [("allow", given), ("deny", taken)] {
            let rule = json!({"id": "rul_1", "effect": effect, "who": "anyone", "client": client,
                "what": {"scopes": "todo:write"}});
            let mut policy = policy(json!([rule]));
            if effect == "deny" {
                // Then everybody has what is taken.
                policy.roles.clear();
                policy.default_role = None;
            }
            let is_concerned = |caller: &Caller| {
                let is_allowed = answer(&policy, caller, "add_todo") == "yes";
                if is_allowed == (effect == "allow") {
                    'y'
                } else {
                    '-'
                }
            };
            let concerned: String = [&hosted, &local, &elsewhere, &other, &registered]
                .map(is_concerned)
                .iter()
                .collect();
            assert_eq!(concerned, expected, "{rule}");
        }
    }
}

#[test]
fn a_no_to_everything_closes_public_things_and_tasks_too() {
    let everything = policy(json!([{"id": "rul_1", "effect": "deny", "who": "anyone",
        "client": {"id": "cli_1"}, "what": "all"}]));
    for (client, allowed) in [("cli_1", false), ("cli_2", true)] {
        let caller = Caller {
            client: client.into(),
            ..caller("", &[])
        };
        for call in [
            tool("version", None),
            Call::Resource { uri: "todo://help" },
            Call::Subscription { uris: Vec::new() },
            Call::Task {
                id: "7",
                method: "tasks/get",
            },
        ] {
            assert_eq!(
                decide(&everything, &caller, &call).is_allowed(),
                allowed,
                "{client} {call:?}"
            );
        }
    }
}

#[test]
fn what_a_rule_allows_for_a_tool_opens_that_tool_alone() {
    let policy = policy(
        json!([{"id": "rul_1", "effect": "allow", "who": {"person": "usr_alice"},
        "what": {"tools": ["add_todo"]}}]),
    );
    let alice = caller("todo:read", &[]);
    assert_eq!(answer(&policy, &alice, "add_todo"), "needs todo:write");
    let facts = alice.facts();
    assert_eq!(
        grantable(&policy, &facts, &scopes("todo:write")).granted,
        scopes("todo:write")
    );
    let stepped_up = caller("todo:read todo:write", &[]);
    assert_eq!(answer(&policy, &stepped_up, "add_todo"), "yes");
    assert!(answer(&policy, &stepped_up, "add_many").starts_with("not_permitted"));
}

#[test]
fn each_withheld_scope_has_its_reason() {
    let policy = policy(
        json!([{"id": "rul_1", "effect": "deny", "who": "anyone", "client": "unverified",
        "what": {"scopes": "todo:read"}}]),
    );
    let caller = caller("", &["rol_writer"]);
    let asked = scopes("todo:read todo:write todo:delete todo:gone");
    let answer = grantable(&policy, &caller.facts(), &asked);
    assert_eq!(answer.granted, scopes("todo:write"));
    let reasons: Vec<_> = answer
        .withheld
        .iter()
        .map(|(scope, reason)| (scope.as_str(), reason))
        .collect();
    assert_eq!(
        reasons,
        [
            ("todo:delete", &ScopeWithheld::NotPermitted),
            ("todo:gone", &ScopeWithheld::NotDeclared),
            ("todo:read", &ScopeWithheld::DeniedByRule("rul_1".into())),
        ]
    );
}

#[test]
fn a_condition_is_judged_on_the_arguments_that_are_sent_and_every_doubt_is_a_no() {
    let policy = policy(json!([]));
    let writer = caller("todo:write", &["rol_writer"]);
    for (arguments, expected) in [
        (Some(r#"{"list":"home","count":10}"#), None),
        (
            Some(r#"{"list":"garden","count":1}"#),
            Some(DenialReason::ConditionNotMet),
        ),
        (
            Some(r#"{"list":"home","count":11}"#),
            Some(DenialReason::ConditionNotMet),
        ),
        (
            Some(r#"{"list":"home"}"#),
            Some(DenialReason::ConditionUnclear),
        ),
        (
            Some(r#"{"list":["home"],"count":1}"#),
            Some(DenialReason::ConditionUnclear),
        ),
        (
            Some(r#"{"list":"home","count":"1"}"#),
            Some(DenialReason::ConditionUnclear),
        ),
        (None, Some(DenialReason::ConditionUnclear)),
    ] {
        let parsed =
            arguments.map(|text| parse_strict(text.as_bytes(), &Limits::default()).unwrap());
        let denied = match decide(&policy, &writer, &tool("add_many", parsed.as_ref())) {
            Decision::Denied { reason, .. } => Some(reason),
            Decision::Allowed { .. } => None,
            Decision::NeedsScope { .. } => panic!("{arguments:?}"),
        };
        assert_eq!(denied, expected, "{arguments:?}");
    }
    // It is listed, since there are arguments with which it may be called.
    let viewer = Viewer::new(&policy, &writer, ListStepUp::Never);
    assert!(viewer.sees(ListKind::Tools, "add_many"));
    // Whoever lacks the scope is not asked for it for arguments that are refused anyway.
    let reader = caller("todo:read", &["rol_writer"]);
    assert!(answer(&policy, &reader, "add_many").starts_with("condition_unclear"));
    assert_eq!(answer(&policy, &reader, "add_todo"), "needs todo:write");
}

#[test]
fn what_is_not_used_is_not_written_so_that_an_older_release_reads_it() {
    let mut old = policy(json!([]));
    old.roles.clear();
    old.default_role = None;
    old.tools.remove("add_many");
    let text = serde_json::to_string(&old).unwrap();
    for word in [
        "roles",
        "default_role",
        "subject_rules",
        "pinned",
        "conditions",
    ] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let new = policy(
        json!([{"id": "rul_1", "effect": "deny", "who": "anyone", "what": "all", "note": "x"}]),
    );
    let text = serde_json::to_string(&new).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), new);
    assert_eq!(new.subject_rules[0].effect, RuleEffect::Deny);
}
