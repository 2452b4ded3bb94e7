use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use wire::mcp::{Json, is_twin};

use crate::{CallerFacts, decimal, uri_template};

/// What must be true of one argument of a tool. What cannot be judged denies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where it stands among the arguments: a JSON Pointer (RFC 6901) such as `/list` or `/filter/0/owner`.
    pub argument: String,
    /// What is asked of it.
    pub operator: Operator,
}

/// What can be asked of an argument. A number is never a string that reads like one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// It is this string, number or truth value. Numbers are compared by value.
    Equals(Value),
    /// It is one of these.
    OneOf(Vec<Value>),
    /// It is a string that begins so. After a beginning with a slash or a backslash, no dot segments may follow: they
    /// lead elsewhere.
    StartsWith(String),
    /// It is a number not above this one.
    AtMost(Number),
    /// It is the string that the caller's token has in this claim: `sub` or `client_id`.
    EqualsClaim(String),
}

/// What came of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Met,
    NotMet,
    /// It cannot be judged.
    Unclear,
}

impl From<bool> for Outcome {
    fn from(met: bool) -> Self {
        if met { Self::Met } else { Self::NotMet }
    }
}

impl Condition {
    /// Judges a call's arguments, the very value that is sent on.
    pub(crate) fn judge(&self, arguments: Option<&Json>, facts: &CallerFacts<'_>) -> Outcome {
        match arguments.and_then(|arguments| at(arguments, &self.argument)) {
            Some(argument) => self.judge_value(argument, facts),
            None => Outcome::Unclear,
        }
    }

    fn judge_value(&self, argument: &Json, facts: &CallerFacts<'_>) -> Outcome {
        match &self.operator {
            Operator::Equals(wanted) => equals(argument, wanted),
            Operator::OneOf(wanted) => wanted.iter().map(|wanted| equals(argument, wanted)).fold(
                Outcome::Unclear,
                |so_far, outcome| match (so_far, outcome) {
                    (Outcome::Met, _) | (_, Outcome::Met) => Outcome::Met,
                    (Outcome::Unclear, Outcome::Unclear) => Outcome::Unclear,
                    _ => Outcome::NotMet,
                },
            ),
            Operator::StartsWith(start) => match argument {
                Json::String(text) => {
                    (text.starts_with(start.as_str()) && !leads_elsewhere(start, text)).into()
                }
                _ => Outcome::Unclear,
            },
            Operator::AtMost(limit) => match argument {
                Json::Number(number) => decimal::compare(number.as_str(), &limit.to_string())
                    .map_or(Outcome::Unclear, |order| order.is_le().into()),
                _ => Outcome::Unclear,
            },
            Operator::EqualsClaim(name) => match (argument, claim(name, facts)) {
                (Json::String(text), Some(claim)) => (text == claim).into(),
                _ => Outcome::Unclear,
            },
        }
    }

    /// Whether any arguments at all could meet it for this caller.
    pub(crate) fn can_be_met(&self, facts: &CallerFacts<'_>) -> bool {
        match &self.operator {
            Operator::EqualsClaim(name) => claim(name, facts).is_some(),
            Operator::OneOf(wanted) => !wanted.is_empty(),
            Operator::Equals(_) | Operator::StartsWith(_) | Operator::AtMost(_) => true,
        }
    }
}

/// The names of claims that an argument can be compared with.
pub(crate) const CLAIMS: [&str; 2] = ["sub", "client_id"];

fn claim<'a>(name: &str, facts: &CallerFacts<'a>) -> Option<&'a str> {
    let claim = match name {
        "sub" => facts.subject,
        "client_id" => facts.good_client_id()?,
        _ => return None,
    };
    Some(claim).filter(|claim| !claim.is_empty())
}

/// The steps of a JSON Pointer, unescaped; `None` when it is none or leads nowhere.
pub(crate) fn steps(pointer: &str) -> Option<Vec<String>> {
    let steps = pointer.strip_prefix('/')?.split('/');
    steps
        .map(|step| {
            // RFC 6901 section 3: a tilde stands before 0 or 1 only.
            let escaped = step.split('~').skip(1);
            escaped
                .into_iter()
                .all(|rest| rest.starts_with(['0', '1']))
                .then(|| step.replace("~1", "/").replace("~0", "~"))
        })
        .collect()
}

