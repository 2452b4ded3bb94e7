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

#[test]
fn what_is_known_keeps_its_definition_and_its_state_and_all_else_comes_back() {
    let earlier = policy(json!({
        "drifted": {"requirement": "public", "title": "then", "fingerprint": "v2:a"},
        "approved": {"requirement": "denied", "title": "", "fingerprint": "v2:a", "state": "quarantined"},
    }));
    let now = policy(json!({
        "drifted": {"requirement": "denied", "title": "now", "fingerprint": "v2:b", "state": "quarantined", "pinned": true},
        "approved": {"requirement": "public", "title": "", "fingerprint": "v2:c"},
        "new": {"requirement": "public", "title": ""},
    }));
    let back = roll_back(&earlier, &now, |_, _, _| panic!("nothing returns"));
    let expected = policy(json!({
        "drifted": {"requirement": "public", "title": "then", "fingerprint": "v2:b", "state": "quarantined"},
        "approved": {"requirement": "denied", "title": "", "fingerprint": "v2:c"},
    }));
    assert_eq!(back.policy, expected);
    assert!(back.returning.is_empty() && back.quarantined.is_empty());
}

#[test]
fn what_returns_is_accepted_only_while_nothing_else_is_listed_in_its_place() {
    let earlier = policy(json!({
        "same": {"requirement": "public", "title": "", "fingerprint": "v2:a"},
        "other": {"requirement": "public", "title": "", "fingerprint": "v2:b"},
        "unknown": {"requirement": "public", "title": ""},
        "waited": {"requirement": "public", "title": "", "fingerprint": "v2:c", "state": "quarantined"},
    }));
    let is_other = |kind, name: &str, fingerprint: &str| {
        assert_eq!(kind, ListKind::Tools);
        match name {
            "other" => fingerprint == "v2:b",
            "unknown" => fingerprint.is_empty(),
            _ => false,
        }
    };
    let back = roll_back(&earlier, &Policy::default(), is_other);
    let state = |name: &str| back.policy.tools[name].state;
    assert_eq!(state("same"), EntryState::Accepted);
    for name in ["other", "unknown", "waited"] {
        assert_eq!(state(name), EntryState::Quarantined, "{name}");
        assert!(
            back.quarantined
                .contains(&(ListKind::Tools, name.to_owned()))
        );
    }
    let returning = (ListKind::Tools, "same".to_owned(), "v2:a".to_owned());
    assert_eq!(back.returning, [returning]);
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
                    "fingerprint": format!("v2:{definition}")}),
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
        entry.fingerprint = Some("v2:0".to_owned());
    }
    policy
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
        let back = roll_back(&earlier, &now, |_, _, _| false);
        prop_assert_eq!(&back.policy, &earlier);
        prop_assert_eq!(decision_table(&back.policy, &people()), decision_table(&earlier, &people()));
    }

    #[test]
    fn nobody_ever_reaches_what_waits_now_or_is_another_one_and_all_else_is_as_it_was(
        earlier in any_policy(), now in any_policy(), other in prop::collection::vec(any::<bool>(), 4),
    ) {
        let is_other = |name: &str| other[usize::from(name.as_bytes()[1] - b'0')];
        let back = roll_back(&earlier, &now, |_, name, _| is_other(name));
        // As at the revision, but with the definitions and states of now.
        let mut expected = earlier.clone();
        for (name, entry) in &mut expected.tools {
            match now.tools.get(name) {
                Some(known) => {
                    entry.state = known.state;
                    entry.fingerprint.clone_from(&known.fingerprint);
                }
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
        for (_, name, fingerprint) in &back.returning {
            prop_assert!(!now.tools.contains_key(name) && !is_other(name));
            prop_assert_eq!(Some(fingerprint), earlier.tools[name].fingerprint.as_ref());
        }
    }
}
