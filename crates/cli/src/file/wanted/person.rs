use std::collections::BTreeMap;

use domain::{EmailAddress, RoleHolder, User, UserRole};

use super::super::document::{Document, Person};
use super::super::problems::{Problems, join};
use super::{Context, Left, Wanted, given_roles, server};

/// Reads the people of the file. Nobody goes by being left out.
pub(super) fn read_all(
    document: &Document,
    with: &Context<'_>,
    wanted: &mut Wanted,
    problems: &mut Problems<'_>,
) {
    let people = with.now.people.iter();
    let known: BTreeMap<String, &User> = people.map(|user| (user.email.key(), user)).collect();
    let mut named: BTreeMap<String, &str> = BTreeMap::new();
    for (email, said) in &document.people {
        let path = join("people", email);
        let address = match EmailAddress::parse(email) {
            Ok(address) if address.as_str() == email => address,
            Ok(_) => {
                problems.say(&path, "has a space around it");
                continue;
            }
            Err(error) => {
                problems.say(&path, error);
                continue;
            }
        };
        if let Some(other) = named.insert(address.key(), email) {
            problems.say(&path, format!("is the same person as {other}"));
            continue;
        }
        let before = known.get(&address.key()).copied();
        if let Some(before) = before
            && before.email != address
        {
            problems.say(&path, format!("is kept as {}; write it so", before.email));
        }
        let person = read(address, said, before, &path, with, problems);
        let holder = RoleHolder::Person(person.id.clone());
        given_roles::read(&holder, &said.roles, &path, wanted, problems);
        wanted.declared.people.push(person);
    }
    for (key, user) in known {
        if !named.contains_key(&key) {
            wanted.left.push(Left {
                path: join("people", user.email.as_str()),
                hint: "write disabled = true to keep them out",
            });
            wanted.declared.people.push(user.clone());
        }
    }
    check_owner(with, wanted, problems);
}

fn read(
    email: EmailAddress,
    said: &Person,
    before: Option<&User>,
    path: &str,
    with: &Context<'_>,
    problems: &mut Problems<'_>,
) -> User {
    let role = match said.owner {
        true => UserRole::Owner,
        false => UserRole::Member,
    };
    let mut user = before.map_or_else(
        || oauth::users::without_password(with.random, with.at, email, role),
        User::clone,
    );
    user.role = role;
    if !said.name.is_empty() && said.name != user.name {
        user.name = server::name(&said.name, &join(path, "name"), problems);
    }
    user.disabled_at = match (said.disabled, user.disabled_at) {
        (true, since) => since.or(Some(with.at)),
        (false, _) => None,
    };
    user
}

/// Somebody must be able to open the dashboard, as `users disable` sees to.
fn check_owner(with: &Context<'_>, wanted: &Wanted, problems: &mut Problems<'_>) {
    let is_owner = |user: &User| user.role == UserRole::Owner && user.disabled_at.is_none();
    let can_sign_in = |user: &User| is_owner(user) && user.password_hash.is_some();
    let people = &wanted.declared.people;
    let before = &with.now.people;
    if before.iter().any(can_sign_in) && !people.iter().any(can_sign_in) {
        let words = "no owner with a password would be left; keep one, or make another one first";
        problems.say("people", words);
    } else if before.is_empty() && !people.is_empty() && !people.iter().any(is_owner) {
        let words = "one of the first people must be an owner; write owner = true";
        problems.say("people", words);
    }
}
