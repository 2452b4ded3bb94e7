//! Laws that hold for every policy, tried on random ones; `PORTCULLIS_CASES` says on how many.

use std::collections::{BTreeMap, BTreeSet};

use wire::mcp::Object;
use wire::oauth::{Scope, ScopeSet};

use super::*;
use crate::{
    Condition, Entry, Operator, Requirement, Risk, Role, RoleScopes, RuleClient, RuleWhat, RuleWho,
    ScopeDeclaration, SubjectRule,
};

const SCOPES: u64 = 5;
const TOOLS: u64 = 6;
const CLIENTS: [&str; 4] = [
    "cli_1",
    "cli_2",
    "https://a.example/c",
    "https://b.a.example/c",
];

/// SplitMix64: the same numbers on every machine.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn scopes(&mut self, most: u64) -> ScopeSet {
        (0..self.below(most + 1))
            .map(|_| Scope::parse(&format!("s:{}", self.below(SCOPES + 1))).unwrap())
            .collect()
    }

    pub(super) fn rule(&mut self, index: u64) -> SubjectRule {
        let tools = |dice: &mut Self| -> BTreeSet<String> {
            (0..=dice.below(3))
                .map(|_| format!("t{}", dice.below(TOOLS)))
                .collect()
        };
        SubjectRule {
            id: format!("rul_{index}"),
            effect: if self.one_in(2) {
                RuleEffect::Allow
            } else {
                RuleEffect::Deny
            },
            who: match self.below(4) {
                0 => RuleWho::Anyone,
                1 => RuleWho::Person(format!("usr_{}", self.below(2))),
                2 => RuleWho::Group(format!("grp_{}", self.below(2))),
                _ => RuleWho::Role(format!("rol_{}", self.below(4))),
            },
            client: match self.below(5) {
                0 | 1 => RuleClient::Any,
                2 => RuleClient::Id(CLIENTS[usize::try_from(self.below(4)).unwrap()].into()),
                3 => RuleClient::VerifiedHost(
                    ["a.example", "*.a.example"][usize::try_from(self.below(2)).unwrap()].into(),
                ),
                _ => RuleClient::Unverified,
            },
            what: match self.below(7) {
                0 => RuleWhat::All,
                1..=3 => RuleWhat::Scopes(self.scopes(2)),
                _ => RuleWhat::Tools(tools(self)),
            },
            note: String::new(),
        }
    }

    pub(super) fn entry(&mut self) -> Entry {
        let operator = match self.below(6) {
            0 => Some(Operator::Equals("a".into())),
            1 => Some(Operator::EqualsClaim(
                ["sub", "email"][usize::try_from(self.below(2)).unwrap()].into(),
            )),
            _ => None,
        };
        Entry {
            requirement: match self.below(8) {
                0 => Requirement::Public,
                1 => Requirement::Denied,
                _ => Requirement::AnyOf((0..=self.below(2)).map(|_| self.scopes(2)).collect()),
            },
            conditions: operator
                .map(|operator| Condition {
                    argument: "/x".into(),
                    operator,
                })
                .into_iter()
                .collect(),
            ..Entry::default()
        }
    }

    pub(super) fn policy(&mut self) -> Policy {
        let scopes = (0..SCOPES).map(|index| ScopeDeclaration {
            id: String::new(),
            name: Scope::parse(&format!("s:{index}")).unwrap(),
            title: String::new(),
            risk: [Risk::Low, Risk::High][usize::try_from(self.below(2)).unwrap()],
            implies: if self.one_in(3) {
                self.scopes(1)
            } else {
                ScopeSet::new()
            },
        });
        let scopes = scopes.collect();
        let role_count = self.below(4);
        let roles = (0..role_count).map(|index| Role {
            id: format!("rol_{index}"),
            name: String::new(),
            title: String::new(),
            scopes: if self.one_in(5) {
                RoleScopes::All
            } else {
                RoleScopes::Only(self.scopes(3))
            },
        });
        let roles = roles.collect();
        Policy {
            scopes,
            roles,
            default_role: self.one_in(2).then(|| format!("rol_{}", self.below(4))),
            subject_rules: (0..self.below(5)).map(|index| self.rule(index)).collect(),
            tools: self.tools(),
            ..Policy::default()
        }
    }

    fn tools(&mut self) -> BTreeMap<String, Entry> {
        let mut tools = BTreeMap::new();
        for index in 0..TOOLS {
            if !self.one_in(5) {
                tools.insert(format!("t{index}"), self.entry());
            }
        }
        tools
    }

    pub(super) fn caller(&mut self) -> Caller {
        let client = CLIENTS[usize::try_from(self.below(4)).unwrap()];
        let subject = if self.one_in(8) {
            client.to_owned()
        } else {
            format!("usr_{}", self.below(2))
        };
        Caller {
            subject,
            client: client.into(),
            // A document is nobody's registration.
            client_vouched: !client.starts_with("https://") && self.one_in(3),
            client_proven: self.one_in(2),
            scopes: self.scopes(4),
            roles: (0..self.below(3))
                .map(|_| format!("rol_{}", self.below(4)))
                .collect(),
            groups: (0..self.below(3))
                .map(|_| format!("grp_{}", self.below(2)))
                .collect(),
            ..Caller::default()
        }
    }
}

