use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use wire::mcp::Json;
use wire::oauth::ScopeSet;

use crate::condition::{CLAIMS, are_compatible, steps};
use crate::input_schema::{self, Described};
use crate::{
    Condition, Entry, LimitWhat, ListKind, Operator, Policy, RoleScopes, RuleClient, RuleWhat,
    RuleWho, SubjectRule,
};

/// The most roles of one policy: all of somebody's fit into a token.
const ROLES_MAX: usize = 64;
/// The most groups that the rules of one policy name: all of somebody's fit into a token.
const GROUPS_MAX: usize = 64;
/// The most subject rules.
const RULES_MAX: usize = 500;
/// The most rate limits: each call is held against all of them.
const RATE_LIMITS_MAX: usize = 64;
/// The most conditions of one tool.
const CONDITIONS_MAX: usize = 16;
/// The most arguments of one tool that are recorded.
const RECORDED_MAX: usize = 16;
/// The longest name, title or note, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMistake {
    /// Where, such as `tools.add_todo.conditions[0]`.
    pub place: String,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for PolicyMistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong with the roles, rules, limits and conditions of a policy; asked before one is stored.
///
/// `input_schema` gives the input schema of a tool; what is said of a tool whose schema nobody has is not held against
/// one.
pub fn check<'a>(
    policy: &Policy,
    input_schema: impl Fn(&str) -> Option<&'a Json>,
) -> Vec<PolicyMistake> {
    let mut mistakes = Mistakes::default();
    blank(policy, &mut mistakes);
    roles(policy, &mut mistakes);
    rules(policy, &mut mistakes);
    rate_limits(policy, &mut mistakes);
    for kind in ListKind::ALL {
        for (name, entry) in policy.entries(kind) {
            let place = format!("{}.{name}.conditions", kind.member());
            recorded_arguments(kind, name, entry, input_schema(name), &mut mistakes);
            if kind != ListKind::Tools && !entry.conditions.is_empty() {
                mistakes.add(place, "only tools have arguments; remove the conditions");
                continue;
            }
            if entry.conditions.len() > CONDITIONS_MAX {
                mistakes.add(&place, format!("more than {CONDITIONS_MAX}"));
            }
            let schema = input_schema(name);
            for (index, condition) in entry.conditions.iter().enumerate() {
                self::condition(
                    &format!("{place}[{index}]"),
                    condition,
                    schema,
                    &mut mistakes,
                );
            }
            contradictions(&place, &entry.conditions, &mut mistakes);
        }
    }
    mistakes.0
}

#[derive(Default)]
struct Mistakes(Vec<PolicyMistake>);

impl Mistakes {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push(PolicyMistake {
            place: place.into(),
            message: message.into(),
        });
    }

    fn undeclared(&mut self, policy: &Policy, place: &str, scopes: &ScopeSet) {
        for scope in scopes
            .iter()
            .filter(|scope| policy.declaration(scope).is_none())
        {
            self.add(place, format!("{scope} is no scope of this server"));
        }
    }

    fn unknown_tools(&mut self, policy: &Policy, place: &str, tools: &BTreeSet<String>) {
        if tools.is_empty() {
            self.add(place, "it names no tool");
        }
        for tool in tools
            .iter()
            .filter(|tool| !policy.tools.contains_key(*tool))
        {
            self.add(place, format!("{tool:?} is no tool of this server"));
        }
    }
}

/// Who may have what is said of a server that was looked at: the first look maps all that it finds, and a node of the release
/// before, which sees a policy without its roles and rules, would be the one to map it.
fn blank(policy: &Policy, mistakes: &mut Mistakes) {
    if !policy.is_blank() {
        return;
    }
    let said = [
        ("roles", !policy.roles.is_empty()),
        ("subject_rules", !policy.subject_rules.is_empty()),
    ];
    for (place, _) in said.into_iter().filter(|(_, said)| *said) {
        mistakes.add(
            place,
            "nothing is known of what this server offers, so nothing can be said of who may have it; start it, let a gateway look \
             at it once (`portcullis servers show` then counts its tools), and say this again",
        );
    }
}

