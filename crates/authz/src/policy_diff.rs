use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wire::oauth::ScopeSet;

use crate::decision_table::word;
use crate::{
    Entry, EntryState, ListKind, Mode, Policy, QuarantineFrom, Requirement, Role, RoleScopes,
    ScopeDeclaration, SubjectRule,
};

/// What differs of one thing between two policies, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyChange {
    /// `policy`, `scope`, `tool`, `resource`, `resource template`, `prompt`, `instructions`, `role`, `rule` or `rate limit`.
    pub kind: &'static str,
    /// Its name or URI; the id of a rule. Nothing for the policy as a whole.
    pub name: String,
    /// What became of it.
    pub change: ChangeOf,
    /// What differs, or what it is, or was.
    pub facts: Vec<FactChange>,
}

/// What became of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the name says it")]
pub enum ChangeOf {
    Added,
    Changed,
    Removed,
}

/// One thing that is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// What is said, such as `needs` or `of`.
    pub fact: &'static str,
    /// In the earlier policy; nothing when it was not said there.
    pub before: Option<String>,
    /// In the later one.
    pub after: Option<String>,
}

/// What differs between two policies, by kind and name. Valid policies that differ in anything differ in something here.
pub fn policy_changes(before: &Policy, after: &Policy) -> Vec<PolicyChange> {
    let mut old = things(before, after);
    let mut changes = Vec::new();
    let mut changed = |key: Key, name, change, facts| {
        changes.push((
            key.clone(),
            PolicyChange {
                kind: KINDS[key.0],
                name,
                change,
                facts,
            },
        ));
    };
    for (key, new) in things(after, before) {
        let Some(old) = old.remove(&key) else {
            let facts = new.facts.into_iter();
            let facts = facts.map(|(fact, after)| FactChange {
                fact,
                before: None,
                after: Some(after),
            });
            changed(key, new.name, ChangeOf::Added, facts.collect());
            continue;
        };
        let mut facts = differing(old.facts, new.facts);
        if facts.is_empty() && old.stored != new.stored {
            // Words are not as exact: a scope may be called `or`.
            facts.push(FactChange {
                fact: "as stored",
                before: Some(old.stored),
                after: Some(new.stored),
            });
        }
        if !facts.is_empty() {
            changed(key, new.name, ChangeOf::Changed, facts);
        }
    }
    for (key, old) in old {
        let facts = old.facts.into_iter();
        let facts = facts.map(|(fact, before)| FactChange {
            fact,
            before: Some(before),
            after: None,
        });
        changed(key, old.name, ChangeOf::Removed, facts.collect());
    }
    changes.sort_by(|(one, _), (other, _)| one.cmp(other));
    changes.into_iter().map(|(_, change)| change).collect()
}

/// Where it stands in the list, and what tells it from others of its kind.
type Key = (usize, String);

/// The policy as a whole first, then what people look for in it.
const KINDS: [&str; 10] = [
    "policy",
    "scope",
    "role",
    "rule",
    "rate limit",
    "tool",
    "resource",
    "resource template",
    "prompt",
    "instructions",
];

struct Thing {
    name: String,
    facts: Facts,
    /// As JSON.
    stored: String,
}

