//! Who the people of an MCP server are to its policy: those whom neither a role nor a rule tells apart are one kind of caller.

use std::collections::{BTreeMap, BTreeSet};

use authz::{Caller, Policy, RuleWho};
use domain::{RoleHolder, ServerSlug};
use store::Store;

use super::through::Through;
use crate::maintenance::PAGE;

/// What everybody was given at one server, and how they are called.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    /// E-mail addresses by id, of those who may sign in.
    people: BTreeMap<String, String>,
    /// Those of the others.
    disabled: BTreeMap<String, String>,
    /// Names by id.
    groups: BTreeMap<String, String>,
    roles_of: BTreeMap<String, Vec<String>>,
    groups_of: BTreeMap<String, Vec<String>>,
}

/// What tells people apart: a rule that names them, their roles, their groups.
type Apart<'a> = (Option<&'a str>, Vec<String>, Vec<String>);

/// Some people who are one to a policy.
#[derive(Debug, Clone)]
pub(crate) struct Alike {
    /// One of them.
    pub(crate) caller: Caller,
    /// What they have in common: names of roles and groups, or who it is.
    pub(crate) label: String,
    /// Their ids and e-mail addresses.
    pub(crate) people: Vec<(String, String)>,
}

impl Standings {
    pub(crate) async fn load(store: &Store, server: &ServerSlug) -> anyhow::Result<Self> {
        let mut standings = Self::default();
        for group in store.list_groups().await? {
            standings.groups.insert(group.id.to_string(), group.name);
        }
        let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (group, user) in store.list_group_members().await? {
            let of = standings.groups_of.entry(user.to_string()).or_default();
            of.push(group.to_string());
            let of = members.entry(group.to_string()).or_default();
            of.push(user.to_string());
        }
        for given in store.list_given_roles(Some(server), None).await? {
            let holders = match &given.holder {
                RoleHolder::Person(id) => vec![id.to_string()],
                RoleHolder::Group(id) => members.get(id.as_str()).cloned().unwrap_or_default(),
            };
            for holder in holders {
                let of = standings.roles_of.entry(holder).or_default();
                of.push(given.role.clone());
            }
        }
        for of in standings.roles_of.values_mut() {
            of.sort();
            of.dedup();
        }
        let mut after = None;
        loop {
            let page = store.list_users(after.as_ref(), PAGE).await?;
            after = page.last().map(|user| user.id.clone());
            let whole = page.len() == PAGE;
            for user in page {
                let people = match user.disabled_at {
                    None => &mut standings.people,
                    Some(_) => &mut standings.disabled,
                };
                people.insert(user.id.to_string(), user.email.to_string());
            }
            if !whole {
                return Ok(standings);
            }
        }
    }

    /// Somebody as they would come through `through` today, without scopes yet.
    pub(crate) fn caller(&self, subject: &str, through: &Through) -> Caller {
        let of =
            |lists: &BTreeMap<String, Vec<String>>| lists.get(subject).cloned().unwrap_or_default();
        Caller {
            subject: subject.to_owned(),
            client: through.client.clone(),
            client_vouched: through.vouched,
            client_proven: through.proven,
            roles: of(&self.roles_of),
            groups: of(&self.groups_of),
            ..Caller::default()
        }
    }

    /// How the person or the group with this id is called, if it is one.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        let people = [&self.people, &self.disabled, &self.groups];
        let mut found = people.into_iter().filter_map(|names| names.get(id));
        found.next().map_or(id, String::as_str)
    }

    /// `text` with the names of people and groups in the place of their ids.
    pub(crate) fn named(&self, text: &str) -> String {
        let words: Vec<&str> = text.split(' ').map(|word| self.name(word)).collect();
        words.join(" ")
    }

    /// All people, by what tells them apart in any of `policies`; those with something of their own come first. Without
    /// people, somebody who was given nothing.
    pub(crate) fn alike(&self, policies: &[&Policy], through: &Through) -> Vec<Alike> {
        let named_people: BTreeSet<&str> = named_people(policies);
        let named_groups: BTreeSet<&str> = policies
            .iter()
            .flat_map(|policy| policy.named_groups())
            .collect();
        let mut alike: BTreeMap<Apart<'_>, Alike> = BTreeMap::new();
        for (id, email) in &self.people {
            let mut caller = self.caller(id, through);
            let is_role = |id: &String| policies.iter().any(|policy| policy.role(id).is_some());
            caller.roles.retain(is_role);
            caller
                .groups
                .retain(|id| named_groups.contains(id.as_str()));
            let alone = named_people.get(id.as_str()).copied();
            let key = (alone, caller.roles.clone(), caller.groups.clone());
            let one = alike.entry(key).or_insert_with(|| Alike {
                label: match alone {
                    Some(_) => email.clone(),
                    None => self.label(policies, &caller),
                },
                caller,
                people: Vec::new(),
            });
            one.people.push((id.clone(), email.clone()));
        }
        let mut alike: Vec<Alike> = alike.into_values().collect();
        if alike.is_empty() {
            let caller = self.caller("usr_", through);
            alike.push(Alike {
                label: self.label(policies, &caller),
                caller,
                people: Vec::new(),
            });
        }
        let is_plain = |one: &Alike| one.caller.roles.is_empty() && one.caller.groups.is_empty();
        alike.sort_by_key(|one| (is_plain(one), one.label.clone()));
        alike
    }

    fn label(&self, policies: &[&Policy], caller: &Caller) -> String {
        // The newest policy knows the newest names.
        let role = |id: &String| {
            let mut policies = policies.iter().rev();
            policies
                .find_map(|policy| policy.role(id))
                .map(|role| role.name.clone())
        };
        let mut words: Vec<String> = caller.roles.iter().filter_map(role).collect();
        let default = policies
            .last()
            .and_then(|policy| policy.default_role.as_ref());
        if words.is_empty() {
            words.push(match default.and_then(role) {
                Some(default) => format!("no role ({default})"),
                None => "no role".to_owned(),
            });
        }
        let groups = caller.groups.iter();
        words.extend(groups.map(|id| format!("group {}", self.name(id))));
        words.join(" + ")
    }
}

fn named_people<'a>(policies: &[&'a Policy]) -> BTreeSet<&'a str> {
    let rules = policies.iter().flat_map(|policy| &policy.subject_rules);
    rules
        .filter_map(|rule| match &rule.who {
            RuleWho::Person(id) => Some(id.as_str()),
            RuleWho::Anyone | RuleWho::Group(_) | RuleWho::Role(_) => None,
        })
        .collect()
}

impl Alike {
    /// `ann@example.com, bob@example.com and 3 more`
    pub(crate) fn who(&self) -> String {
        const NAMED_MAX: usize = 3;
        let named: Vec<&str> = self
            .people
            .iter()
            .take(NAMED_MAX)
            .map(|(_, email)| email.as_str())
            .collect();
        match (self.people.len(), self.people.len() - named.len()) {
            (0, _) => "nobody yet".to_owned(),
            (_, 0) => named.join(", "),
            (_, more) => format!("{} and {more} more", named.join(", ")),
        }
    }
}
