#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use proptest::prelude::*;
use wire::oauth::Scope;

use super::*;
use crate::{EntryState, ListKind, ListStepUp, Mode, Requirement, Risk, ScopeDeclaration, visible};

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse_lenient(text)
}

fn caller(held: &str) -> Caller {
    Caller {
        subject: "usr_alice".into(),
        client: "cli_1".into(),
        grant: "gra_1".into(),
        scopes: scopes(held),
        ..Caller::default()
    }
}

fn declared(name: &str, risk: Risk, implies: &str) -> ScopeDeclaration {
    ScopeDeclaration {
        id: name.into(),
        name: Scope::parse(name).unwrap(),
        title: name.into(),
        risk,
        implies: scopes(implies),
    }
}

fn entry(requirement: Requirement) -> Entry {
    Entry {
        requirement,
        ..Entry::default()
    }
}

fn any_of(sets: &[&str]) -> Entry {
    entry(Requirement::AnyOf(
        sets.iter().map(|set| scopes(set)).collect(),
    ))
}

/// A policy with one of everything.
fn policy() -> Policy {
    let named = |entries: Vec<(&str, Entry)>| {
        entries
            .into_iter()
            .map(|(name, entry)| (name.to_owned(), entry))
            .collect()
    };
    Policy {
        scopes: vec![
            declared("todo:read", Risk::Low, ""),
            declared("todo:write", Risk::Medium, "todo:read"),
            declared("todo:delete", Risk::High, ""),
            declared(
                "todo:admin",
                Risk::Critical,
                "todo:write todo:delete todo:gone",
            ),
        ],
        tools: named(vec![
            ("list_todos", any_of(&["todo:read"])),
            ("add_todo", any_of(&["todo:write"])),
            ("delete_todo", any_of(&["todo:delete"])),
            (
                "replace_todo",
                any_of(&["todo:write todo:delete", "todo:admin"]),
            ),
            ("export", any_of(&["todo:delete", "todo:read todo:write"])),
            ("version", entry(Requirement::Public)),
            ("drop_all", entry(Requirement::Denied)),
            ("nobody", any_of(&[])),
            ("stale", any_of(&["todo:gone"])),
            ("half_stale", any_of(&["todo:gone", "todo:delete"])),
        ]),
        resources: named(vec![
            ("todo://help", entry(Requirement::Public)),
            ("todo://item/secret", entry(Requirement::Denied)),
        ]),
        resource_templates: named(vec![
            ("todo://item/{id}", any_of(&["todo:read"])),
            ("todo://{+anything}", any_of(&["todo:read"])),
            ("todo://admin/{page}", any_of(&["todo:delete"])),
        ]),
        prompts: named(vec![("plan", any_of(&["todo:read"]))]),
        ..Policy::default()
    }
}

fn shown(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { .. } => "yes".into(),
        Decision::NeedsScope { required, .. } => format!("needs {required}"),
        Decision::Denied { reason, .. } => format!("no: {}", reason.as_str()),
    }
}