fn roles(policy: &Policy, mistakes: &mut Mistakes) {
    if policy.roles.len() > ROLES_MAX {
        mistakes.add("roles", format!("more than {ROLES_MAX}"));
    }
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for role in &policy.roles {
        let place = format!("roles.{}", role.name);
        if !role.id.starts_with("rol_") || !ids.insert(&role.id) {
            mistakes.add(&place, format!("{:?} is no id of its own", role.id));
        }
        if !is_name(&role.name) {
            mistakes.add(
                &place,
                "a role's name is 1 to 40 of a-z, 0-9, - and _, beginning with a letter",
            );
        }
        if !names.insert(&role.name) {
            mistakes.add(&place, "two roles have this name");
        }
        if role.title.chars().count() > TEXT_CHARS_MAX {
            mistakes.add(
                &place,
                format!("its title has more than {TEXT_CHARS_MAX} characters"),
            );
        }
        if let RoleScopes::Only(scopes) = &role.scopes {
            mistakes.undeclared(policy, &place, scopes);
        }
    }
    if let Some(id) = &policy.default_role
        && policy.role(id).is_none()
    {
        mistakes.add("default_role", format!("{id} is no role of this server"));
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn rules(policy: &Policy, mistakes: &mut Mistakes) {
    if policy.subject_rules.len() > RULES_MAX {
        mistakes.add("subject_rules", format!("more than {RULES_MAX}"));
    }
    let mut ids = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for rule in &policy.subject_rules {
        let place = format!("subject_rules.{}", rule.id);
        if !rule.id.starts_with("rul_") || !ids.insert(&rule.id) {
            mistakes.add(&place, format!("{:?} is no id of its own", rule.id));
        }
        if rule.note.chars().count() > TEXT_CHARS_MAX {
            mistakes.add(
                &place,
                format!("its note has more than {TEXT_CHARS_MAX} characters"),
            );
        }
        if let RuleWho::Group(group) = &rule.who {
            groups.insert(group);
        }
        subject_rule(policy, &place, rule, mistakes);
    }
    if groups.len() > GROUPS_MAX {
        let message = format!("they name more than {GROUPS_MAX} groups");
        mistakes.add("subject_rules", message);
    }
}

fn subject_rule(policy: &Policy, place: &str, rule: &SubjectRule, mistakes: &mut Mistakes) {
    match &rule.who {
        RuleWho::Role(id) if policy.role(id).is_none() => {
            mistakes.add(place, format!("{id} is no role of this server"));
        }
        RuleWho::Group(id) if !id.starts_with("grp_") => {
            mistakes.add(place, format!("{id:?} is no id of a group"));
        }
        RuleWho::Person(id) if id.is_empty() => mistakes.add(place, "it names nobody"),
        RuleWho::Anyone | RuleWho::Person(_) | RuleWho::Group(_) | RuleWho::Role(_) => {}
    }
    match &rule.client {
        RuleClient::Id(id) if id.is_empty() => mistakes.add(place, "it names no client"),
        RuleClient::VerifiedHost(host) if !is_host(host) => mistakes.add(
            place,
            format!(
                "{host:?} is no host name such as claude.ai or *.example.com, in small letters"
            ),
        ),
        RuleClient::Any
        | RuleClient::Id(_)
        | RuleClient::VerifiedHost(_)
        | RuleClient::Unverified => {}
    }
    match &rule.what {
        RuleWhat::All => {}
        RuleWhat::Scopes(scopes) if scopes.is_empty() => mistakes.add(place, "it names no scope"),
        RuleWhat::Scopes(scopes) => mistakes.undeclared(policy, place, scopes),
        RuleWhat::Tools(tools) => mistakes.unknown_tools(policy, place, tools),
    }
}

fn rate_limits(policy: &Policy, mistakes: &mut Mistakes) {
    if policy.rate_limits.len() > RATE_LIMITS_MAX {
        mistakes.add("rate_limits", format!("more than {RATE_LIMITS_MAX}"));
    }
    let mut ids = BTreeSet::new();
    for limit in &policy.rate_limits {
        let place = format!("rate_limits.{}", limit.id);
        if !limit.id.starts_with("lim_") || !ids.insert(&limit.id) {
            mistakes.add(&place, format!("{:?} is no id of its own", limit.id));
        }
        if limit.note.chars().count() > TEXT_CHARS_MAX {
            mistakes.add(
                &place,
                format!("its note has more than {TEXT_CHARS_MAX} characters"),
            );
        }
        let calls = limit.rate.calls();
        if !(1..=calls).contains(&limit.at_once()) {
            let message = format!("its burst is 1 to {calls}, the calls of its rate");
            mistakes.add(&place, message);
        }
        if let LimitWhat::Tools(tools) = &limit.what {
            mistakes.unknown_tools(policy, &place, tools);
        }
    }
}

fn is_host(text: &str) -> bool {
    let host = text.strip_prefix("*.").unwrap_or(text);
    crate::subject_rule::host_of_document(&format!("https://{host}/")).as_deref() == Some(host)
}

/// A tool whose conditions nothing meets would be listed and refuse every call.
fn contradictions(place: &str, conditions: &[Condition], mistakes: &mut Mistakes) {
    let mut by_argument: BTreeMap<&str, Vec<&Condition>> = BTreeMap::new();
    for condition in conditions {
        let argument = condition.argument.as_str();
        by_argument.entry(argument).or_default().push(condition);
    }
    for (argument, conditions) in by_argument {
        if conditions.len() > 1 && !are_compatible(&conditions) {
            let message = format!("no value of {argument} meets all of its conditions");
            mistakes.add(place, message);
        }
    }
}

fn condition(place: &str, condition: &Condition, schema: Option<&Json>, mistakes: &mut Mistakes) {
    let argument = &condition.argument;
    let Some(steps) = steps(argument) else {
        let message = format!("{argument:?} is no JSON Pointer such as /list or /items/0/owner");
        mistakes.add(place, message);
        return;
    };
    match &condition.operator {
        Operator::OneOf(values) if values.is_empty() => mistakes.add(place, "it names no value"),
        Operator::EqualsClaim(name) if !CLAIMS.contains(&name.as_str()) => mistakes.add(
            place,
            format!(
                "{name:?} is no claim of the caller; there are {}",
                CLAIMS.join(" and ")
            ),
        ),
        Operator::StartsWith(start) if start.is_empty() => {
            mistakes.add(place, "everything starts with nothing");
        }
        _ => {}
    }
    let described = match schema {
        None => Described::default(),
        Some(schema) => match input_schema::describe(schema, &steps) {
            Some(described) => described,
            None => {
                let message = format!("the tool's input schema has no argument {argument}");
                mistakes.add(place, message);
                return;
            }
        },
    };
    let wanted: Vec<Option<&str>> = match &condition.operator {
        Operator::Equals(value) => vec![kind(value)],
        Operator::OneOf(values) => values.iter().map(kind).collect(),
        Operator::StartsWith(_) | Operator::EqualsClaim(_) => vec![Some("string")],
        Operator::AtMost(_) => vec![Some("number")],
    };
    for kind in wanted {
        match kind {
            None => mistakes.add(
                place,
                "only strings, numbers, true and false can be compared",
            ),
            Some(kind) if !described.can_be(kind) => {
                let types: Vec<_> = described.types.iter().map(String::as_str).collect();
                let types = types.join(" or ");
                let message = format!(
                    "{argument} is compared with a {kind}, and by its schema it is {types}"
                );
                mistakes.add(place, message);
            }
            Some(_) => {}
        }
    }
    let values = match &condition.operator {
        Operator::Equals(value) => std::slice::from_ref(value),
        Operator::OneOf(values) => values,
        Operator::StartsWith(_) | Operator::AtMost(_) | Operator::EqualsClaim(_) => &[],
    };
    if let Some(possible) = &described.values {
        for value in values.iter().filter(|value| !possible.contains(value)) {
            mistakes.add(place, format!("by its schema {argument} is never {value}"));
        }
    }
}

/// Only what the schema has, and has as one value, can be declared to hold no secret; while nobody has the schema, whoever
/// declares it is taken at their word.
fn recorded_arguments(
    kind: ListKind,
    name: &str,
    entry: &Entry,
    schema: Option<&Json>,
    mistakes: &mut Mistakes,
) {
    let place = format!("{}.{name}.recorded_arguments", kind.member());
    let recorded = &entry.recorded_arguments;
    if kind != ListKind::Tools && !recorded.is_empty() {
        return mistakes.add(place, "only tools have arguments; remove it");
    }
    if recorded.len() > RECORDED_MAX {
        mistakes.add(&place, format!("more than {RECORDED_MAX}"));
    }
    let mut seen = BTreeSet::new();
    for argument in recorded {
        let described = match steps(argument) {
            Some(steps) if argument.chars().count() <= TEXT_CHARS_MAX => {
                schema.map(|schema| input_schema::describe(schema, &steps))
            }
            _ => {
                let message = format!(
                    "{argument:?} is no JSON Pointer such as /path of at most {TEXT_CHARS_MAX} characters"
                );
                mistakes.add(&place, message);
                continue;
            }
        };
        if !seen.insert(argument) {
            mistakes.add(&place, format!("{argument} stands there twice"));
        }
        let is_value = |described: &Described| {
            (["string", "number", "boolean", "null"].iter()).any(|kind| described.can_be(kind))
        };
        match described {
            Some(None) => {
                let message = format!("the tool's input schema has no argument {argument}");
                mistakes.add(&place, message);
            }
            Some(Some(described)) if !is_value(&described) => {
                let message =
                    format!("{argument} is a list or an object; name the values that are in it");
                mistakes.add(&place, message);
            }
            _ => {}
        }
    }
}

/// What JSON Schema calls a value of this kind.
fn kind(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(_) => Some("string"),
        Value::Number(_) => Some("number"),
        Value::Bool(_) => Some("boolean"),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
