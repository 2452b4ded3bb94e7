use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use wire::mcp::{ListChange, ListChanges};

use crate::{Caller, Entry, ListKind, ListStepUp, Policy, QuarantineFrom, Viewer};

/// What one caller sees of a server's lists, short enough to be kept: whether it is another view than before, and of which
/// lists, is all that can be asked of it.
///
/// It is of what the policy knows, and of how that was defined when it was accepted: an element that became another one is
/// hidden, and comes back when somebody accepts it. In observe mode everything is seen, also what the policy does not know, so
/// that going there and back makes another view of each list that has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View([u64; ListChange::ALL.len()]);

impl View {
    /// What `caller` sees by `policy`.
    pub fn of(policy: &Policy, caller: &Caller, list_step_up: ListStepUp) -> Self {
        let viewer = Viewer::new(policy, caller, list_step_up);
        Self(ListChange::ALL.map(|change| {
            let mut hasher = DefaultHasher::new();
            for kind in change.lists() {
                match policy.enforced() {
                    true => hash_seen(&viewer, policy, *kind, &mut hasher),
                    false if policy.entries(*kind).is_empty() => {}
                    false => kind.hash(&mut hasher),
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

    /// What somebody knows who saw this, and was told since that these lists are as in `now`.
    #[must_use]
    pub fn after(mut self, told: ListChanges, now: &Self) -> Self {
        for change in told.iter() {
            self.0[change as usize] = now.0[change as usize];
        }
        self
    }

    /// What both have in common. A list in which they differ becomes one that nobody sees, so that it is another one than any.
    #[must_use]
    pub fn common(mut self, other: &Self) -> Self {
        for change in self.changed_since(other).iter() {
            self.0[change as usize] = NOBODY;
        }
        self
    }
}

/// No hash of a list, but once in 2⁶⁴ times.
const NOBODY: u64 = 0;

fn hash_seen(viewer: &Viewer<'_>, policy: &Policy, kind: ListKind, hasher: &mut DefaultHasher) {
    let names = policy.entries(kind).keys();
    let seen: Vec<bool> = names.map(|name| viewer.sees(kind, name)).collect();
    if !seen.contains(&true) {
        return;
    }
    // A resource that has no entry is seen when all templates that it matches are: where one is seen, one that is not says
    // something too.
    let hidden_too = kind == ListKind::ResourceTemplates;
    for ((name, entry), is_seen) in policy.entries(kind).iter().zip(seen) {
        if is_seen || hidden_too {
            let fingerprint = entry.fingerprint.as_ref().filter(|_| is_seen);
            (kind, name, fingerprint).hash(hasher);
            is_seen.hash(hasher);
        }
    }
    // Then what is not as it was accepted is shown all the same.
    (policy.quarantine_from == QuarantineFrom::Never).hash(hasher);
}

/// All of a policy that views depend on: while it is the same, so is what everybody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewBasis(u64);

impl ViewBasis {
    /// Of `policy`.
    pub fn of(policy: &Policy) -> Self {
        // Each member by its name: of what is added later somebody has to say whether it shows or hides something.
        let Policy {
            mode,
            scopes,
            default_scopes: _,
            tools: _,
            resources: _,
            resource_templates: _,
            prompts: _,
            // They stand in no list.
            instructions: _,
            roles,
            default_role,
            subject_rules,
            quarantine_from,
            rate_limits: _,
            list_step_up,
        } = policy;
        let mut hasher = DefaultHasher::new();
        (mode, scopes, roles, default_role).hash(&mut hasher);
        (subject_rules, quarantine_from, list_step_up).hash(&mut hasher);
        for kind in ListKind::ALL {
            let entries = policy.entries(kind);
            (kind, entries.len()).hash(&mut hasher);
            for (name, entry) in entries {
                let Entry {
                    requirement,
                    title: _,
                    description: _,
                    fingerprint,
                    pinned: _,
                    conditions,
                    state,
                    recorded_arguments: _,
                } = entry;
                (name, requirement, fingerprint, conditions, state).hash(&mut hasher);
            }
        }
        Self(hasher.finish())
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
        let view = |policy: &Policy| View::of(policy, caller, policy.list_step_up);
        let changes: Vec<_> = view(after).changed_since(&view(before)).iter().collect();
        let is_same = ViewBasis::of(before) == ViewBasis::of(after);
        assert!(!is_same || changes.is_empty(), "{after:?}");
        changes
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
    fn what_lies_behind_a_step_up_is_in_the_view_of_those_alone_to_whom_it_is_listed() {
        let with = |word: &str| policy(|policy| policy["list_step_up"] = json!(word));
        let (reader, writer) = (caller("todo:read"), caller("todo:read todo:write"));
        let stepping = Caller {
            steps_up: true,
            ..reader.clone()
        };
        let tools = [ListChange::Tools];
        assert_eq!(changes(&reader, &with("auto"), &with("always")), tools);
        assert_eq!(changes(&reader, &with("auto"), &with("never")), []);
        assert_eq!(changes(&stepping, &with("auto"), &with("always")), []);
        assert_eq!(changes(&stepping, &with("auto"), &with("never")), tools);
        assert_eq!(changes(&writer, &with("always"), &with("never")), []);
    }

    #[test]
    fn in_observe_mode_all_is_seen_and_going_there_is_another_view_for_everybody() {
        let enforced = policy(|_| {});
        let observed = policy(|policy| policy["mode"] = json!("observe"));
        let nobody = caller("");
        // Of prompts, which this server has none of, there is nothing to tell.
        let lists = [ListChange::Tools, ListChange::Resources];
        assert_eq!(changes(&nobody, &enforced, &observed), lists);
        assert_eq!(changes(&nobody, &observed, &enforced), lists);
        let more = policy(|policy| {
            policy["mode"] = json!("observe");
            policy["tools"]["add"]["requirement"] = json!("denied");
        });
        assert_eq!(changes(&nobody, &observed, &more), []);
    }

    #[test]
    fn what_is_seen_is_another_view_when_another_definition_of_it_is_accepted() {
        let with = |tool: &str, fingerprint: Value| {
            policy(|policy| policy["tools"][tool]["fingerprint"] = fingerprint)
        };
        let reader = caller("todo:read");
        let tools = [ListChange::Tools];
        let before = with("list", json!("2:a"));
        assert_eq!(changes(&reader, &before, &with("list", json!("2:a"))), []);
        assert_eq!(
            changes(&reader, &before, &with("list", json!("2:b"))),
            tools
        );
        // Whoever does not see it does not hear of it.
        let hidden = |text: &str| with("add", json!(text));
        assert_eq!(changes(&reader, &hidden("2:a"), &hidden("2:b")), []);
        let writer = caller("todo:write");
        assert_eq!(changes(&writer, &hidden("2:a"), &hidden("2:b")), tools);
        // Where changes are only recorded, what became another one is shown all the same.
        let recorded = policy(|policy| policy["quarantine_from"] = json!("never"));
        let both = [ListChange::Tools, ListChange::Resources];
        assert_eq!(changes(&reader, &policy(|_| {}), &recorded), both);
    }

    #[test]
    fn what_nobody_sees_in_a_list_is_no_part_of_what_views_depend_on() {
        let basis = ViewBasis::of(&policy(|_| {}));
        let unseen: [(&str, Value); 4] = [
            ("/tools/list/title", json!("Lists")),
            ("/default_scopes", json!("")),
            (
                "/rate_limits",
                json!([{"id": "lim_1", "per": "person", "rate": "1 per 1m"}]),
            ),
            ("/tools/list/pinned", json!(true)),
        ];
        let seen: [(&str, Value); 6] = [
            ("/tools/list/requirement", json!("public")),
            ("/tools/list/state", json!("quarantined")),
            ("/tools/list/fingerprint", json!("2:a")),
            (
                "/tools/list/conditions",
                json!([{"argument": "/a", "operator": {"equals": 1}}]),
            ),
            ("/scopes/0/implies", json!("todo:write")),
            ("/mode", json!("observe")),
        ];
        let with = |(part, value): (&str, Value)| {
            let (parent, member) = part.rsplit_once('/').unwrap();
            ViewBasis::of(&policy(|policy| {
                policy.pointer_mut(parent).unwrap()[member] = value;
            }))
        };
        for change in unseen {
            assert_eq!(with(change.clone()), basis, "{change:?}");
        }
        for change in seen {
            assert_ne!(with(change.clone()), basis, "{change:?}");
        }
    }

    #[test]
    fn what_somebody_was_told_is_known_and_what_two_know_otherwise_is_another_view_than_any() {
        let view = |policy: &Policy| View::of(policy, &caller("todo:read"), ListStepUp::Auto);
        let before = view(&policy(|_| {}));
        let now = view(&policy(|policy| {
            policy["tools"] = json!({});
            policy["resources"] = json!({});
        }));
        let told = [ListChange::Tools].into_iter().collect();
        let known = before.after(told, &now);
        let rest = [ListChange::Resources];
        assert_eq!(now.changed_since(&known).iter().collect::<Vec<_>>(), rest);
        let common = known.common(&now);
        for view in [before, now] {
            let changed = view.changed_since(&common);
            assert!(changed.contains(ListChange::Resources));
            assert!(!changed.contains(ListChange::Prompts));
        }
        assert!(now.changed_since(&now.common(&now)).is_empty());
    }
}