type Facts = Vec<(&'static str, String)>;

fn differing(old: Facts, new: Facts) -> Vec<FactChange> {
    let labels: Vec<&'static str> = old.iter().chain(&new).map(|(fact, _)| *fact).collect();
    let (mut old, mut new): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (old.into_iter().collect(), new.into_iter().collect());
    let mut seen = BTreeSet::new();
    let labels = labels.into_iter().filter(|fact| seen.insert(*fact));
    labels
        .map(|fact| FactChange {
            fact,
            before: old.remove(fact),
            after: new.remove(fact),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

/// What a policy has, held against `other`.
fn things(policy: &Policy, other: &Policy) -> BTreeMap<Key, Thing> {
    let mut things = BTreeMap::new();
    let mut add = |kind: &str, id: &str, name: &str, facts: Facts, stored: String| {
        let place = KINDS.iter().position(|known| *known == kind);
        let key = (place.unwrap_or_default(), id.to_owned());
        let name = name.to_owned();
        things.insert(
            key,
            Thing {
                name,
                facts,
                stored,
            },
        );
    };
    add("policy", "", "", whole(policy, other), String::new());
    for scope in &policy.scopes {
        let name = scope.name.as_str();
        add("scope", &scope.id, name, of_scope(scope), stored(scope));
    }
    for role in &policy.roles {
        add("role", &role.id, &role.name, of_role(role), stored(role));
    }
    for rule in &policy.subject_rules {
        add("rule", &rule.id, &rule.id, of_rule(rule), stored(rule));
    }
    for limit in &policy.rate_limits {
        let mut facts = vec![("limit", limit.to_string())];
        if !limit.note.is_empty() {
            facts.push(("note", limit.note.clone()));
        }
        add("rate limit", &limit.id, &limit.id, facts, stored(limit));
    }
    for kind in ListKind::DEFINED {
        for (name, entry) in policy.entries(kind) {
            let mut facts = of_entry(entry);
            // Whoever may connect hears them.
            facts.retain(|(fact, _)| kind != ListKind::Instructions || *fact != "needs");
            add(word(kind), name, name, facts, stored(entry));
        }
    }
    things
}

fn stored(thing: &impl Serialize) -> String {
    serde_json::to_string(thing).unwrap_or_default()
}

fn whole(policy: &Policy, other: &Policy) -> Facts {
    let mode = match policy.mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
    };
    let quarantine_from = match policy.quarantine_from {
        QuarantineFrom::Low => "low",
        QuarantineFrom::Medium => "medium",
        QuarantineFrom::High => "high",
        QuarantineFrom::Never => "never",
    };
    // A role that is renamed is told once, as the role.
    let default_role = (policy.default_role != other.default_role)
        .then_some(policy.default_role.as_ref())
        .flatten();
    let default_role = default_role.map(|id| {
        let name = policy.role(id).map_or("", |role| &role.name);
        format!("{name} ({id})")
    });
    let mut facts = vec![
        ("mode", mode.to_owned()),
        ("default scopes", policy.default_scopes.to_string()),
        ("quarantine from", quarantine_from.to_owned()),
        ("list step-up", policy.list_step_up.as_str().to_owned()),
    ];
    facts.extend(default_role.map(|role| ("default role", role)));
    // People are shown scopes in this order, and of several rules or limits that speak the first is named.
    facts.extend([
        (
            "order of scopes",
            order(&policy.scopes, &other.scopes, |one| &one.id),
        ),
        (
            "order of roles",
            order(&policy.roles, &other.roles, |one| &one.id),
        ),
        (
            "order of rules",
            order(&policy.subject_rules, &other.subject_rules, |one| &one.id),
        ),
        (
            "order of rate limits",
            order(&policy.rate_limits, &other.rate_limits, |one| &one.id),
        ),
    ]);
    facts
}

/// In which order those of `list` stand that `other` has too.
fn order<T>(list: &[T], other: &[T], id: impl Fn(&T) -> &str) -> String {
    let known: BTreeSet<&str> = other.iter().map(&id).collect();
    let ids = list.iter().map(&id).filter(|id| known.contains(id));
    ids.collect::<Vec<_>>().join(", ")
}

fn of_scope(scope: &ScopeDeclaration) -> Facts {
    let mut facts = vec![
        ("name", scope.name.to_string()),
        ("title", scope.title.clone()),
        ("risk", format!("{:?}", scope.risk).to_lowercase()),
    ];
    if !scope.implies.is_empty() {
        facts.push(("implies", scope.implies.to_string()));
    }
    facts
}

fn of_role(role: &Role) -> Facts {
    let mut facts = vec![
        ("name", role.name.clone()),
        (
            "permits",
            match &role.scopes {
                RoleScopes::All => "every scope".to_owned(),
                RoleScopes::Only(scopes) if scopes.is_empty() => "nothing".to_owned(),
                RoleScopes::Only(scopes) => scopes.to_string(),
            },
        ),
    ];
    if !role.title.is_empty() {
        facts.push(("title", role.title.clone()));
    }
    facts
}

fn of_rule(rule: &SubjectRule) -> Facts {
    let mut facts = vec![
        ("effect", rule.effect.to_string()),
        ("of", rule.who.to_string()),
        ("through", rule.client.to_string()),
        ("what", rule.what.to_string()),
    ];
    if !rule.note.is_empty() {
        facts.push(("note", rule.note.clone()));
    }
    facts
}

fn of_entry(entry: &Entry) -> Facts {
    let mut facts = vec![("needs", needs(&entry.requirement))];
    if entry.state == EntryState::Quarantined {
        facts.push(("state", "quarantined".to_owned()));
    }
    if entry.pinned {
        facts.push(("pinned", "yes".to_owned()));
    }
    if !entry.conditions.is_empty() {
        let conditions = entry.conditions.iter().map(ToString::to_string);
        let conditions: Vec<String> = conditions.collect();
        facts.push(("only when", conditions.join(" and ")));
    }
    if !entry.recorded_arguments.is_empty() {
        facts.push(("records of each call", entry.recorded_arguments.join(", ")));
    }
    facts.push(("title", entry.title.clone()));
    if !entry.description.is_empty() {
        facts.push(("description", entry.description.clone()));
    }
    facts.extend(entry.fingerprint.clone().map(|of| ("definition", of)));
    facts
}

fn needs(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Public => "a valid token".to_owned(),
        Requirement::Denied => "nobody may".to_owned(),
        Requirement::AnyOf(sets) if sets.is_empty() => "one of no scopes".to_owned(),
        Requirement::AnyOf(sets) => {
            let sets: Vec<String> = sets.iter().map(ScopeSet::to_string).collect();
            sets.join(" or ")
        }
    }
}

#[cfg(test)]
mod tests;
