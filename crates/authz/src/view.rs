use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use wire::mcp::{ListChange, ListChanges};

use crate::{Caller, ListKind, ListStepUp, Policy, Viewer};

/// What one caller sees of a server's lists, short enough to be kept: whether it is another view than before, and of which
/// lists, is all that can be asked of it.
///
/// It is of what the policy knows. In observe mode everything is seen, also what the policy does not know, so that going
/// there and back always makes another view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View([u64; ListChange::ALL.len()]);

impl View {
    /// What `caller` sees by `policy`.
    pub fn of(policy: &Policy, caller: &Caller, list_step_up: ListStepUp) -> Self {
        let viewer = Viewer::new(policy, caller, list_step_up);
        Self(ListChange::ALL.map(|change| {
            let mut hasher = DefaultHasher::new();
            policy.enforced().hash(&mut hasher);
            if policy.enforced() {
                for kind in change.lists() {
                    hash_seen(&viewer, policy, *kind, &mut hasher);
                }
            }
            hasher.finish()
        }))
    }

    /// The lists that are not what they were in `before`.
    pub fn changed_since(&self, before: &Self) -> ListChanges {
        let changes = ListChange::ALL.into_iter().zip(self.0.iter().zip(before.0));
        changes
            .filter(|(_, (now, then))| *now != then)
            .map(|(change, _)| change)
            .collect()
    }
}

fn hash_seen(viewer: &Viewer<'_>, policy: &Policy, kind: ListKind, hasher: &mut DefaultHasher) {
    let names = policy.entries(kind).keys();
    let seen: Vec<bool> = names.map(|name| viewer.sees(kind, name)).collect();
    // A resource that has no entry is seen when all templates that it matches are: where one is seen, one that is not says
    // something too.
    let hidden_too = kind == ListKind::ResourceTemplates && seen.contains(&true);
    for (name, is_seen) in policy.entries(kind).keys().zip(seen) {
        if is_seen || hidden_too {
            (kind, name, is_seen).hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};
    use wire::oauth::ScopeSet;

    use super::*;

    fn policy(change: impl FnOnce(&mut Value)) -> Policy {
        let mut policy = json!({
            "mode": "enforce", "default_scopes": "todo:read",
            "scopes": [{"id": "1", "name": "todo:read", "title": "See", "risk": "low"},
                {"id": "2", "name": "todo:write", "title": "Write", "risk": "low"}],
            "tools": {"list": {"requirement": {"any_of": ["todo:read"]}, "title": "List"},
                "add": {"requirement": {"any_of": ["todo:write"]}, "title": "Add"}},
            "resources": {"todo://1": {"requirement": "public", "title": "One"}},
            "resource_templates": {}, "prompts": {},
        });
        change(&mut policy);
        serde_json::from_value(policy).unwrap()
    }

    fn caller(scopes: &str) -> Caller {
        Caller {
            subject: "usr_1".into(),
            client: "cli_1".into(),
            scopes: ScopeSet::parse_lenient(scopes),
            ..Caller::default()
        }
    }

    fn changes(caller: &Caller, before: &Policy, after: &Policy) -> Vec<ListChange> {
        let view = |policy| View::of(policy, caller, ListStepUp::Auto);
        view(after).changed_since(&view(before)).iter().collect()
    }

    #[test]
    fn a_view_is_another_one_for_those_alone_who_see_something_else() {
        let before = policy(|_| {});
        let (reader, writer) = (caller("todo:read"), caller("todo:read todo:write"));
        let cases: [(&str, Value, &[ListChange], &[ListChange]); 8] = [
            (
                "/tools/add/requirement",
                json!("denied"),
                &[],
                &[ListChange::Tools],
            ),
            (
                "/tools/add/requirement",
                json!("public"),
                &[ListChange::Tools],
                &[],
            ),
            (
                "/tools/list/requirement",
                json!("denied"),
                &[ListChange::Tools],
                &[ListChange::Tools],
            ),
            ("/tools/list/title", json!("Lists"), &[], &[]),
            (
                "/prompts",
                json!({"p": {"requirement": "denied", "title": "P"}}),
                &[],
                &[],
            ),
            (
                "/prompts",
                json!({"p": {"requirement": {"any_of": ["todo:write"]}, "title": "P"}}),
                &[],
                &[ListChange::Prompts],
            ),
            (
                "/resource_templates",
                json!({"todo://{id}": {"requirement": {"any_of": ["todo:write"]}, "title": "T"}}),
                &[],
                &[ListChange::Resources],
            ),
            (
                "/resources",
                json!({}),
                &[ListChange::Resources],
                &[ListChange::Resources],
            ),
        ];
        for (part, value, of_reader, of_writer) in cases {
            let after = policy(|policy| *policy.pointer_mut(part).unwrap() = value.clone());
            assert_eq!(
                changes(&reader, &before, &after),
                of_reader,
                "{part} {value}"
            );
            assert_eq!(
                changes(&writer, &before, &after),
                of_writer,
                "{part} {value}"
            );
            assert_eq!(changes(&writer, &after, &after), []);
        }
    }

    #[test]
    fn a_template_that_is_hidden_hides_resources_of_another_and_nothing_where_none_is_seen() {
        let with = |templates: Value| policy(|policy| policy["resource_templates"] = templates);
        let seen = json!({"todo://{id}": {"requirement": "public", "title": "T"}});
        let mut both = seen.clone();
        both["{+any}"] = json!({"requirement": "denied", "title": "Any"});
        let reader = caller("todo:read");
        let resources = [ListChange::Resources];
        assert_eq!(changes(&reader, &with(seen), &with(both)), resources);
        let hidden = json!({"{+any}": {"requirement": "denied", "title": "Any"}});
        assert_eq!(changes(&reader, &with(json!({})), &with(hidden)), []);
    }

    #[test]
    fn in_observe_mode_all_is_seen_and_going_there_is_another_view_for_everybody() {
        let enforced = policy(|_| {});
        let observed = policy(|policy| policy["mode"] = json!("observe"));
        let nobody = caller("");
        assert_eq!(changes(&nobody, &enforced, &observed), ListChange::ALL);
        let more = policy(|policy| {
            policy["mode"] = json!("observe");
            policy["tools"]["add"]["requirement"] = json!("denied");
        });
        assert_eq!(changes(&nobody, &observed, &more), []);
    }
}
