use std::collections::{BTreeSet, HashMap};

use domain::{McpServer, RoleHolder, ServerSlug};
use store::GivenRole;

use super::super::document::GivenRoles;
use super::super::problems::{Problems, join};
use super::{Context, Wanted};

/// Reads what `holder`, at `path`, is to have: all of it, so what is left out is taken.
pub(super) fn read(
    holder: &RoleHolder,
    said: &GivenRoles,
    path: &str,
    wanted: &mut Wanted,
    problems: &mut Problems<'_>,
) {
    let path = join(path, "roles");
    let mut all = BTreeSet::new();
    for (slug, names) in said {
        let path = join(&path, slug);
        let servers = &wanted.declared.servers;
        let Some(server) = servers.iter().find(|one| one.slug.as_str() == slug) else {
            problems.say(&path, "there is no server of this name");
            continue;
        };
        for name in names {
            match server.policy.roles.iter().find(|role| role.name == *name) {
                Some(role) => all.insert((&server.slug, role.id.as_str())),
                None => {
                    problems.say(
                        &path,
                        format!("{name} is no role of {slug}; it has: {}", roles(server)),
                    );
                    continue;
                }
            };
        }
    }
    let given = all.into_iter().map(|(slug, role)| GivenRole {
        server: slug.clone(),
        holder: holder.clone(),
        role: role.to_owned(),
    });
    let given: Vec<GivenRole> = given.collect();
    wanted.declared.given_roles.extend(given);
    wanted.spoken_of.insert(holder.as_str().to_owned());
}

/// Leaves what they have to those of whom the file does not speak, and to everybody what stands in no file: a role that the
/// policy does not have.
pub(super) fn keep_rest(with: &Context<'_>, wanted: &mut Wanted) {
    let servers: HashMap<&ServerSlug, &McpServer> = with
        .now
        .servers
        .iter()
        .map(|one| (&one.slug, one))
        .collect();
    for given in &with.now.given_roles {
        let server = servers.get(&given.server);
        let is_shown = server.is_some_and(|server| server.policy.role(&given.role).is_some());
        if !is_shown || !wanted.spoken_of.contains(given.holder.as_str()) {
            wanted.declared.given_roles.push(given.clone());
        }
    }
}

fn roles(server: &McpServer) -> String {
    let names = server.policy.roles.iter().map(|role| role.name.as_str());
    match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "none".to_owned(),
        names => names,
    }
}
