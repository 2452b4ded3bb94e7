use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use base::Timestamp;
use domain::{
    AuditEvent, AuditEventKind, Client, ClientId, ClientTrust, Group, GroupId, McpServer,
    RoleHolder, ServerSettingsChange, ServerSlug, TrustDecision, User, UserId,
};
use oauth::client_decision::end;
use oauth::roles::{given_event, group_event};
use oauth::users;
use store::{Change, Declared, GivenRole, Move};

use crate::target;

/// What makes `wanted` of `now`, at `at`: what goes first, since it makes place. An address that a server leaves stays its
/// alias for `kept`.
pub(super) fn changes(
    now: &Declared,
    wanted: &Declared,
    at: Timestamp,
    kept: Duration,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for server in &now.servers {
        if find(&wanted.servers, &server.slug).is_none() {
            let detail = server.resource.clone();
            let event = event(at, AuditEventKind::ServerRemoved, &server.slug, detail);
            changes.push(Change::RemoveServer(server.slug.clone(), event));
        }
    }
    for server in &wanted.servers {
        match find(&now.servers, &server.slug) {
            Some(before) => of_server(before, server, at, kept, &mut changes),
            None => {
                let detail = target::describe(&server.upstream);
                let event = event(at, AuditEventKind::ServerAdded, &server.slug, detail);
                changes.push(Change::InsertServer(Box::new(server.clone()), event));
            }
        }
    }
    of_clients(now, wanted, at, &mut changes);
    of_decisions(now, wanted, at, &mut changes);
    of_people(now, wanted, at, &mut changes);
    of_groups(now, wanted, at, &mut changes);
    changes
}

fn find<'a>(servers: &'a [McpServer], slug: &ServerSlug) -> Option<&'a McpServer> {
    servers.iter().find(|server| server.slug == *slug)
}