/// Whether a rule speaks of a caller, in the plainest words.
fn concerns(policy: &Policy, rule: &SubjectRule, caller: &Caller) -> bool {
    let machine = caller.subject == caller.client;
    let has = |id: &String| policy.roles.iter().any(|role| role.id == *id);
    let mut roles: Vec<&String> = caller.roles.iter().filter(|id| has(id)).collect();
    if roles.is_empty() {
        roles = policy.default_role.iter().filter(|id| has(id)).collect();
    }
    let who = match &rule.who {
        RuleWho::Anyone => true,
        RuleWho::Person(id) => caller.subject == *id,
        RuleWho::Group(id) => caller.groups.contains(id),
        RuleWho::Role(id) => !machine && roles.contains(&id),
    };
    let has_document = caller.client.starts_with("https://");
    let is_itself = !has_document || caller.client_proven;
    let counts = rule.effect == RuleEffect::Deny || is_itself;
    let client = match &rule.client {
        RuleClient::Any => true,
        RuleClient::Id(id) => caller.client == *id && counts,
        RuleClient::VerifiedHost(host) if host == "a.example" => {
            caller.client == CLIENTS[2] && counts
        }
        RuleClient::VerifiedHost(_) => caller.client == CLIENTS[3] && counts,
        RuleClient::Unverified if has_document => !caller.client_proven,
        RuleClient::Unverified => !caller.client_vouched,
    };
    who && client
}

/// A deny rule that covers the tool itself.
fn is_denied(policy: &Policy, caller: &Caller, tool: &str) -> bool {
    policy.subject_rules.iter().any(|rule| {
        let covers = match &rule.what {
            RuleWhat::All => true,
            RuleWhat::Tools(tools) => tools.contains(tool),
            RuleWhat::Scopes(_) => false,
        };
        rule.effect == RuleEffect::Deny && covers && concerns(policy, rule, caller)
    })
}

/// The scopes that a deny rule takes.
fn denied_scopes(policy: &Policy, caller: &Caller) -> ScopeSet {
    let rules = policy.subject_rules.iter();
    rules
        .filter(|rule| rule.effect == RuleEffect::Deny && concerns(policy, rule, caller))
        .filter_map(|rule| match &rule.what {
            RuleWhat::Scopes(scopes) => Some(scopes),
            RuleWhat::All | RuleWhat::Tools(_) => None,
        })
        .fold(ScopeSet::new(), |all, scopes| all.union(scopes))
}

/// Every call that can be told apart: no argument, and each value that some condition asks for.
fn decisions(policy: &Policy, caller: &Caller, name: &str) -> Vec<Decision> {
    let with = |value: &str| Json::Object(Object::from_iter([("x", value)]));
    let arguments = [with("a"), with("b"), with(&caller.subject)];
    std::iter::once(None)
        .chain(arguments.iter().map(Some))
        .map(|arguments| decide(policy, caller, &tool(name, arguments)))
        .collect()
}

