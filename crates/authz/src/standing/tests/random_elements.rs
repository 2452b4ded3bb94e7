//! The same laws for what is no tool: resources, resource templates and prompts of random policies.

use super::random_policies::{Dice, cases};
use super::*;
use crate::{Entry, EntryState, Viewer};

const RESOURCES: [&str; 3] = ["r://0", "r://1", "r://t/0"];
const TEMPLATES: [&str; 4] = ["r://{x}", "r://t/{x}", "r://t/{+path}", "s://{x}"];
const PROMPTS: [&str; 3] = ["p0", "p1", "p2"];
/// URIs that stand in no policy, each with the templates that it is one of.
const OTHERS: [(&str, &[&str]); 5] = [
    ("r://9", &["r://{x}"]),
    ("r://t/9", &["r://t/{x}", "r://t/{+path}"]),
    ("r://t/9/9", &["r://t/{+path}"]),
    ("s://9", &["s://{x}"]),
    ("q://9", &[]),
];
/// The tool that stands for an element: no rule names it.
const TWIN: &str = "twin";

fn policy(dice: &mut Dice) -> Policy {
    let mut policy = dice.policy();
    for (names, entries) in [
        (&RESOURCES[..], &mut policy.resources),
        (&TEMPLATES[..], &mut policy.resource_templates),
        (&PROMPTS[..], &mut policy.prompts),
    ] {
        for name in names {
            if dice.one_in(6) {
                continue;
            }
            let mut entry = dice.entry();
            // A condition closes what has no arguments, and is not all that is tried.
            if !dice.one_in(8) {
                entry.conditions.clear();
            }
            if dice.one_in(8) {
                entry.state = EntryState::Quarantined;
            }
            entries.insert((*name).to_owned(), entry);
        }
    }
    policy
}

/// The calls that an element offers.
fn calls(kind: ListKind, name: &str) -> Vec<Call<'_>> {
    match kind {
        ListKind::Resources => vec![
            Call::Resource { uri: name },
            Call::Subscription { uris: vec![name] },
        ],
        ListKind::ResourceTemplates => vec![Call::ResourceCompletion { uri: name }],
        ListKind::Prompts => vec![Call::Prompt { name }, Call::PromptCompletion { name }],
        ListKind::Tools | ListKind::Instructions => unreachable!("not tried here"),
    }
}

/// Yes, or after a question for these scopes, or no.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Yes,
    Asked(ScopeSet),
    No,
}

fn judged(policy: &Policy, caller: &Caller, call: &Call<'_>) -> Answer {
    match decide(policy, caller, call) {
        Decision::Allowed { .. } => Answer::Yes,
        Decision::NeedsScope { required, .. } => Answer::Asked(required),
        Decision::Denied { .. } => Answer::No,
    }
}

/// What a tool with this entry would be answered. The policy is one to write into.
fn of_twin(policy: &mut Policy, caller: &Caller, entry: Option<&Entry>) -> Answer {
    let Some(entry) = entry.filter(|entry| entry.conditions.is_empty()) else {
        return Answer::No;
    };
    policy.tools.insert(TWIN.to_owned(), entry.clone());
    judged(policy, caller, &tool(TWIN, None))
}

/// All that can be asked for, whether or not it is in the policy.
fn everything() -> Vec<Call<'static>> {
    let uris = OTHERS.iter().map(|(uri, _)| *uri);
    let mut all: Vec<_> = uris.map(|uri| Call::Resource { uri }).collect();
    for (kind, names) in KINDS {
        all.extend(names.iter().flat_map(|name| calls(kind, name)));
    }
    all
}

const KINDS: [(ListKind, &[&str]); 3] = [
    (ListKind::Resources, &RESOURCES),
    (ListKind::ResourceTemplates, &TEMPLATES),
    (ListKind::Prompts, &PROMPTS),
];

#[test]
fn what_is_listed_of_any_kind_is_what_can_be_called_by_every_policy() {
    let cases = cases();
    let mut seen = [[0_u64; 3]; 4];
    let mut count = |row: usize, answer: &Answer| {
        let column = match answer {
            Answer::Yes => 0,
            Answer::Asked(_) => 1,
            Answer::No => 2,
        };
        seen[row][column] += 1;
    };
    for case in 0..cases {
        let mut dice = Dice(case ^ 0x5eed);
        let (policy, caller) = (policy(&mut dice), dice.caller());
        let mut with_twin = policy.clone();
        for (row, (kind, names)) in KINDS.into_iter().enumerate() {
            for name in names {
                let words = format!("case {case}, {name}");
                let entry = policy.entries(kind).get(*name);
                let mut calls = calls(kind, name).into_iter();
                let answer = judged(&policy, &caller, &calls.next().unwrap());
                assert!(calls.all(|call| judged(&policy, &caller, &call) == answer));
                // What has no entry may be one of a template, see below.
                if entry.is_some() || kind == ListKind::Prompts {
                    let of_twin = of_twin(&mut with_twin, &caller, entry);
                    assert_eq!(answer, of_twin, "{words}");
                    count(row, &answer);
                }
                let sees = |setting| Viewer::new(&policy, &caller, setting).sees(kind, name);
                assert_eq!(sees(ListStepUp::Never), answer == Answer::Yes, "{words}");
                assert_eq!(sees(ListStepUp::Always), answer != Answer::No, "{words}");
            }
        }
        // Which template the server will take for a URI is not known: all that it is one of must allow it.
        for (uri, templates) in OTHERS {
            let entries = templates.iter();
            let entries = entries.filter_map(|template| policy.resource_templates.get(*template));
            let of_each: Vec<_> = entries
                .map(|entry| of_twin(&mut with_twin, &caller, Some(entry)))
                .collect();
            let answer = judged(&policy, &caller, &Call::Resource { uri });
            count(3, &answer);
            let all_say =
                |said: fn(&Answer) -> bool| !of_each.is_empty() && of_each.iter().all(said);
            let is_yes = all_say(|answer| *answer == Answer::Yes);
            assert_eq!(answer == Answer::Yes, is_yes, "case {case}, {uri}");
            let is_open = all_say(|answer| *answer != Answer::No);
            assert_eq!(answer != Answer::No, is_open, "case {case}, {uri}");
        }
        // What is asked for is granted, and then it is enough.
        for call in everything() {
            if let Answer::Asked(required) = judged(&policy, &caller, &call) {
                let grantable = grantable(&policy, &caller.facts(), &required);
                assert_eq!(grantable.granted, required, "case {case}, {call:?}");
                let later = Caller {
                    scopes: caller.scopes.union(&required),
                    ..caller.clone()
                };
                let answer = judged(&policy, &later, &call);
                assert_eq!(answer, Answer::Yes, "case {case}, {call:?}");
            }
        }
        // Fewer scopes and one more no never open anything.
        let weaker = Caller {
            scopes: caller.scopes.intersection(&dice.scopes(4)),
            ..caller.clone()
        };
        let mut stricter = policy.clone();
        stricter.subject_rules.push(crate::SubjectRule {
            effect: RuleEffect::Deny,
            ..dice.rule(99)
        });
        for call in everything() {
            if judged(&policy, &caller, &call) == Answer::Yes {
                continue;
            }
            for (policy, caller) in [(&policy, &weaker), (&stricter, &caller)] {
                let answer = judged(policy, caller, &call);
                assert_ne!(answer, Answer::Yes, "case {case}, {call:?}");
            }
        }
    }
    for kind in seen {
        let all: u64 = kind.iter().sum();
        let enough = kind.iter().all(|count| *count > all / 25);
        assert!(enough, "the dice are loaded: {seen:?}");
    }
}