#[test]
fn the_decision_table_is_as_a_manager_reads_it() {
    let policy = policy();
    let callers = [
        ("no scopes", ""),
        ("reader", "todo:read"),
        ("writer", "todo:write"),
        ("deleter", "todo:delete"),
        ("admin", "todo:admin"),
        ("old token", "todo:gone"),
    ];
    let calls = policy
        .tools
        .keys()
        .map(|name| {
            let call = Call::Tool {
                name,
                arguments: None,
            };
            (format!("tool {name}"), call)
        })
        .chain(
            [
                (
                    "tool unheard_of",
                    Call::Tool {
                        name: "unheard_of",
                        arguments: None,
                    },
                ),
                (
                    "tool List_Todos",
                    Call::Tool {
                        name: "List_Todos",
                        arguments: None,
                    },
                ),
                (
                    "resource todo://help",
                    Call::Resource { uri: "todo://help" },
                ),
                (
                    "resource todo://item/5",
                    Call::Resource {
                        uri: "todo://item/5",
                    },
                ),
                (
                    "resource todo://item/secret",
                    Call::Resource {
                        uri: "todo://item/secret",
                    },
                ),
                (
                    "resource todo://admin/log",
                    Call::Resource {
                        uri: "todo://admin/log",
                    },
                ),
                (
                    "resource todo://item/../admin/log",
                    Call::Resource {
                        uri: "todo://item/../admin/log",
                    },
                ),
                ("resource other://x", Call::Resource { uri: "other://x" }),
                (
                    "completion todo://item/{id}",
                    Call::ResourceCompletion {
                        uri: "todo://item/{id}",
                    },
                ),
                (
                    "completion todo://admin/{page}",
                    Call::ResourceCompletion {
                        uri: "todo://admin/{page}",
                    },
                ),
                (
                    "completion other://{x}",
                    Call::ResourceCompletion { uri: "other://{x}" },
                ),
                ("prompt plan", Call::Prompt { name: "plan" }),
                (
                    "completion of prompt plan",
                    Call::PromptCompletion { name: "plan" },
                ),
                ("prompt other", Call::Prompt { name: "other" }),
                (
                    "subscription to list changes",
                    Call::Subscription { uris: vec![] },
                ),
                (
                    "subscription to help and item",
                    Call::Subscription {
                        uris: vec!["todo://help", "todo://item/5"],
                    },
                ),
                (
                    "subscription to item and unknown",
                    Call::Subscription {
                        uris: vec!["todo://item/5", "other://x"],
                    },
                ),
                (
                    "tasks/get",
                    Call::Task {
                        method: "tasks/get",
                        id: "t",
                    },
                ),
                ("tools/list", Call::List(ListKind::Tools)),
                (
                    "initialize",
                    Call::Protocol {
                        method: "initialize",
                    },
                ),
                ("an answer", Call::Protocol { method: "" }),
                ("unknown method", Call::Unknown { method: "x/y" }),
            ]
            .map(|(name, call)| (name.to_owned(), call)),
        );
    let mut table = format!("{:<36}", "");
    for (name, _) in callers {
        let _ = write!(table, "| {name:<36}");
    }
    table.truncate(table.trim_end().len());
    table.push('\n');
    for (name, call) in calls {
        let _ = write!(table, "{name:<36}");
        for (_, held) in callers {
            let decision = decide(&policy, &caller(held), &call);
            let _ = write!(table, "| {:<36}", shown(&decision));
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("decision_table", table);
    });
}

#[test]
fn each_decision_names_its_rule() {
    let policy = policy();
    let rule = |held: &str, call: Call<'_>| decide(&policy, &caller(held), &call).rule().to_owned();
    let tool = |name| Call::Tool {
        name,
        arguments: None,
    };
    for (held, call, expected) in [
        ("todo:write", tool("add_todo"), "tool add_todo: todo:write"),
        ("", tool("add_todo"), "tool add_todo: todo:write"),
        (
            "todo:admin",
            tool("list_todos"),
            "tool list_todos: todo:read",
        ),
        ("", tool("version"), "tool version: a valid token"),
        ("", tool("drop_all"), "tool drop_all: denied"),
        (
            "",
            tool("stale"),
            "tool stale: a scope that is not declared",
        ),
        ("", tool("unheard_of"), "default: deny"),
        (
            "",
            Call::List(ListKind::Prompts),
            "prompts/list: answered filtered",
        ),
        (
            "",
            Call::Resource {
                uri: "todo://item/5",
            },
            "resource template todo://item/{id}: todo:read; resource template todo://{+anything}: todo:read",
        ),
    ] {
        assert_eq!(rule(held, call), expected);
    }
}

#[test]
fn of_several_ways_the_least_harmful_is_asked_for() {
    let policy = policy();
    let asked = |held: &str, name| match decide(
        &policy,
        &caller(held),
        &Call::Tool {
            name,
            arguments: None,
        },
    ) {
        Decision::NeedsScope { required, .. } => required.to_string(),
        other => shown(&other),
    };
    // Two harmless scopes rather than one that deletes.
    assert_eq!(asked("", "export"), "todo:read todo:write");
    // One that is missing rather than another: both ways cost their worst missing scope.
    assert_eq!(
        asked("todo:write", "replace_todo"),
        "todo:delete todo:write"
    );
    assert_eq!(asked("", "half_stale"), "todo:delete");
}

