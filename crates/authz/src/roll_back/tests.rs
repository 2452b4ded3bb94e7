#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Caller, decision_table};

fn policy(tools: serde_json::Value) -> Policy {
    serde_json::from_value(json!({
        "mode": "enforce", "scopes": [], "default_scopes": "", "tools": tools,
        "resources": {}, "resource_templates": {}, "prompts": {},
    }))
    .unwrap()
}

fn never(_: ListKind, name: &str, _: Option<&str>) -> KnownNow {
    panic!("{name} does not return")
}

fn tool(name: &str) -> (ListKind, String) {
    (ListKind::Tools, name.to_owned())
}

#[test]
fn what_is_known_keeps_its_state_and_gets_back_what_was_said_of_its_definition() {
    let earlier = policy(json!({
        "same": {"requirement": "public", "title": "then", "fingerprint": "2:a"},
        "unmarked": {"requirement": "public", "title": "then", "fingerprint": "a"},
        "drifted": {"requirement": "public", "title": "then", "fingerprint": "2:a"},
        "lifted": {"requirement": "denied", "title": "", "fingerprint": "2:a", "state": "quarantined"},
        "unlisted": {"requirement": "public", "title": "then"},
    }));
    let now = policy(json!({
        "same": {"requirement": "denied", "title": "now", "fingerprint": "2:a", "pinned": true},
        "unmarked": {"requirement": "denied", "title": "now", "fingerprint": "2:a"},
        "drifted": {"requirement": "denied", "title": "now", "fingerprint": "2:a", "state": "quarantined", "pinned": true},
        "lifted": {"requirement": "public", "title": "", "fingerprint": "2:a"},
        "unlisted": {"requirement": "denied", "title": "now"},
        "new": {"requirement": "public", "title": ""},
    }));
    let back = roll_back(&earlier, &now, never);
    let expected = policy(json!({
        "same": {"requirement": "public", "title": "then", "fingerprint": "2:a"},
        "unmarked": {"requirement": "public", "title": "then", "fingerprint": "2:a"},
        "drifted": {"requirement": "public", "title": "then", "fingerprint": "2:a", "state": "quarantined"},
        "lifted": {"requirement": "denied", "title": "", "fingerprint": "2:a"},
        "unlisted": {"requirement": "public", "title": "then"},
    }));
    assert_eq!(back.policy, expected);
    assert!(back.returning.is_empty() && back.quarantined.is_empty() && back.kept.is_empty());
}

#[test]
fn what_was_said_of_another_definition_is_not_said_of_the_one_that_was_accepted_since() {
    let condition = json!([{"argument": "/list", "operator": {"equals": "home"}}]);
    let earlier = policy(json!({
        "loosened": {"requirement": "public", "title": "then", "fingerprint": "2:a"},
        "conditions": {"requirement": "public", "title": "", "fingerprint": "2:a"},
        "first": {"requirement": "public", "title": ""},
        "old": {"requirement": "public", "title": "", "fingerprint": "a"},
        "worded": {"requirement": "public", "title": "then", "fingerprint": "2:a"},
    }));
    let present = json!({
        "loosened": {"requirement": "denied", "title": "now", "fingerprint": "2:b"},
        "conditions": {"requirement": "public", "title": "", "fingerprint": "2:b", "conditions": condition},
        "first": {"requirement": "denied", "title": "", "fingerprint": "2:b"},
        "old": {"requirement": "denied", "title": "", "fingerprint": "2:b"},
        "worded": {"requirement": "public", "title": "now", "fingerprint": "2:b"},
    });
    let now = policy(present.clone());
    let back = roll_back(&earlier, &now, never);
    assert_eq!(back.policy, policy(present));
    // Of one of which nothing differs but its words nobody has to be told.
    assert_eq!(
        back.kept,
        ["conditions", "first", "loosened", "old"].map(tool)
    );
    assert!(back.returning.is_empty() && back.quarantined.is_empty());
}

#[test]
fn the_scopes_of_what_stays_are_those_that_they_were_under_whatever_name() {
    let scope = |id: &str, name: &str| json!({"id": id, "name": name, "title": "", "risk": "low"});
    let needs = |scopes: &str, fingerprint: &str| {
        json!({
            "tool": {"requirement": {"any_of": [scopes]}, "title": "", "fingerprint": fingerprint},
        })
    };
    let with = |tools, scopes: &[serde_json::Value]| {
        let mut policy = policy(tools);
        policy.scopes = serde_json::from_value(json!(scopes)).unwrap();
        policy
    };
    let earlier = with(
        needs("read", "2:a"),
        &[scope("r", "read"), scope("w", "write")],
    );
    let mut implying = scope("d", "delete");
    implying["implies"] = json!("edit");
    let now = with(
        needs("edit delete", "2:b"),
        &[scope("r", "read"), scope("w", "edit"), implying],
    );
    let back = roll_back(&earlier, &now, never);
    let expected = with(
        needs("write delete", "2:b"),
        &[
            scope("r", "read"),
            scope("w", "write"),
            scope("d", "delete"),
        ],
    );
    assert_eq!(back.policy, expected);
    assert_eq!(
        (back.kept, back.quarantined),
        (vec![tool("tool")], Vec::new())
    );

    // Another scope had that name: nobody may call it by that before somebody looks.
    let taken = with(
        needs("read", "2:a"),
        &[scope("r", "read"), scope("x", "delete")],
    );
    let now = with(needs("delete", "2:b"), &[scope("d", "delete")]);
    let back = roll_back(&taken, &now, never);
    assert_eq!(back.policy.tools["tool"].state, EntryState::Quarantined);
    assert_eq!(back.quarantined, [tool("tool")]);
    assert_eq!(back.policy.scopes, taken.scopes);
}