/// The value there, for every reader: nothing where another member has a name that some reader takes for the step.
///
/// Spec: RFC 6901 section 4.
pub(crate) fn at<'a>(arguments: &'a Json, pointer: &str) -> Option<&'a Json> {
    steps(pointer)?
        .iter()
        .try_fold(arguments, |value, step| match value {
            Json::Object(members) => {
                let doubtful = members.iter().any(|(name, _)| reads_like(name, step));
                members.get(step).filter(|_| !doubtful)
            }
            Json::Array(elements) => {
                let index: usize = step.parse().ok()?;
                (index.to_string() == *step).then(|| elements.get(index))?
            }
            _ => None,
        })
}

/// Whether some reader takes the member `name` for the one called `step`, which it is not: Go matches names without
/// regard to case.
fn reads_like(name: &str, step: &str) -> bool {
    if step.is_ascii() {
        return is_twin(name, step);
    }
    let folded = |text: &str| text.to_uppercase().to_lowercase();
    name != step && folded(name) == folded(step)
}

fn equals(argument: &Json, wanted: &Value) -> Outcome {
    match (argument, wanted) {
        (Json::String(text), Value::String(wanted)) => (text == wanted).into(),
        (Json::Bool(truth), Value::Bool(wanted)) => (truth == wanted).into(),
        (Json::Number(number), Value::Number(wanted)) => {
            decimal::compare(number.as_str(), &wanted.to_string())
                .map_or(Outcome::Unclear, |order| order.is_eq().into())
        }
        _ => Outcome::Unclear,
    }
}

/// `/home/alice/../bob` begins with `/home/alice/` and is not below it, nor is `reports/../../etc` below `reports`. Windows
/// takes both slashes for separators.
fn leads_elsewhere(start: &str, text: &str) -> bool {
    (start.contains('/') && uri_template::is_unsafe(&text.replace(' ', "_")))
        || (start.contains(['/', '\\']) && uri_template::climbs(text))
        || uri_template::has_dot_segments(text)
}

/// Whether any value at all can meet these, which all speak of one argument. What they compare it with at each call, a
/// claim, is taken for possible.
pub(crate) fn are_compatible(conditions: &[&Condition]) -> bool {
    let listed = conditions
        .iter()
        .filter_map(|condition| match &condition.operator {
            Operator::Equals(value) => Some(std::slice::from_ref(value)),
            Operator::OneOf(values) => Some(values.as_slice()),
            _ => None,
        })
        .min_by_key(|values| values.len());
    if let Some(values) = listed {
        let facts = CallerFacts::default();
        return values.iter().filter_map(as_json).any(|value| {
            conditions.iter().all(|condition| {
                matches!(&condition.operator, Operator::EqualsClaim(_)) && value.as_str().is_some()
                    || condition.judge_value(&value, &facts) == Outcome::Met
            })
        });
    }
    let starts = conditions
        .iter()
        .filter_map(|condition| match &condition.operator {
            Operator::StartsWith(start) => Some(start.as_str()),
            _ => None,
        });
    let longest = starts.clone().max_by_key(|start| start.len());
    let is_text = longest.is_some()
        || conditions
            .iter()
            .any(|condition| matches!(condition.operator, Operator::EqualsClaim(_)));
    let is_number = conditions
        .iter()
        .any(|condition| matches!(condition.operator, Operator::AtMost(_)));
    let nested =
        longest.is_none_or(|longest| starts.clone().all(|start| longest.starts_with(start)));
    nested && !(is_text && is_number)
}

fn as_json(value: &Value) -> Option<Json> {
    match value {
        Value::String(text) => Some(Json::from(text.as_str())),
        Value::Bool(truth) => Some(Json::Bool(*truth)),
        Value::Number(number) => {
            wire::mcp::parse_strict(number.to_string().as_bytes(), &wire::mcp::Limits::default())
                .ok()
        }
        _ => None,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.argument, self.operator)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(formatter, "equals {value}"),
            Self::OneOf(values) => {
                formatter.write_str("is one of")?;
                values
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, value)| match index {
                        0 => write!(formatter, " {value}"),
                        _ => write!(formatter, ", {value}"),
                    })
            }
            Self::StartsWith(start) => {
                write!(formatter, "starts with {}", Value::from(start.as_str()))
            }
            Self::AtMost(limit) => write!(formatter, "is at most {limit}"),
            Self::EqualsClaim(name) => write!(formatter, "equals the caller's {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
