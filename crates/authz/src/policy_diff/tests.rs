#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn policy() -> Value {
    json!({
        "mode": "enforce",
        "scopes": [
            {"id": "s1", "name": "todo:read", "title": "See", "risk": "low", "implies": ""},
            {"id": "s2", "name": "todo:write", "title": "Change", "risk": "high", "implies": "todo:read"},
        ],
        "default_scopes": "todo:read",
        "tools": {
            "add": {"requirement": {"any_of": ["todo:write"]}, "title": "Add", "fingerprint": "v2:a"},
            "list": {"requirement": "public", "title": "List"},
        },
        "resources": {"todo://a": {"requirement": "denied", "title": ""}},
        "resource_templates": {},
        "prompts": {},
        "roles": [
            {"id": "rol_1", "name": "reader", "scopes": {"only": "todo:read"}},
            {"id": "rol_2", "name": "owner", "scopes": "all"},
        ],
        "default_role": "rol_1",
        "subject_rules": [
            {"id": "rul_1", "effect": "deny", "who": "anyone", "client": "unverified", "what": {"tools": ["add"]}},
            {"id": "rul_2", "effect": "allow", "who": {"role": "rol_1"}, "what": "all"},
        ],
        "rate_limits": [
            {"id": "lim_1", "per": "person", "what": "all", "rate": "60 per 1m"},
            {"id": "lim_2", "per": "everybody", "what": "all", "rate": "9 per 1s"},
        ],
    })
}

fn read(value: &Value) -> Policy {
    serde_json::from_value(value.clone()).unwrap()
}

/// `kind name change: fact before → after; …`
fn words(before: &Value, after: &Value) -> Vec<String> {
    policy_changes(&read(before), &read(after))
        .iter()
        .map(|one| {
            let facts = one.facts.iter().map(|fact| {
                let said = |said: &Option<String>| said.clone().unwrap_or("–".into());
                format!(
                    "{} {} → {}",
                    fact.fact,
                    said(&fact.before),
                    said(&fact.after)
                )
            });
            let facts = facts.collect::<Vec<_>>().join("; ");
            format!("{} {} {:?}: {facts}", one.kind, one.name, one.change)
        })
        .collect()
}

/// One edit at a JSON pointer (`null` takes away), and what is told of it.
const EDITS: &[(&str, &str, &str)] = &[
    (
        "/mode",
        r#""observe""#,
        "policy  Changed: mode enforce → observe",
    ),
    (
        "/default_scopes",
        r#""""#,
        "policy  Changed: default scopes todo:read → ",
    ),
    (
        "/default_role",
        "null",
        "policy  Changed: default role reader (rol_1) → –",
    ),
    (
        "/quarantine_from",
        r#""never""#,
        "policy  Changed: quarantine from medium → never",
    ),
    (
        "/scopes/0/name",
        r#""todo:see""#,
        "scope todo:see Changed: name todo:read → todo:see",
    ),
    (
        "/scopes/0/title",
        r#""Look""#,
        "scope todo:read Changed: title See → Look",
    ),
    (
        "/scopes/0/risk",
        r#""critical""#,
        "scope todo:read Changed: risk low → critical",
    ),
    (
        "/scopes/1/implies",
        r#""""#,
        "scope todo:write Changed: implies todo:read → –",
    ),
    (
        "/roles/0/name",
        r#""guest""#,
        "role guest Changed: name reader → guest",
    ),
    (
        "/roles/0/scopes",
        r#""all""#,
        "role reader Changed: permits todo:read → every scope",
    ),
    (
        "/roles/0/scopes",
        r#"{"only": ""}"#,
        "role reader Changed: permits todo:read → nothing",
    ),
    (
        "/roles/0/title",
        r#""R""#,
        "role reader Changed: title – → R",
    ),
    (
        "/subject_rules/0/effect",
        r#""allow""#,
        "rule rul_1 Changed: effect deny → allow",
    ),
    (
        "/subject_rules/0/who",
        r#"{"person": "usr_1"}"#,
        "rule rul_1 Changed: of anyone → person usr_1",
    ),
    (
        "/subject_rules/0/client",
        r#""any""#,
        "rule rul_1 Changed: through unverified clients → any client",
    ),
    (
        "/subject_rules/0/what",
        r#"{"scopes": "todo:read"}"#,
        "rule rul_1 Changed: what tools add → scopes todo:read",
    ),
    (
        "/subject_rules/0/note",
        r#""why""#,
        "rule rul_1 Changed: note – → why",
    ),
    (
        "/tools/add/requirement",
        r#"{"any_of": ["todo:write", "todo:read todo:write"]}"#,
        "tool add Changed: needs todo:write → todo:write or todo:read todo:write",
    ),
    (
        "/tools/add/requirement",
        r#""denied""#,
        "tool add Changed: needs todo:write → nobody may",
    ),
    (
        "/tools/add/state",
        r#""quarantined""#,
        "tool add Changed: state – → quarantined",
    ),
    (
        "/tools/add/pinned",
        "true",
        "tool add Changed: pinned – → yes",
    ),
    (
        "/tools/add/conditions",
        r#"[{"argument": "/n", "operator": {"at_most": 3}}]"#,
        "tool add Changed: only when – → /n is at most 3",
    ),
    (
        "/tools/add/recorded_arguments",
        r#"["/n", "/m"]"#,
        "tool add Changed: records of each call – → /n, /m",
    ),
    (
        "/rate_limits/0/note",
        r#""why""#,
        "rate limit lim_1 Changed: note – → why",
    ),
    (
        "/rate_limits",
        r#"[{"id": "lim_2", "per": "everybody", "what": "all", "rate": "9 per 1s"},
            {"id": "lim_1", "per": "person", "what": "all", "rate": "60 per 1m"}]"#,
        "policy  Changed: order of rate limits lim_1, lim_2 → lim_2, lim_1",
    ),
    (
        "/list_step_up",
        r#""never""#,
        "policy  Changed: list step-up auto → never",
    ),
    (
        "/tools/add/title",
        r#""Put""#,
        "tool add Changed: title Add → Put",
    ),
    (
        "/tools/add/description",
        r#""D""#,
        "tool add Changed: description – → D",
    ),
    (
        "/tools/add/fingerprint",
        r#""v2:b""#,
        "tool add Changed: definition v2:a → v2:b",
    ),
    (
        "/resources/todo:~1~1a",
        "null",
        "resource todo://a Removed: needs nobody may → –; title  → –",
    ),
    (
        "/prompts/p",
        r#"{"requirement": "public", "title": "P"}"#,
        "prompt p Added: needs – → a valid token; title – → P",
    ),
];

