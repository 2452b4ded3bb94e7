use base::{Clock, Random, Secret, Timestamp};
use domain::{AuditEvent, AuditEventKind, EmailAddress, McpServer, User, UserId, UserRole};
use store::{DeleteUser, InsertUser, Store, StoreError, UserDeleted, UserDisabled};

use crate::password::{self, PasswordError, Workspace};
use crate::revoke::remembered_for;

/// Why a person was not added.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum AddUserError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("somebody with the e-mail address {0} exists already")]
    EmailTaken(EmailAddress),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a person who may sign in. Hashes on the spot, so it is for maintenance commands, not for requests.
///
/// # Errors
/// When the password is weak, the address taken, or the store fails.
pub async fn add(
    store: &Store,
    clock: &dyn Clock,
    random: &dyn Random,
    email: EmailAddress,
    password: &Secret<String>,
    role: UserRole,
) -> Result<User, AddUserError> {
    let user = with_password(clock, random, email, password, role)?;
    match store.insert_user(&user, added_event(&user)).await? {
        InsertUser::Inserted => Ok(user),
        InsertUser::EmailTaken => give_first_password(store, user).await,
    }
}

/// As [`add`], a member, or the owner when nobody is there yet: somebody must be able to open the dashboard, and the
/// setup link ends with the first person.
///
/// # Errors
/// As [`add`].
pub async fn add_member_or_first_owner(
    store: &Store,
    clock: &dyn Clock,
    random: &dyn Random,
    email: EmailAddress,
    password: &Secret<String>,
) -> Result<User, AddUserError> {
    let user = with_password(clock, random, email, password, UserRole::Member)?;
    let added = store.insert_user_or_first_owner(user.clone(), added_event(&user));
    match added.await? {
        Some(user) => Ok(user),
        None => give_first_password(store, user).await,
    }
}

fn with_password(
    clock: &dyn Clock,
    random: &dyn Random,
    email: EmailAddress,
    password: &Secret<String>,
    role: UserRole,
) -> Result<User, PasswordError> {
    password::check_new(password.expose(), email.as_str())?;
    let hash = password::hash(&mut Workspace::default(), password.expose(), random);
    Ok(new_user(
        random,
        clock.now(),
        email,
        Secret::new(hash),
        role,
    ))
}

/// Somebody who was added without a password is there already, and this is their first.
async fn give_first_password(store: &Store, user: User) -> Result<User, AddUserError> {
    let known = store.find_user_by_email(&user.email).await?;
    if let (Some(known), Some(hash)) = (known, &user.password_hash) {
        let mut event = changed_event(AuditEventKind::UserChanged, &known.id, user.created_at);
        event.detail = format!("{}: a first password", known.email);
        let given = store.give_first_password(&known.id, hash.clone(), event);
        if given.await? {
            return Ok(known);
        }
    }
    Err(AddUserError::EmailTaken(user.email))
}

/// A person as a file names them: nobody can sign in as them until they have a password.
pub fn without_password(
    random: &dyn Random,
    now: Timestamp,
    email: EmailAddress,
    role: UserRole,
) -> User {
    User {
        id: UserId::random(random),
        name: email.local_part().to_owned(),
        email,
        password_hash: None,
        role,
        created_at: now,
        disabled_at: None,
    }
}

/// Why a person was not disabled.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum DisableUserError {
    #[error(
        "no other owner than {0} can sign in; add one first, with `portcullis people add --owner`"
    )]
    OnlyOwner(EmailAddress),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Disables a person: within a second they are signed out everywhere, and every token on their behalf ends, service
/// tokens included. False when they were disabled before.
///
/// # Errors
/// When nobody would be left to open the dashboard, or the store fails.
pub async fn disable(store: &Store, now: Timestamp, user: &User) -> Result<bool, DisableUserError> {
    let until = tokens_ended_at(store, now).await?;
    let event = changed_event(AuditEventKind::UserDisabled, &user.id, now);
    match store.disable_user(&user.id, until, event).await? {
        UserDisabled::Disabled => Ok(true),
        UserDisabled::Unchanged => Ok(false),
        UserDisabled::OnlyOwner => Err(DisableUserError::OnlyOwner(user.email.clone())),
    }
}

/// When the last access token that was issued before `now`, at whichever of `servers`, has expired.
pub fn tokens_remembered_until(servers: &[McpServer], now: Timestamp) -> Timestamp {
    let lifetimes = servers
        .iter()
        .map(|server| server.settings.access_token_lifetime());
    remembered_for(lifetimes.max().unwrap_or_default(), now)
}

/// Lets a person in again; false when they were not disabled. What they had granted stays ended.
///
/// # Errors
/// When the store fails.
pub async fn enable(store: &Store, now: Timestamp, user: &User) -> Result<bool, StoreError> {
    let event = changed_event(AuditEventKind::UserEnabled, &user.id, now);
    store.enable_user(&user.id, event).await
}

/// Deletes a person: within a second they are signed out everywhere and every token on their behalf is refused, and
/// nothing of them is left but the opaque id in audit events. The e-mail address may be added again, as somebody else.
///
/// # Errors
/// When the store fails.
pub async fn delete(
    store: &Store,
    now: Timestamp,
    user: &UserId,
) -> Result<UserDeleted, StoreError> {
    let remembered_until = tokens_ended_at(store, now).await?;
    let event = changed_event(AuditEventKind::UserDeleted, user, now);
    let delete = DeleteUser {
        user: user.clone(),
        remembered_until,
        event,
    };
    store.delete_user(delete).await
}

/// When the last access token that any MCP server's settings may have allowed has expired.
pub(crate) async fn tokens_ended_at(
    store: &Store,
    now: Timestamp,
) -> Result<Timestamp, StoreError> {
    let servers = store.list_servers_apart().await?.all();
    Ok(tokens_remembered_until(&servers, now))
}

/// The event of a change of a person. Who it was is told by the opaque id alone: events stay when the person is deleted.
pub fn changed_event(kind: AuditEventKind, user: &UserId, now: Timestamp) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: None,
        user: Some(user.clone()),
        client: None,
        grant: None,
        detail: String::new(),
    }
}

pub(crate) fn new_user(
    random: &dyn Random,
    now: base::Timestamp,
    email: EmailAddress,
    password_hash: Secret<String>,
    role: UserRole,
) -> User {
    User {
        password_hash: Some(password_hash),
        ..without_password(random, now, email, role)
    }
}

/// The event of a new person.
pub fn added_event(user: &User) -> AuditEvent {
    AuditEvent {
        at: user.created_at,
        kind: AuditEventKind::UserAdded,
        server: None,
        user: Some(user.id.clone()),
        client: None,
        grant: None,
        detail: format!("as {}", user.role.as_str()),
    }
}
