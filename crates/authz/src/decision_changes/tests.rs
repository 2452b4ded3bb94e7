#![allow(clippy::unwrap_used)]

use serde_json::json;
use wire::oauth::ScopeSet;

use super::*;

fn policy(needs: &str, rules: serde_json::Value) -> Policy {
    serde_json::from_value(json!({
        "mode": "enforce",
        "scopes": [
            {"id": "r", "name": "todo:read", "title": "", "risk": "low"},
            {"id": "w", "name": "todo:write", "title": "", "risk": "low"},
        ],
        "default_scopes": "todo:read",
        "tools": {
            "add": {"requirement": {"any_of": [needs]}, "title": ""},
            "list": {"requirement": {"any_of": ["todo:read"]}, "title": ""},
        },
        "resources": {}, "resource_templates": {}, "prompts": {},
        "roles": [
            {"id": "rol_r", "name": "reader", "scopes": {"only": "todo:read"}},
            {"id": "rol_w", "name": "writer", "scopes": "all"},
        ],
        "subject_rules": rules,
    }))
    .unwrap()
}

fn caller(subject: &str, role: &str) -> Caller {
    Caller {
        subject: subject.into(),
        client: "cli_1".into(),
        scopes: ScopeSet::parse_lenient("todo:read"),
        roles: vec![role.into()],
        ..Caller::default()
    }
}

/// `caller name: before → after, by the rule`
fn words(before: &Policy, after: &Policy, seen: Seen) -> Vec<String> {
    let callers = [caller("ann", "rol_r"), caller("bob", "rol_w")];
    decision_changes(before, after, &callers, seen)
        .into_iter()
        .map(|one| {
            let who = &callers[one.caller].subject;
            let (before, after) = (one.before.answer, one.after);
            format!(
                "{who} {}: {before} → {} ({})",
                one.name, after.answer, after.rule
            )
        })
        .collect()
}

#[test]
fn those_and_those_alone_are_told_whose_decision_is_another_one() {
    let before = policy("todo:read", json!([]));
    assert_eq!(
        words(&before, &before, Seen::AsTheyAre),
        Vec::<String>::new()
    );
    let after = policy("todo:write", json!([]));
    assert_eq!(
        words(&before, &after, Seen::AsTheyAre),
        [
            "ann add: yes → no: not permitted (tool add: no role permits todo:write)",
            "bob add: yes → if asked: todo:write (tool add: todo:write)",
        ]
    );
    // Bob may have it, so what he reaches at most is the same.
    assert_eq!(
        words(&before, &after, Seen::AtMost),
        ["ann add: yes → no: not permitted (tool add: no role permits todo:write)"]
    );
    assert_eq!(
        words(&after, &before, Seen::AtMost),
        ["ann add: no: not permitted → yes (tool add: todo:read)"]
    );
}

#[test]
fn a_rule_for_one_person_concerns_nobody_else_and_another_reason_for_a_no_is_told() {
    let before = policy("todo:write", json!([]));
    let rules = json!([{"id": "rul_1", "effect": "deny", "who": {"person": "ann"}, "what": "all"}]);
    assert_eq!(
        words(&before, &policy("todo:write", rules), Seen::AtMost),
        [
            "ann add: no: not permitted → no: denied by rule (tool add: rule rul_1)",
            "ann list: yes → no: denied by rule (tool list: rule rul_1)",
        ]
    );
}

#[test]
fn what_one_of_the_two_does_not_know_is_denied_there() {
    let mut before = policy("todo:read", json!([]));
    let added = policy("todo:read", json!([]));
    before.tools.remove("list");
    let told = words(&before, &added, Seen::AtMost);
    let expected = [
        "ann list: no: unmapped → yes (tool list: todo:read)",
        "bob list: no: unmapped → yes (tool list: todo:read)",
    ];
    assert_eq!(told, expected);
    let gone = words(&added, &before, Seen::AtMost);
    assert_eq!(gone.len(), 2);
    assert!(
        gone[0].ends_with("→ no: unmapped (default: deny)"),
        "{gone:?}"
    );
}

#[test]
fn one_answer_says_whether_it_is_reached_at_once_if_asked_or_never() {
    let policy = policy("todo:write", json!([]));
    let (ann, bob) = (caller("ann", "rol_r"), caller("bob", "rol_w"));
    let reach = |caller: &Caller, name: &str| answer(&policy, caller, ListKind::Tools, name).reach;
    assert_eq!(reach(&ann, "list"), Reach::Allowed);
    assert_eq!(reach(&ann, "add"), Reach::Denied);
    assert_eq!(reach(&bob, "add"), Reach::IfAsked);
    assert_eq!(reach(&bob.at_most(&policy), "add"), Reach::Allowed);
    assert_eq!(reach(&bob, "gone"), Reach::Denied);
}

#[test]
fn in_observe_mode_everything_is_reached_and_enforcing_it_takes_what_is_denied() {
    let enforcing = policy("todo:write", json!([]));
    let observing = Policy {
        mode: crate::Mode::Observe,
        ..enforcing.clone()
    };
    assert_eq!(
        words(&observing, &enforcing, Seen::AsTheyAre),
        [
            "ann add: yes, observed as no: not permitted → no: not permitted (tool add: no role permits todo:write)",
            "bob add: yes, observed as if asked: todo:write → if asked: todo:write (tool add: todo:write)",
        ]
    );
    let ann = caller("ann", "rol_r");
    assert_eq!(
        answer(&observing, &ann, ListKind::Tools, "add").reach,
        Reach::Allowed
    );
}