#[test]
fn a_resource_in_quarantine_is_not_freed_by_a_template_of_then() {
    let with = |resources: serde_json::Value, template: &str| {
        let mut policy = policy(json!({}));
        policy.resources = serde_json::from_value(resources).unwrap();
        let templates = json!({template: {"requirement": "public", "title": ""}});
        policy.resource_templates = serde_json::from_value(templates).unwrap();
        policy
    };
    for (state, template, stays) in [
        ("quarantined", "note://{id}", true),
        ("accepted", "note://{id}", false),
        // Nothing opens it.
        ("quarantined", "file://{id}", false),
    ] {
        let earlier = with(json!({}), template);
        let entry = json!({"requirement": {"any_of": ["read"]}, "title": "", "state": state});
        let mut now = with(json!({"note://7": entry}), "note://{id}");
        let scope = json!([{"id": "r", "name": "read", "title": "", "risk": "low"}]);
        now.scopes = serde_json::from_value(scope).unwrap();
        let back = roll_back(&earlier, &now, |_, _, then| as_accepted(then));
        let kept = back.policy.resources.get("note://7");
        let known = now.resources.get("note://7").filter(|_| stays);
        assert_eq!(kept, known, "{state} {template}");
        let quarantined = [(ListKind::Resources, "note://7".to_owned())];
        assert_eq!(back.quarantined == quarantined, stays);
        // With what it needs, so that it can be saved.
        assert_eq!(back.policy.scopes == now.scopes, stays);
    }
}

#[test]
fn arguments_are_recorded_only_when_both_said_so_where_the_definition_is_another_one() {
    let with = |fingerprint: &str, arguments: &[&str]| {
        policy(
            json!({"tool": {"requirement": "public", "title": "", "fingerprint": fingerprint,
            "recorded_arguments": arguments}}),
        )
    };
    let earlier = with("2:a", &["/path", "/then"]);
    for (fingerprint, expected) in [("2:b", &["/path"][..]), ("2:a", &["/path", "/then"])] {
        let back = roll_back(&earlier, &with(fingerprint, &["/now", "/path"]), never);
        assert_eq!(
            back.policy.tools["tool"].recorded_arguments, expected,
            "{fingerprint}"
        );
    }
}

#[test]
fn what_returns_is_accepted_only_while_nothing_speaks_against_it() {
    let earlier = policy(json!({
        "same": {"requirement": "public", "title": "", "fingerprint": "2:a"},
        "other": {"requirement": "public", "title": "", "fingerprint": "2:b"},
        "unknown": {"requirement": "public", "title": ""},
        "found": {"requirement": "public", "title": ""},
        "old": {"requirement": "public", "title": "", "fingerprint": "a"},
        "waited": {"requirement": "public", "title": "", "fingerprint": "2:c", "state": "quarantined"},
    }));
    let known = |kind, name: &str, then: Option<&str>| {
        assert_eq!(kind, ListKind::Tools);
        match (name, then) {
            ("other", Some("2:b")) | ("unknown", None) => KnownNow::Other,
            ("found" | "old", None) => KnownNow::AsAccepted(Some("2:d".to_owned())),
            ("same" | "waited", Some(then)) => KnownNow::AsAccepted(Some(then.to_owned())),
            _ => panic!("{name} {then:?}"),
        }
    };
    let back = roll_back(&earlier, &Policy::default(), known);
    let of = |name: &str| {
        let entry = &back.policy.tools[name];
        (entry.state, entry.fingerprint.as_deref())
    };
    assert_eq!(of("same"), (EntryState::Accepted, Some("2:a")));
    for name in ["found", "old"] {
        assert_eq!(of(name), (EntryState::Accepted, Some("2:d")), "{name}");
    }
    assert_eq!(back.quarantined, ["other", "unknown", "waited"].map(tool));
    for name in earlier.tools.keys() {
        let is_back = back.quarantined.contains(&tool(name));
        assert_eq!(of(name).0 == EntryState::Quarantined, is_back, "{name}");
    }
    let returning = [("found", None), ("old", None), ("same", Some("2:a"))];
    let returning = returning.map(|(name, fingerprint)| Returning {
        kind: ListKind::Tools,
        identity: name.to_owned(),
        fingerprint: fingerprint.map(str::to_owned),
    });
    assert_eq!(back.returning, returning);
}

