use wire::oauth::ScopeSet;

use crate::rule::{Judgement, judge};
use crate::uri_template;
use crate::{Call, Caller, Decision, DenialReason, Entry, Policy};

/// Says whether `caller` may do `call`. Total, pure, and the default is no.
///
/// In observe mode the decision is the same; whether it is enforced says [`Policy::enforced`].
pub fn decide(policy: &Policy, caller: &Caller, call: &Call<'_>) -> Decision {
    let held = &caller.scopes;
    match call {
        Call::Tool { name, .. } => {
            Ruling::of(policy, held, "tool", name, policy.tools.get(*name)).decision()
        }
        Call::Prompt { name } | Call::PromptCompletion { name } => {
            Ruling::of(policy, held, "prompt", name, policy.prompts.get(*name)).decision()
        }
        Call::Resource { uri } => resource(policy, held, uri).decision(),
        Call::ResourceCompletion { uri } => match policy.resource_templates.get(*uri) {
            Some(entry) => Ruling::of(policy, held, "resource template", uri, Some(entry)),
            None => resource(policy, held, uri),
        }
        .decision(),
        Call::Subscription { uris } => uris
            .iter()
            .map(|uri| resource(policy, held, uri))
            .reduce(Ruling::and)
            .unwrap_or_else(|| Ruling::free("list changes: a valid token"))
            .decision(),
        Call::Task { .. } => Ruling::free("task: whoever holds its id").decision(),
        Call::List(kind) => {
            Ruling::free(&format!("{}: answered filtered", kind.method())).decision()
        }
        Call::Protocol { method: "" } => Ruling::free("an answer: a valid token").decision(),
        Call::Protocol { method } => Ruling::free(&format!("{method}: a valid token")).decision(),
        Call::Unknown { .. } => Decision::Denied {
            reason: DenialReason::UnknownMethod,
            rule: "default: deny".to_owned(),
        },
    }
}

/// A resource is judged by its own entry. Without one, by every template that it matches: which of them the server
/// will take is not known here, so all must allow it, and so must the entry of a resource that it is another spelling
/// of: some servers look up what a URL reader makes of a URI.
fn resource(policy: &Policy, held: &ScopeSet, uri: &str) -> Ruling {
    if let Some(entry) = policy.resources.get(uri) {
        return Ruling::of(policy, held, "resource", uri, Some(entry));
    }
    let matched = policy
        .resource_templates
        .iter()
        .filter(|(template, _)| uri_template::matches(template, uri))
        .map(|(template, entry)| {
            Ruling::of(policy, held, "resource template", template, Some(entry))
        })
        .reduce(Ruling::and);
    match matched {
        None => Ruling::of(policy, held, "resource", uri, None),
        Some(_) if uri_template::is_unsafe(uri) => Ruling {
            judgement: Judgement::Never(DenialReason::UnsafeUri),
            rule: "resource template: no dot segments".to_owned(),
        },
        Some(ruling) => uri_template::other_spellings(uri)
            .filter_map(|spelling| policy.resources.get_key_value(&spelling))
            .map(|(uri, entry)| Ruling::of(policy, held, "resource", uri, Some(entry)))
            .fold(ruling, Ruling::and),
    }
}

/// A judgement with the name of its rule.
struct Ruling {
    judgement: Judgement,
    rule: String,
}

impl Ruling {
    fn of(policy: &Policy, held: &ScopeSet, kind: &str, name: &str, entry: Option<&Entry>) -> Self {
        let Some(entry) = entry else {
            return Self {
                judgement: Judgement::Never(DenialReason::Unmapped),
                rule: "default: deny".to_owned(),
            };
        };
        let judgement = judge(policy, held, &entry.requirement);
        let rule = match &judgement {
            Judgement::Met(scopes) if scopes.is_empty() => format!("{kind} {name}: a valid token"),
            Judgement::Met(scopes) | Judgement::Needs(scopes) => format!("{kind} {name}: {scopes}"),
            Judgement::Never(DenialReason::ScopeNotObtainable) => {
                format!("{kind} {name}: a scope that is not declared")
            }
            Judgement::Never(_) => format!("{kind} {name}: denied"),
        };
        Self { judgement, rule }
    }

    fn free(rule: &str) -> Self {
        Self {
            judgement: Judgement::Met(ScopeSet::new()),
            rule: rule.to_owned(),
        }
    }

    /// Both must allow: a no wins, and all scopes of both are asked for at once.
    fn and(self, other: Self) -> Self {
        use Judgement::{Met, Needs, Never};
        let judgement = match (self.judgement, other.judgement) {
            (Never(reason), _) => {
                return Self {
                    judgement: Never(reason),
                    rule: self.rule,
                };
            }
            (_, Never(reason)) => {
                return Self {
                    judgement: Never(reason),
                    rule: other.rule,
                };
            }
            (Met(one), Met(two)) => Met(one.union(&two)),
            (Met(one) | Needs(one), Met(two) | Needs(two)) => Needs(one.union(&two)),
        };
        Self {
            judgement,
            rule: format!("{}; {}", self.rule, other.rule),
        }
    }

    fn decision(self) -> Decision {
        let rule = self.rule;
        match self.judgement {
            Judgement::Met(_) => Decision::Allowed { rule },
            Judgement::Needs(required) => Decision::NeedsScope { required, rule },
            Judgement::Never(reason) => Decision::Denied { reason, rule },
        }
    }
}

#[cfg(test)]
mod tests;
