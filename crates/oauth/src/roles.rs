use base::{Random, Timestamp};
use domain::{AuditEvent, AuditEventKind, Group, GroupId, RoleHolder, UserId};
use store::{GivenRole, InsertGroup, RemoveGroup, Store, StoreError};

/// Gives a role; false when they have it, or are gone.
///
/// # Errors
/// When the store fails.
pub async fn give(
    store: &Store,
    now: Timestamp,
    given: GivenRole,
    name: &str,
) -> Result<bool, StoreError> {
    let event = given_event(AuditEventKind::RoleGiven, now, &given, name);
    store.give_role(given, event).await
}

/// Takes a role back; false when they do not have it.
///
/// # Errors
/// When the store fails.
pub async fn take(
    store: &Store,
    now: Timestamp,
    given: GivenRole,
    name: &str,
) -> Result<bool, StoreError> {
    let event = given_event(AuditEventKind::RoleTaken, now, &given, name);
    store.take_role(given, event).await
}

/// Adds a group.
///
/// # Errors
/// When the store fails.
pub async fn add_group(
    store: &Store,
    now: Timestamp,
    random: &dyn Random,
    name: &str,
) -> Result<(Group, InsertGroup), StoreError> {
    let group = Group {
        id: GroupId::random(random),
        name: name.to_owned(),
        created_at: now,
    };
    let event = group_event(AuditEventKind::GroupAdded, now, None, &group);
    let inserted = store.insert_group(&group, event).await?;
    Ok((group, inserted))
}

/// Removes a group with the roles that it was given.
///
/// # Errors
/// When the store fails.
pub async fn remove_group(
    store: &Store,
    now: Timestamp,
    group: &Group,
) -> Result<RemoveGroup, StoreError> {
    let event = group_event(AuditEventKind::GroupRemoved, now, None, group);
    store.remove_group(&group.id, event).await
}

/// Puts a person into a group; false when they are in it.
///
/// # Errors
/// When the store fails.
pub async fn join(
    store: &Store,
    now: Timestamp,
    group: &Group,
    user: &UserId,
) -> Result<bool, StoreError> {
    let event = group_event(AuditEventKind::GroupJoined, now, Some(user), group);
    store.join_group(&group.id, user, event).await
}

/// Takes a person out of a group; false when they are not in it.
///
/// # Errors
/// When the store fails.
pub async fn leave(
    store: &Store,
    now: Timestamp,
    group: &Group,
    user: &UserId,
) -> Result<bool, StoreError> {
    let event = group_event(AuditEventKind::GroupLeft, now, Some(user), group);
    store.leave_group(&group.id, user, event).await
}

/// What is written down of a group.
pub fn group_event(
    kind: AuditEventKind,
    now: Timestamp,
    user: Option<&UserId>,
    group: &Group,
) -> AuditEvent {
    event(kind, now, user, format!("{} {}", group.name, group.id))
}

/// What is written down of a role, called `name`, that is given or taken.
pub fn given_event(
    kind: AuditEventKind,
    now: Timestamp,
    given: &GivenRole,
    name: &str,
) -> AuditEvent {
    let (user, detail) = match &given.holder {
        RoleHolder::Person(user) => (Some(user), format!("{name} {}", given.role)),
        RoleHolder::Group(group) => (None, format!("{name} {} to {group}", given.role)),
    };
    AuditEvent {
        server: Some(given.server.clone()),
        ..event(kind, now, user, detail)
    }
}

fn event(kind: AuditEventKind, at: Timestamp, user: Option<&UserId>, detail: String) -> AuditEvent {
    AuditEvent {
        at,
        kind,
        server: None,
        user: user.cloned(),
        client: None,
        grant: None,
        detail,
    }
}
