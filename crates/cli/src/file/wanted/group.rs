use std::collections::{BTreeMap, BTreeSet};

use authz::RuleWho;
use domain::{EmailAddress, GroupId, RoleHolder, UserId};
use store::Declared;

use super::super::document::{Document, Group};
use super::super::problems::{Problems, join};
use super::{Context, Left, Wanted, given_roles};

const ID_BYTES_MAX: usize = 64;

/// Reads the groups of the file, whose members and roles are all that they have. None goes by being left out: rules may deny
/// its members something.
pub(super) fn read_all(
    document: &Document,
    with: &Context<'_>,
    wanted: &mut Wanted,
    problems: &mut Problems<'_>,
) {
    let people = wanted.declared.people.iter();
    let people: BTreeMap<String, UserId> = people
        .map(|user| (user.email.key(), user.id.clone()))
        .collect();
    for (name, said) in &document.groups {
        let path = join("groups", name);
        let before = with.now.groups.iter().find(|one| one.name == *name);
        if !domain::Group::is_name(name) {
            problems.say(
                &path,
                "a name is 1 to 40 of a-z, 0-9, - and _, and begins with a letter",
            );
            continue;
        }
        if said.removed {
            if let Some(before) = before {
                wanted.spoken_of.insert(before.id.to_string());
            }
            continue;
        }
        let id = match before {
            Some(before) => {
                if !said.id.is_empty() && said.id != before.id.as_str() {
                    let words = format!("is kept as {}; an id never changes", before.id);
                    problems.say(&join(&path, "id"), words);
                }
                before.id.clone()
            }
            None => new_id(said, &path, with, problems),
        };
        for user in members(said, &people, &path, problems) {
            wanted.declared.members.push((id.clone(), user));
        }
        let holder = RoleHolder::Group(id.clone());
        given_roles::read(&holder, &said.roles, &path, wanted, problems);
        wanted
            .declared
            .groups
            .push(before.cloned().unwrap_or(domain::Group {
                id,
                name: name.clone(),
                created_at: with.at,
            }));
    }
    let mut left = BTreeSet::new();
    for group in &with.now.groups {
        if document.groups.contains_key(&group.name) {
            continue;
        }
        wanted.left.push(Left {
            path: join("groups", &group.name),
            hint: "write removed = true to take it away",
        });
        left.insert(&group.id);
        wanted.declared.groups.push(group.clone());
    }
    let members = with.now.members.iter();
    let members = members.filter(|(group, _)| left.contains(group));
    wanted.declared.members.extend(members.cloned());
}

/// The id that a new group is said to have, as one that comes from another authority with the rules that name it; or one of
/// its own.
fn new_id(said: &Group, path: &str, with: &Context<'_>, problems: &mut Problems<'_>) -> GroupId {
    if said.id.is_empty() {
        return GroupId::random(with.random);
    }
    let path = join(path, "id");
    let is_id = said.id.len() <= ID_BYTES_MAX
        && said.id.strip_prefix("grp_").is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        });
    if !is_id {
        problems.say(
            &path,
            "an id is grp_ with letters and digits behind it; leave it out to get one",
        );
    }
    if let Some(other) = with
        .now
        .groups
        .iter()
        .find(|one| one.id.as_str() == said.id)
    {
        problems.say(
            &path,
            format!(
                "is that of the group {}, and a group keeps its name",
                other.name
            ),
        );
    }
    GroupId::from_text(said.id.as_str())
}

fn members(
    said: &Group,
    people: &BTreeMap<String, UserId>,
    path: &str,
    problems: &mut Problems<'_>,
) -> BTreeSet<UserId> {
    let path = join(path, "members");
    let mut members = BTreeSet::new();
    for email in &said.members {
        let user = EmailAddress::parse(email).ok();
        match user.and_then(|address| people.get(&address.key())) {
            Some(user) => {
                members.insert(user.clone());
            }
            None => problems.say(&path, format!("{email} is none of the people")),
        }
    }
    members
}

/// A new rule about a group that is not there would bind nobody, and one about a group that goes would be lifted.
pub(super) fn check_named(with: &Context<'_>, wanted: &Declared, problems: &mut Problems<'_>) {
    let there: BTreeSet<&str> = wanted.groups.iter().map(|one| one.id.as_str()).collect();
    let before: BTreeSet<&str> = with.now.groups.iter().map(|one| one.id.as_str()).collect();
    for server in &wanted.servers {
        let known = with.now.servers.iter().find(|one| one.slug == server.slug);
        for (index, rule) in server.policy.subject_rules.iter().enumerate() {
            let RuleWho::Group(group) = &rule.who else {
                continue;
            };
            let is_old = known.is_some_and(|known| known.policy.subject_rules.contains(rule));
            let goes = before.contains(group.as_str());
            if !there.contains(group.as_str()) && (goes || !is_old) {
                let path = join(&join("servers", server.slug.as_str()), "policy");
                let words = format!("no group has the id {group}");
                problems.say(&format!("{path}.rules[{index}]"), words);
            }
        }
    }
}
