#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use wire::oauth::{Scope, ScopeSet};

use super::*;
use crate::{
    LimitPer, LimitWhat, Operator, Risk, RuleClient, RuleEffect, RuleWho, ScopeDeclaration,
};

/// A policy as the release before reads it, which refuses it whole for a member that it does not know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only whether it is read, and what callers need")]
struct EarlierPolicy {
    mode: Value,
    scopes: Value,
    default_scopes: ScopeSet,
    tools: BTreeMap<String, EarlierEntry>,
    resources: BTreeMap<String, EarlierEntry>,
    resource_templates: BTreeMap<String, EarlierEntry>,
    prompts: BTreeMap<String, EarlierEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only whether it is read, and what callers need")]
struct EarlierEntry {
    requirement: Requirement,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    fingerprint: Option<String>,
}

fn needs(scope: &str) -> Requirement {
    Requirement::AnyOf(vec![ScopeSet::parse_lenient(scope)])
}

fn entry(name: &str) -> Entry {
    Entry {
        requirement: needs("todo:read"),
        title: name.to_owned(),
        fingerprint: Some(format!("2:{name}")),
        ..Entry::default()
    }
}

/// One tool of each kind, and no roles or rules.
fn drifted() -> Policy {
    let tools = [
        entry("plain"),
        Entry {
            state: EntryState::Quarantined,
            ..entry("drifted")
        },
        Entry {
            conditions: vec![Condition {
                argument: "/list".to_owned(),
                operator: Operator::Equals("mine".into()),
            }],
            ..entry("conditional")
        },
        Entry {
            pinned: true,
            ..entry("pinned")
        },
        Entry {
            recorded_arguments: vec!["/path".to_owned()],
            ..entry("recorded")
        },
    ];
    Policy {
        quarantine_from: QuarantineFrom::Low,
        list_step_up: ListStepUp::Never,
        tools: tools.map(|tool| (tool.title.clone(), tool)).into(),
        ..Policy::default()
    }
}

fn with_role() -> Policy {
    Policy {
        roles: vec![Role {
            id: "rol_1".to_owned(),
            name: "reader".to_owned(),
            title: String::new(),
            scopes: RoleScopes::All,
        }],
        default_role: Some("rol_1".to_owned()),
        ..drifted()
    }
}

fn with_rule() -> Policy {
    Policy {
        subject_rules: vec![SubjectRule {
            id: "rul_1".to_owned(),
            effect: RuleEffect::Deny,
            who: RuleWho::Anyone,
            client: RuleClient::Any,
            what: RuleWhat::All,
            note: String::new(),
        }],
        ..drifted()
    }
}

fn with_limit() -> Policy {
    Policy {
        rate_limits: vec![RateLimit {
            id: "lim_1".to_owned(),
            per: LimitPer::Person,
            what: LimitWhat::All,
            rate: "60 per 1m".parse().unwrap(),
            burst: None,
            note: String::new(),
        }],
        ..drifted()
    }
}

fn with_instructions() -> Policy {
    let said = |name: &str| Entry {
        requirement: Requirement::Public,
        state: EntryState::Quarantined,
        ..entry(name)
    };
    Policy {
        instructions: [("instructions".to_owned(), said("instructions"))].into(),
        ..drifted()
    }
}

fn read_by_the_release_before(policy: &Policy) -> EarlierPolicy {
    serde_json::from_value(json!(policy)).unwrap()
}

#[test]
fn the_release_before_reads_every_policy_and_opens_nothing_that_it_cannot_judge() {
    let open = |policy: &Policy| -> Vec<String> {
        let (plain, _) = policy.split();
        let read = read_by_the_release_before(&plain);
        let tools = read.tools.into_iter();
        let open = tools.filter(|(_, entry)| entry.requirement == needs("todo:read"));
        open.map(|(name, _)| name).collect()
    };
    assert_eq!(open(&drifted()), ["pinned", "plain", "recorded"]);
    // A limit opens nothing, so it closes nothing either.
    assert_eq!(open(&with_limit()), ["pinned", "plain", "recorded"]);
    assert_eq!(open(&with_instructions()), ["pinned", "plain", "recorded"]);
    assert_eq!(open(&with_role()), Vec::<String>::new());
    assert_eq!(open(&with_rule()), Vec::<String>::new());
    for unread in [
        drifted(),
        with_role(),
        with_rule(),
        with_limit(),
        with_instructions(),
    ] {
        assert!(serde_json::from_value::<EarlierPolicy>(json!(unread)).is_err());
    }
}

#[test]
fn both_parts_together_are_the_policy_again_and_a_plain_one_has_no_rest() {
    for policy in [
        drifted(),
        with_role(),
        with_rule(),
        with_limit(),
        with_instructions(),
    ] {
        let (plain, rest) = policy.split();
        let rest: PolicyRest = serde_json::from_value(json!(rest.unwrap())).unwrap();
        assert_eq!(plain.join(Some(rest)), policy);
    }
    let plain = Policy {
        tools: [("plain".to_owned(), entry("plain"))].into(),
        ..Policy::default()
    };
    let (same, rest) = plain.split();
    assert_eq!((same, rest), (plain, None));
}

#[test]
fn what_the_release_before_writes_says_what_is_needed_and_lifts_nothing() {
    let (mut plain, rest) = with_role().split();
    for (name, requirement) in [("drifted", Requirement::Public), ("plain", needs("new"))] {
        // As `--tool-scope` did there: the entry anew, with what is listed now.
        let entry = plain.tools.get_mut(name).unwrap();
        entry.requirement = requirement;
        entry.fingerprint = Some("unmarked".to_owned());
    }
    plain.tools.remove("pinned");
    let joined = plain.clone().join(rest.clone());
    let drifted = &joined.tools["drifted"];
    assert_eq!(drifted.state, EntryState::Quarantined);
    assert_eq!(drifted.fingerprint.as_deref(), Some("2:drifted"));
    assert_eq!(drifted.requirement, Requirement::Public);
    assert_eq!(joined.tools["plain"].requirement, needs("new"));
    assert!(!joined.tools.contains_key("pinned"));
    assert_eq!(joined.roles, with_role().roles);
    // What it only carried along is as it was.
    let conditional = &joined.tools["conditional"];
    assert_eq!(*conditional, with_role().tools["conditional"]);
    // Nor is anything lifted when it takes an entry out and puts it in again.
    let removed = plain.tools.remove("drifted").unwrap();
    plain.tools.insert("drifted".to_owned(), removed);
    let again = plain.join(rest);
    assert_eq!(again.tools["drifted"].state, EntryState::Quarantined);
}

#[test]
fn a_rest_with_what_only_a_later_release_knows_is_not_read_by_halves() {
    let (_, rest) = drifted().split();
    let mut text = json!(rest.unwrap());
    assert!(serde_json::from_value::<PolicyRest>(text.clone()).is_ok());
    text["curfew"] = json!("22:00");
    assert!(serde_json::from_value::<PolicyRest>(text).is_err());
}

#[test]
fn of_a_scope_that_the_release_before_took_away_no_role_and_no_rule_speaks_any_more() {
    let about = |scopes: &str| RuleWhat::Scopes(ScopeSet::parse_lenient(scopes));
    let declared = |name: &str| ScopeDeclaration {
        id: name.to_owned(),
        name: Scope::parse(name).unwrap(),
        title: name.to_owned(),
        risk: Risk::Low,
        implies: ScopeSet::new(),
    };
    let mut policy = with_role();
    policy.scopes = ["todo:read", "todo:write"].map(declared).into();
    policy.roles[0].scopes = RoleScopes::Only(ScopeSet::parse_lenient("todo:read todo:write"));
    let rule = &with_rule().subject_rules[0];
    policy.subject_rules = ["todo:write", "todo:read todo:write"]
        .map(|scopes| SubjectRule {
            what: about(scopes),
            ..rule.clone()
        })
        .into();
    let (mut plain, rest) = policy.split();
    assert_eq!(plain.clone().join(rest.clone()), policy);
    plain.scopes.pop();
    let joined = plain.join(rest);
    let reads = ScopeSet::parse_lenient("todo:read");
    assert_eq!(joined.roles[0].scopes, RoleScopes::Only(reads));
    assert_eq!(joined.subject_rules.len(), 1);
    assert_eq!(joined.subject_rules[0].what, about("todo:read"));
}