fn edited(pointer: &str, text: &str) -> Value {
    let mut policy = policy();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = policy.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    let member = member.replace("~1", "/");
    match serde_json::from_str(text).unwrap() {
        Value::Null => parent.remove(&member),
        value => parent.insert(member, value),
    };
    policy
}

#[test]
fn each_thing_that_a_policy_says_is_told_when_it_changes_and_nothing_else_is() {
    assert_eq!(words(&policy(), &policy()), Vec::<String>::new());
    for (pointer, value, told) in EDITS {
        assert_eq!(
            words(&policy(), &edited(pointer, value)),
            [*told],
            "{pointer}"
        );
    }
}

#[test]
fn an_order_is_told_when_it_is_another_one_and_not_when_something_joins() {
    let mut turned = policy();
    for list in ["scopes", "roles", "subject_rules", "rate_limits"] {
        turned[list].as_array_mut().unwrap().reverse();
    }
    assert_eq!(
        words(&policy(), &turned),
        [
            "policy  Changed: order of scopes s1, s2 → s2, s1; order of roles rol_1, rol_2 → rol_2, rol_1; \
          order of rules rul_1, rul_2 → rul_2, rul_1; order of rate limits lim_1, lim_2 → lim_2, lim_1"
        ]
    );
    let mut more = policy();
    let role = json!({"id": "rol_3", "name": "new", "scopes": "all"});
    more["roles"].as_array_mut().unwrap().insert(0, role);
    let told = ["role new Added: name – → new; permits – → every scope"];
    assert_eq!(words(&policy(), &more), told);
}

#[test]
fn words_that_read_alike_do_not_hide_a_change() {
    let with = |sets: Value| {
        edited(
            "/tools/add/requirement",
            &json!({"any_of": sets}).to_string(),
        )
    };
    let told = words(&with(json!(["a", "z"])), &with(json!(["a or z"])));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("tool add Changed: as stored {"),
        "{told:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policies_differ_in_words_exactly_when_they_differ(
        one in prop::collection::vec(0..EDITS.len(), 0..3), other in prop::collection::vec(0..EDITS.len(), 0..3),
    ) {
        let of = |edits: Vec<usize>| {
            let mut policy = policy();
            for edit in edits {
                let (pointer, value, _) = EDITS[edit];
                let new = edited(pointer, value);
                let place = pointer.split('/').nth(1).unwrap();
                match new.get(place) {
                    Some(new) => policy[place] = new.clone(),
                    None => { policy.as_object_mut().unwrap().remove(place); }
                }
            }
            read(&policy)
        };
        let (one, other) = (of(one), of(other));
        prop_assert_eq!(policy_changes(&one, &other).is_empty(), one == other);
        let (there, back) = (policy_changes(&one, &other), policy_changes(&other, &one));
        prop_assert_eq!(there.len(), back.len());
    }
}