/// Policies over four tools and two roles, each with definitions and states of its own.
fn any_policy() -> impl Strategy<Value = Policy> {
    let needs = [
        "\"public\"",
        "\"denied\"",
        r#"{"any_of":["a"]}"#,
        r#"{"any_of":["a b"]}"#,
    ];
    let tool = (0..needs.len(), 0..3_u8, any::<bool>(), any::<bool>());
    let tools = prop::collection::vec(prop::option::of(tool), 4);
    let whats = ["\"all\"", r#"{"scopes":"b"}"#, r#"{"tools":["t1"]}"#];
    let rule = (any::<bool>(), 0..whats.len());
    (tools, 0..3_usize, prop::option::of(rule)).prop_map(move |(tools, roles, rule)| {
        let mut all = serde_json::Map::new();
        for (index, tool) in tools.into_iter().enumerate() {
            let Some((need, definition, quarantined, pinned)) = tool else {
                continue;
            };
            let needs: serde_json::Value = serde_json::from_str(needs[need]).unwrap();
            let state = if quarantined {
                "quarantined"
            } else {
                "accepted"
            };
            all.insert(
                format!("t{index}"),
                json!({"requirement": needs, "title": "", "state": state, "pinned": pinned,
                    "fingerprint": format!("2:{definition}")}),
            );
        }
        let mut policy = policy(all.into());
        let scope = |name: &str| json!({"id": name, "name": name, "title": "", "risk": "low"});
        let scopes = json!([scope("a"), scope("b")]);
        policy.scopes = serde_json::from_value(scopes).unwrap();
        let known = json!([
            {"id": "rol_a", "name": "a", "scopes": {"only": "a"}},
            {"id": "rol_all", "name": "all", "scopes": "all"},
        ]);
        policy.roles = serde_json::from_value(known).unwrap();
        policy.roles.truncate(roles);
        if let Some((allow, what)) = rule {
            let what: serde_json::Value = serde_json::from_str(whats[what]).unwrap();
            let effect = if allow { "allow" } else { "deny" };
            let rule =
                json!({"id": "rul_1", "effect": effect, "who": {"person": "ann"}, "what": what});
            policy
                .subject_rules
                .push(serde_json::from_value(rule).unwrap());
        }
        policy
    })
}

/// With every element as it was accepted, of one definition.
fn looked_at(mut policy: Policy) -> Policy {
    for entry in policy.tools.values_mut() {
        entry.state = EntryState::Accepted;
        entry.fingerprint = Some("2:0".to_owned());
    }
    policy
}

fn as_accepted(then: Option<&str>) -> KnownNow {
    KnownNow::AsAccepted(then.map(str::to_owned))
}

fn people() -> Vec<(String, Caller)> {
    let of = |subject: &str, role: &str| Caller {
        subject: subject.to_owned(),
        client: "cli_1".to_owned(),
        roles: vec![role.to_owned()],
        scopes: wire::oauth::ScopeSet::parse_lenient("a b"),
        ..Caller::default()
    };
    let people = [
        of("ann", "rol_a"),
        of("bob", "rol_a"),
        of("cid", "rol_all"),
        of("dan", ""),
    ];
    people.map(|one| (one.subject.clone(), one)).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn while_nothing_drifted_people_reach_what_they_reached_at_the_revision(
        earlier in any_policy().prop_map(looked_at), now in any_policy().prop_map(looked_at),
    ) {
        let back = roll_back(&earlier, &now, |_, _, then| as_accepted(then));
        prop_assert_eq!(&back.policy, &earlier);
        prop_assert_eq!(decision_table(&back.policy, &people()), decision_table(&earlier, &people()));
    }

    #[test]
    fn nobody_ever_reaches_what_waits_now_or_is_another_one_by_what_was_said_of_the_one_before(
        earlier in any_policy(), now in any_policy(), other in prop::collection::vec(any::<bool>(), 4),
    ) {
        let is_other = |name: &str| other[usize::from(name.as_bytes()[1] - b'0')];
        let back = roll_back(&earlier, &now, |_, name, then| match is_other(name) {
            true => KnownNow::Other,
            false => as_accepted(then),
        });
        // As at the revision, but with the states of now, and whole as now where the definition is another one.
        let mut expected = earlier.clone();
        for (name, entry) in &mut expected.tools {
            match now.tools.get(name) {
                Some(known) if known.fingerprint == entry.fingerprint => entry.state = known.state,
                Some(known) => *entry = known.clone(),
                None if is_other(name) => entry.state = EntryState::Quarantined,
                None => {}
            }
        }
        prop_assert_eq!(&back.policy, &expected);
        for row in decision_table(&back.policy, &people()).rows {
            let waits = now.tools.get(&row.name).map_or(is_other(&row.name), |entry| !entry.state.is_accepted());
            for cell in row.cells {
                prop_assert!(!waits || cell.starts_with("no: "), "{} {}", row.name, cell);
            }
        }
        for one in &back.returning {
            prop_assert!(!now.tools.contains_key(&one.identity) && !is_other(&one.identity));
            prop_assert_eq!(&one.fingerprint, &earlier.tools[&one.identity].fingerprint);
        }
        for (_, name) in &back.kept {
            prop_assert_eq!(&back.policy.tools[name], &now.tools[name]);
        }
    }
}