#[test]
fn observe_mode_decides_the_same_and_hides_nothing() {
    let mut policy = policy();
    let call = Call::Tool {
        name: "drop_all",
        arguments: None,
    };
    let enforced = decide(&policy, &caller(""), &call);
    let shown = |policy: &Policy| {
        visible(
            policy,
            &caller(""),
            ListKind::Tools,
            "drop_all",
            ListStepUp::Never,
        )
    };
    assert!(policy.enforced());
    assert!(!shown(&policy));
    policy.mode = Mode::Observe;
    assert!(!policy.enforced());
    assert_eq!(decide(&policy, &caller(""), &call), enforced);
    assert!(shown(&policy));
}

#[test]
fn a_thousand_scopes_that_imply_each_other_in_a_ring_are_decided() {
    let name = |index: usize| format!("s{}", index % 1000);
    let policy = Policy {
        scopes: (0..1000)
            .map(|index| declared(&name(index), Risk::Low, &name(index + 1)))
            .collect(),
        tools: [("far".to_owned(), any_of(&["s999"]))].into(),
        ..Policy::default()
    };
    assert!(
        decide(
            &policy,
            &caller("s0"),
            &Call::Tool {
                name: "far",
                arguments: None
            }
        )
        .is_allowed()
    );
}

/// Names from small sets, so that random policies have much in common.
fn any_scopes() -> impl Strategy<Value = ScopeSet> {
    proptest::collection::btree_set(0..6_u8, 0..4).prop_map(|set| {
        set.into_iter()
            .map(|index| Scope::parse(&format!("s:{index}")).unwrap())
            .collect()
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        1 => Just(Requirement::Public),
        1 => Just(Requirement::Denied),
        6 => proptest::collection::vec(any_scopes(), 0..4).prop_map(Requirement::AnyOf),
    ]
    .prop_flat_map(|requirement| {
        let state = prop_oneof![
            4 => Just(EntryState::Accepted),
            1 => Just(EntryState::Quarantined),
        ];
        (Just(requirement), state)
    })
    .prop_map(|(requirement, state)| Entry {
        state,
        ..entry(requirement)
    })
}

fn any_entries(
    identity: fn(u8) -> String,
    most: usize,
) -> impl Strategy<Value = std::collections::BTreeMap<String, Entry>> {
    proptest::collection::btree_map((0..50_u8).prop_map(identity), any_entry(), 0..most)
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let declaration =
        (0..6_u8, any_scopes(), 0..4_u8).prop_map(|(index, implies, risk)| ScopeDeclaration {
            implies,
            ..declared(
                &format!("s:{index}"),
                [Risk::Low, Risk::Medium, Risk::High, Risk::Critical][usize::from(risk)],
                "",
            )
        });
    (
        proptest::collection::vec(declaration, 0..6),
        any_entries(|index| format!("t{index}"), 40),
        any_entries(|index| format!("r://a/{index}"), 10),
        any_entries(
            |index| {
                ["r://{x}/1", "r://a/{y}", "r://{+z}", "q://{x}"][usize::from(index % 4)].to_owned()
            },
            4,
        ),
        any_entries(|index| format!("p{index}"), 10),
    )
        .prop_map(
            |(scopes, tools, resources, resource_templates, prompts)| Policy {
                scopes,
                tools,
                resources,
                resource_templates,
                prompts,
                ..Policy::default()
            },
        )
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PORTCULLIS_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// All scopes reached from `held`, declared ones only, by looking until nothing new is found.
fn closure(policy: &Policy, held: &ScopeSet) -> ScopeSet {
    let declared = policy.declared_scopes();
    let mut all = held.intersection(&declared);
    loop {
        let mut more = all.clone();
        for declaration in &policy.scopes {
            // The first declaration of a name is the one that counts.
            let first = policy.declaration(&declaration.name) == Some(declaration);
            if first && all.contains(&declaration.name) {
                more = more.union(&declaration.implies.intersection(&declared));
            }
        }
        if more == all {
            return all;
        }
        all = more;
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_visible_is_exactly_what_can_be_called_at_once_or_after_a_step_up(
        policy in any_policy(), held in any_scopes(), steps_up in any::<bool>(),
    ) {
        let caller = Caller { scopes: held, steps_up, ..caller("") };
        let tools = (0..50).map(|index| (ListKind::Tools, format!("t{index}")));
        let resources = (0..50).map(|index| (ListKind::Resources, format!("r://a/{index}")));
        let templates = ["r://{x}/1", "r://a/{y}", "r://{+z}", "q://{x}", "u://{x}"]
            .map(|template| (ListKind::ResourceTemplates, template.to_owned()));
        let prompts = (0..50).map(|index| (ListKind::Prompts, format!("p{index}")));
        for (kind, name) in tools.chain(resources).chain(templates).chain(prompts) {
            let call = match kind {
                ListKind::Tools => Call::Tool { name: &name, arguments: None },
                ListKind::Resources => Call::Resource { uri: &name },
                ListKind::ResourceTemplates => Call::ResourceCompletion { uri: &name },
                ListKind::Prompts => Call::Prompt { name: &name },
                ListKind::Instructions => unreachable!("they are nobody's to call"),
            };
            let decision = decide(&policy, &caller, &call);
            let shown = |setting| visible(&policy, &caller, kind, &name, setting);
            let (now, later) = match &decision {
                Decision::Allowed { .. } => (true, true),
                Decision::NeedsScope { required, .. } => {
                    // The step-up must do what it promises.
                    let stronger = Caller { scopes: caller.scopes.union(required), ..caller.clone() };
                    prop_assert!(decide(&policy, &stronger, &call).is_allowed());
                    prop_assert!(required.is_subset(&policy.declared_scopes()));
                    (false, true)
                }
                Decision::Denied { .. } => {
                    // No scope whatever opens it.
                    let strongest = Caller { scopes: policy.declared_scopes(), ..caller.clone() };
                    prop_assert!(!decide(&policy, &strongest, &call).is_allowed());
                    (false, false)
                }
            };
            prop_assert_eq!(shown(ListStepUp::Never), now);
            prop_assert_eq!(shown(ListStepUp::Always), later);
            prop_assert_eq!(shown(ListStepUp::Auto), if steps_up { later } else { now });
        }
    }

    #[test]
    fn a_tool_is_allowed_exactly_when_one_set_is_wholly_held_or_implied(
        policy in any_policy(), held in any_scopes(),
    ) {
        let all = closure(&policy, &held);
        let caller = Caller { scopes: held, ..caller("") };
        for (name, entry) in &policy.tools {
            let expected = match &entry.requirement {
                _ if entry.state == EntryState::Quarantined => false,
                Requirement::Public => true,
                Requirement::Denied => false,
                Requirement::AnyOf(sets) => sets.iter().any(|set| set.is_subset(&all)),
            };
            let call = Call::Tool { name, arguments: None };
            prop_assert_eq!(decide(&policy, &caller, &call).is_allowed(), expected);
        }
    }

    #[test]
    fn what_is_quarantined_is_never_visible_and_never_allowed_whatever_a_caller_holds(
        policy in any_policy(), kind in prop::sample::select(&ListKind::ALL[..]), steps_up in any::<bool>(),
    ) {
        let caller = Caller { scopes: policy.declared_scopes(), steps_up, ..caller("") };
        for (name, entry) in policy.entries(kind) {
            let calls = match kind {
                ListKind::Tools => vec![Call::Tool { name, arguments: None }],
                ListKind::Resources => vec![Call::Resource { uri: name }, Call::ResourceCompletion { uri: name },
                    Call::Subscription { uris: vec![name] }],
                ListKind::ResourceTemplates => vec![Call::ResourceCompletion { uri: name }],
                ListKind::Prompts => vec![Call::Prompt { name }, Call::PromptCompletion { name }],
                ListKind::Instructions => unreachable!("they are nobody's to call"),
            };
            if entry.state == EntryState::Quarantined {
                for call in calls {
                    let denied = matches!(
                        decide(&policy, &caller, &call),
                        Decision::Denied { reason: DenialReason::Quarantined, .. }
                    );
                    prop_assert!(denied, "{:?}", call);
                }
                prop_assert!(!visible(&policy, &caller, kind, name, ListStepUp::Always));
            }
        }
    }

    #[test]
    fn more_scopes_never_take_anything_away(policy in any_policy(), held in any_scopes(), more in any_scopes()) {
        let weak = Caller { scopes: held.clone(), ..caller("") };
        let strong = Caller { scopes: held.union(&more), ..caller("") };
        for name in policy.tools.keys() {
            let call = Call::Tool { name, arguments: None };
            if decide(&policy, &weak, &call).is_allowed() {
                prop_assert!(decide(&policy, &strong, &call).is_allowed());
            }
        }
    }
}

#[test]
fn a_quarantined_tool_is_denied_and_its_accepted_twin_is_not() {
    let mut policy = policy();
    let caller = caller("todo:read");
    let call = Call::Tool {
        name: "list_todos",
        arguments: None,
    };
    assert!(decide(&policy, &caller, &call).is_allowed());
    policy.tools.get_mut("list_todos").unwrap().state = EntryState::Quarantined;
    let decision = decide(&policy, &caller, &call);
    let Decision::Denied { reason, rule } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(reason.as_str(), "quarantined");
    assert_eq!(rule, "tool list_todos: quarantined");
    assert!(!visible(
        &policy,
        &caller,
        ListKind::Tools,
        "list_todos",
        ListStepUp::Always
    ));
}

#[test]
fn another_spelling_of_a_resource_needs_what_the_resource_needs() {
    let mut policy = policy();
    for (uri, needed) in [
        ("file:///secret", any_of(&["todo:delete"])),
        ("file:///%C3%A9", entry(Requirement::Denied)),
    ] {
        policy.resources.insert(uri.to_owned(), needed);
    }
    for template in ["file:///{+path}", "file://{+rest}"] {
        let needed = any_of(&["todo:read"]);
        policy
            .resource_templates
            .insert(template.to_owned(), needed);
    }
    let decided = |uri| decide(&policy, &caller("todo:read"), &Call::Resource { uri });
    for uri in [
        "file:///secret",
        "file:///%73ecret",
        "file://localhost/secret",
    ] {
        let decision = decided(uri);
        assert!(
            matches!(decision, Decision::NeedsScope { .. }),
            "{uri}: {decision:?}"
        );
    }
    for uri in ["file:///%C3%A9", "file:///é"] {
        let decision = decided(uri);
        assert!(
            matches!(decision, Decision::Denied { .. }),
            "{uri}: {decision:?}"
        );
    }
    for uri in ["file:///public", "file:///%70ublic", "file:///secrets"] {
        assert!(decided(uri).is_allowed(), "{uri}");
    }
}

#[test]
fn what_only_code_asks_for_is_judged_as_a_tool_that_needs_the_same() {
    let mut policy = policy();
    for needed in ["todo:read", "todo:delete", "todo:unheard"] {
        policy.tools.insert("probe".into(), any_of(&[needed]));
        for held in ["", "todo:read", "todo:write", "todo:delete", "todo:unheard"] {
            let caller = caller(held);
            let of_tool = decide(
                &policy,
                &caller,
                &Call::Tool {
                    name: "probe",
                    arguments: None,
                },
            );
            let of_code = decide_scopes(&policy, &caller, &scopes(needed));
            assert_eq!(shown(&of_tool), shown(&of_code), "{needed} with {held:?}");
        }
    }
    let denied = serde_json::json!([{
        "id": "rul_1", "effect": "deny", "who": "anyone", "client": "any", "what": "all", "note": ""
    }]);
    policy.subject_rules = serde_json::from_value(denied).unwrap();
    let decision = decide_scopes(&policy, &caller("todo:read"), &scopes("todo:read"));
    assert!(!decision.is_allowed());
}