fn event(at: Timestamp, kind: AuditEventKind, slug: &ServerSlug, detail: String) -> AuditEvent {
    AuditEvent {
        at,
        kind,
        server: Some(slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail,
    }
}

fn of_server(
    before: &McpServer,
    after: &McpServer,
    at: Timestamp,
    kept: Duration,
    changes: &mut Vec<Change>,
) {
    let slug = &after.slug;
    if before.resource != after.resource {
        let detail = format!("{} to {}", before.resource, after.resource);
        changes.push(Change::MoveServer(Move {
            slug: slug.clone(),
            from: before.resource.clone(),
            to: after.resource.clone(),
            keep_until: Some(at.after(kept)),
            event: event(at, AuditEventKind::ServerMoved, slug, detail),
        }));
    }
    if before.name != after.name || before.upstream != after.upstream {
        let mut detail = target::describe(&after.upstream);
        if before.name != after.name {
            detail = format!("{detail}; name: {:?} → {:?}", before.name, after.name);
        }
        let server = McpServer {
            settings: before.settings.clone(),
            ..after.clone()
        };
        let event = event(at, AuditEventKind::ServerChanged, slug, detail);
        changes.push(Change::UpdateServer(Box::new(server), event));
    }
    if before.settings != after.settings {
        let settings = after.settings.clone();
        let change = ServerSettingsChange {
            dynamic_registration: Some(settings.dynamic_registration),
            metadata_documents: Some(settings.metadata_documents),
            native_schemes: Some(settings.native_schemes),
            access_token_seconds: Some(settings.access_token_seconds),
            refresh_token_seconds: Some(settings.refresh_token_seconds),
            family_seconds: Some(settings.family_seconds),
            strict_rotation: Some(settings.strict_rotation),
            documentation_url: Some(settings.documentation_url),
        };
        let event = event(at, AuditEventKind::ServerChanged, slug, String::new());
        changes.push(Change::ChangeServerSettings(slug.clone(), change, event));
    }
    if before.policy != after.policy {
        let detail = format!("from a file: {} tools", after.policy.tools.len());
        changes.push(Change::PublishPolicy {
            slug: slug.clone(),
            expected_revision: before.policy_revision,
            policy: Box::new(after.policy.clone()),
            event: event(at, AuditEventKind::PolicyPublished, slug, detail),
        });
    }
}

fn of_clients(now: &Declared, wanted: &Declared, at: Timestamp, changes: &mut Vec<Change>) {
    let of_client = |kind, client: &Client| AuditEvent {
        detail: String::new(),
        ..oauth::clients::event(kind, client, at)
    };
    let known: HashMap<&ClientId, &Client> = now.clients.iter().map(|one| (&one.id, one)).collect();
    let staying: HashSet<&ClientId> = wanted.clients.iter().map(|one| &one.id).collect();
    for before in &now.clients {
        // Those of a removed server go with it.
        if staying.contains(&before.id) || find(&wanted.servers, &before.server).is_none() {
            continue;
        }
        if let Some(server) = find(&now.servers, &before.server) {
            let event = of_client(AuditEventKind::ClientForgotten, before);
            changes.push(Change::ForgetClient(end(at, server, &before.id, event)));
        }
    }
    for after in &wanted.clients {
        let Some(before) = known.get(&after.id) else {
            let event = oauth::clients::event(AuditEventKind::ClientAdded, after, at);
            changes.push(Change::InsertClient(Box::new(after.clone()), event));
            continue;
        };
        if !is_described_as(before, after) {
            let event = oauth::clients::event(AuditEventKind::ClientChanged, after, at);
            changes.push(Change::UpdateClient(Box::new(after.clone()), event));
        }
        match (before.disabled_at, after.disabled_at) {
            (None, Some(_)) => {
                let event = of_client(AuditEventKind::ClientBlocked, after);
                // Its tokens live as long as the settings said that are still there.
                if let Some(server) = find(&now.servers, &after.server) {
                    changes.push(Change::BlockClient(end(at, server, &after.id, event)));
                }
            }
            (Some(_), None) => {
                let event = of_client(AuditEventKind::ClientUnblocked, after);
                let (server, id) = (after.server.clone(), after.id.clone());
                changes.push(Change::UnblockClient(server, id, event));
            }
            _ => {}
        }
    }
}

fn is_described_as(before: &Client, after: &Client) -> bool {
    before.name == after.name
        && before.redirect_uris == after.redirect_uris
        && before.authentication == after.authentication
        && before.service_scopes == after.service_scopes
}

fn of_decisions(now: &Declared, wanted: &Declared, at: Timestamp, changes: &mut Vec<Change>) {
    let of = |kind, trust: &ClientTrust| AuditEvent {
        client: Some(trust.client.clone()),
        ..event(at, kind, &trust.server, String::new())
    };
    fn key(trust: &ClientTrust) -> (&ServerSlug, &ClientId) {
        (&trust.server, &trust.client)
    }
    let known: HashMap<_, &ClientTrust> = now.decisions.iter().map(|one| (key(one), one)).collect();
    let staying: HashSet<_> = wanted.decisions.iter().map(key).collect();
    for before in &now.decisions {
        if !staying.contains(&key(before)) && find(&wanted.servers, &before.server).is_some() {
            let event = of(AuditEventKind::ClientForgotten, before);
            let (server, client) = (before.server.clone(), before.client.clone());
            changes.push(Change::ForgetClientTrust(server, client, event));
        }
    }
    for after in &wanted.decisions {
        let before = known.get(&key(after));
        let Some(server) = find(&wanted.servers, &after.server) else {
            continue;
        };
        if before.is_some_and(|before| before.decision == after.decision) {
            continue;
        }
        let kind = match after.decision {
            TrustDecision::Blocked => AuditEventKind::ClientBlocked,
            _ => AuditEventKind::ClientApproved,
        };
        let issued_by = find(&now.servers, &after.server).unwrap_or(server);
        changes.push(Change::DecideClientTrust {
            decided: ClientTrust {
                at,
                ..after.clone()
            },
            revocation_until: oauth::client_trust::tokens_remembered_until(issued_by, at),
            event: of(kind, after),
        });
    }
}

fn of_people(now: &Declared, wanted: &Declared, at: Timestamp, changes: &mut Vec<Change>) {
    let known: HashMap<&UserId, &User> = now.people.iter().map(|one| (&one.id, one)).collect();
    for after in &wanted.people {
        let Some(before) = known.get(&after.id) else {
            let event = users::added_event(after);
            changes.push(Change::InsertUser(Box::new(after.clone()), event));
            continue;
        };
        if before.name != after.name || before.role != after.role {
            let mut event = users::changed_event(AuditEventKind::UserChanged, &after.id, at);
            event.detail = format!("{}: {:?}, {}", after.email, after.name, after.role.as_str());
            changes.push(Change::UpdateUser {
                user: after.id.clone(),
                name: after.name.clone(),
                role: after.role,
                event,
            });
        }
        match (before.disabled_at, after.disabled_at) {
            (None, Some(_)) => changes.push(Change::DisableUser {
                user: after.id.clone(),
                revocation_until: users::tokens_remembered_until(&now.servers, at),
                event: users::changed_event(AuditEventKind::UserDisabled, &after.id, at),
            }),
            (Some(_), None) => {
                let event = users::changed_event(AuditEventKind::UserEnabled, &after.id, at);
                changes.push(Change::EnableUser(after.id.clone(), event));
            }
            _ => {}
        }
    }
}

/// Behind policies and people, since a role is given of the one to the other; a group goes last, when no rule names it any more.
fn of_groups(now: &Declared, wanted: &Declared, at: Timestamp, changes: &mut Vec<Change>) {
    let known: HashMap<&GroupId, &Group> = now.groups.iter().map(|one| (&one.id, one)).collect();
    let staying: HashMap<&GroupId, &Group> =
        wanted.groups.iter().map(|one| (&one.id, one)).collect();
    for group in &wanted.groups {
        if !known.contains_key(&group.id) {
            let event = group_event(AuditEventKind::GroupAdded, at, None, group);
            changes.push(Change::InsertGroup(group.clone(), event));
        }
    }
    let members_before: BTreeSet<_> = now.members.iter().collect();
    let members_after: BTreeSet<_> = wanted.members.iter().collect();
    for (id, user) in members_before.difference(&members_after) {
        // Those of a group that goes need not leave it.
        if let Some(group) = staying.get(id) {
            let event = group_event(AuditEventKind::GroupLeft, at, Some(user), group);
            changes.push(Change::LeaveGroup(id.clone(), user.clone(), event));
        }
    }
    for (id, user) in members_after.difference(&members_before) {
        if let Some(group) = staying.get(id) {
            let event = group_event(AuditEventKind::GroupJoined, at, Some(user), group);
            changes.push(Change::JoinGroup(id.clone(), user.clone(), event));
        }
    }
    let name_of = |given: &GivenRole| {
        let server = find(&wanted.servers, &given.server)?;
        server
            .policy
            .role(&given.role)
            .map(|role| role.name.as_str())
    };
    fn key(given: &GivenRole) -> (&ServerSlug, &str, &str) {
        (&given.server, given.holder.as_str(), &given.role)
    }
    let given_before: HashSet<_> = now.given_roles.iter().map(key).collect();
    let given_after: HashSet<_> = wanted.given_roles.iter().map(key).collect();
    let taken = now.given_roles.iter();
    for given in taken.filter(|one| !given_after.contains(&key(one))) {
        let goes = matches!(&given.holder, RoleHolder::Group(id) if !staying.contains_key(id));
        // What was given of a role goes with it.
        let Some(name) = name_of(given).filter(|_| !goes) else {
            continue;
        };
        let event = given_event(AuditEventKind::RoleTaken, at, given, name);
        changes.push(Change::TakeRole(given.clone(), event));
    }
    let new = wanted.given_roles.iter();
    for given in new.filter(|one| !given_before.contains(&key(one))) {
        let name = name_of(given).unwrap_or_default();
        let event = given_event(AuditEventKind::RoleGiven, at, given, name);
        changes.push(Change::GiveRole(given.clone(), event));
    }
    for group in now
        .groups
        .iter()
        .filter(|one| !staying.contains_key(&one.id))
    {
        let event = group_event(AuditEventKind::GroupRemoved, at, None, group);
        changes.push(Change::RemoveGroup(group.id.clone(), event));
    }
}