fn allowed(policy: &Policy, caller: &Caller) -> Vec<(u64, usize)> {
    (0..TOOLS)
        .flat_map(|index| {
            let decisions = decisions(policy, caller, &format!("t{index}"));
            let yes = decisions
                .into_iter()
                .enumerate()
                .filter(|(_, decision)| decision.is_allowed());
            yes.map(move |(call, _)| (index, call)).collect::<Vec<_>>()
        })
        .collect()
}

/// How many policies are tried.
pub(super) fn cases() -> u64 {
    let cases = std::env::var("PORTCULLIS_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

#[test]
fn the_laws_hold_for_every_policy() {
    let cases = cases();
    let mut seen = [0_u32; 3];
    for case in 0..cases {
        let mut dice = Dice(case);
        let (policy, caller) = (dice.policy(), dice.caller());
        let taken = denied_scopes(&policy, &caller);
        for name in (0..TOOLS).map(|index| format!("t{index}")) {
            let decisions = decisions(&policy, &caller, &name);
            let at_once = decisions.iter().any(Decision::is_allowed);
            let asked = decisions.iter().find_map(|decision| match decision {
                Decision::NeedsScope { required, .. } => Some(required),
                _ => None,
            });
            // What is listed is what can be called.
            let sees =
                |setting| Viewer::new(&policy, &caller, setting).sees(ListKind::Tools, &name);
            assert_eq!(sees(ListStepUp::Never), at_once, "case {case}, {name}");
            assert_eq!(
                sees(ListStepUp::Always),
                at_once || asked.is_some(),
                "case {case}, {name}"
            );
            // What is asked for is granted, and then it is enough.
            if let Some(required) = asked {
                let grantable = grantable(&policy, &caller.facts(), required);
                assert_eq!(grantable.granted, *required, "case {case}, {name}");
                let later = Caller {
                    scopes: caller.scopes.union(required),
                    ..caller.clone()
                };
                assert!(
                    self::decisions(&policy, &later, &name)
                        .iter()
                        .any(Decision::is_allowed),
                    "case {case}, {name}"
                );
            }
            // A no wins, over the tool and over each scope.
            let open = at_once || asked.is_some();
            if is_denied(&policy, &caller, &name) {
                assert!(!open, "case {case}, {name}");
            }
            let without_taken =
                policy
                    .tools
                    .get(&name)
                    .is_some_and(|entry| match &entry.requirement {
                        Requirement::Public => true,
                        Requirement::Denied => false,
                        Requirement::AnyOf(sets) => {
                            sets.iter().any(|set| set.intersection(&taken).is_empty())
                        }
                    });
            assert!(!open || without_taken, "case {case}, {name}");
            seen[if at_once {
                0
            } else if open {
                1
            } else {
                2
            }] += 1;
        }
        // Fewer scopes and one more no never open anything.
        let before: BTreeSet<_> = allowed(&policy, &caller).into_iter().collect();
        // Nor does a document that is not proven: who names it has no more than whoever registered themselves just now.
        if caller.client.starts_with("https://") && caller.subject != caller.client {
            let named = Caller {
                client_proven: false,
                ..caller.clone()
            };
            let registered = Caller {
                client: "cli_new".into(),
                ..named.clone()
            };
            let has = allowed(&policy, &registered);
            let mut had = allowed(&policy, &named).into_iter();
            assert!(had.all(|call| has.contains(&call)), "case {case}");
        }
        let weaker = Caller {
            scopes: caller.scopes.intersection(&dice.scopes(4)),
            ..caller.clone()
        };
        let mut stricter = policy.clone();
        let deny = SubjectRule {
            effect: RuleEffect::Deny,
            ..dice.rule(99)
        };
        stricter.subject_rules.push(deny);
        for after in [allowed(&policy, &weaker), allowed(&stricter, &caller)] {
            assert!(
                after.iter().all(|call| before.contains(call)),
                "case {case}"
            );
        }
        let all = policy.declared_scopes();
        let (could, can) = (
            grantable(&policy, &caller.facts(), &all),
            grantable(&stricter, &caller.facts(), &all),
        );
        assert!(can.granted.is_subset(&could.granted), "case {case}");
    }
    assert!(
        seen.iter().all(|count| u64::from(*count) > cases / 20),
        "the dice are loaded: {seen:?}"
    );
}
